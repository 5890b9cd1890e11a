/**
 * One named cache: bytes by key. Single `get`s of one turn of the event loop share one request.
 *
 * A miss may come with a lease: whoever has it makes the entry, and a `put` with it is refused when the key was written
 * or invalidated since. `read` shows leases, `get` does not.
 */
import { checkId } from '../base/keys.js';
import { canonicalKey } from '../caches/canonical-key.js';
import type { KeyParts } from '../caches/canonical-key-parts.js';
import { type CacheEntry, cacheEntry } from './cache-entry.js';
import { unlessAborted } from './call-deadline.js';
import { ClientError, clientErrorOf, errorOfAnswer, localError } from './client-error.js';
import { Coalescer } from './coalescer.js';
import { type PutEntryOptions, putHeaders } from './entry-put.js';
import { type Invalidation, invalidate } from './invalidation.js';
import { asObject, listOf, member, memberOrNull, objectOf } from './json-answer.js';
import type { Answer, CallOptions, Transport } from './transport.js';

/** `void`: the lease was; what was put is older than what has happened to the key since. */
export type PutOutcome = 'stored' | 'not-stored' | 'void';

/** What one request says of a key. */
export interface EntryRead {
  readonly entry: CacheEntry | undefined;
  /** The caller is the one to make the entry, or to make it anew. */
  readonly lease: string | undefined;
  /** There is no entry, and another has the lease. */
  readonly isBeingMade: boolean;
  /** False: it was read with others, and nothing was said of leases. */
  readonly isWhole: boolean;
}

type BatchEntry = CacheEntry | ClientError | undefined;

export type CacheInfo = Readonly<Record<string, unknown>> & { readonly cache: string };

const KEYS_MAX = 1_000;
const JSON_HEADERS = { 'content-type': 'application/json' };
const LEASE = 'headrace-lease';

export class CacheClient {
  readonly name: string;
  readonly #transport: Transport;
  readonly #path: string;
  readonly #entries = new Coalescer<BatchEntry>(keys => this.#batch(keys, {}), KEYS_MAX);
  readonly #reads = new Coalescer<EntryRead | ClientError>(keys => this.#readMany(keys), KEYS_MAX);
  readonly #onChanged: (key: string | undefined) => void;
  /** Puts under way that no lease holds back from landing behind a removal. */
  readonly #puts = new Set<Promise<unknown>>();

  /** @param onChanged told of what this client itself changes, before and after: a key, or any keys. */
  constructor(transport: Transport, name: string, onChanged: (key: string | undefined) => void) {
    this.name = name;
    this.#transport = transport;
    this.#path = `/v1/caches/${encodeURIComponent(name)}`;
    this.#onChanged = onChanged;
  }

  /** `undefined`: there is none. */
  async get(key: string, { signal, timeoutMs }: CallOptions = {}): Promise<CacheEntry | undefined> {
    checkKey(key);
    if (timeoutMs === undefined) return unwrapped(await unlessAborted(this.#entries.get(key), signal));
    const [entry] = await this.#batch([key], { signal, timeoutMs });
    return unwrapped(entry);
  }

  /** As `read`, but together with other keys of the same turn of the event loop, if there are any. */
  async readSoon(key: string): Promise<EntryRead> {
    checkKey(key);
    return unwrapped(await this.#reads.get(key));
  }

  /** One key with all that its answer says. @param waitMs for another's lease; 0: not at all. */
  async read(key: string, options: CallOptions = {}, waitMs = 0): Promise<EntryRead> {
    const answer = await this.#transport.send({
      ...options,
      method: 'GET',
      path: `${this.#entryPath(key)}${waitMs > 0 ? `?wait=${Math.ceil(waitMs)}ms` : ''}`,
      // A lease is given once: whoever asks twice at a time would be given it and wait for it.
      repeat: 'safe',
      expected: [404],
    });
    const lease = answer.header(LEASE) || undefined;
    if (answer.status === 404) {
      requireMiss(answer);
      return {
        entry: undefined,
        lease,
        isBeingMade: lease === undefined && answer.header('retry-after') !== '',
        isWhole: true,
      };
    }
    return { entry: entryOf(answer), lease, isBeingMade: false, isWhole: true };
  }

  /** Resolves when it is durable. Sent again only when it surely did not happen. */
  async put(
    key: string,
    value: Uint8Array | string,
    { lease, signal, timeoutMs, ...options }: PutEntryOptions & CallOptions = {},
  ): Promise<PutOutcome> {
    const headers = { ...checkedPut(value, options), ...(lease === undefined ? {} : { [LEASE]: lease }) };
    const sent = this.#transport.send({
      ...{ signal, timeoutMs, headers },
      method: 'PUT',
      path: this.#entryPath(key),
      body: value,
      repeat: 'once',
      expected: lease === undefined ? [] : [409],
    });
    if (lease === undefined) this.#putsUntilSettled(sent);
    const answer = await sent;
    if (answer.status === 409) return 'void';
    return answer.header('cache-status').includes('stored=?0') ? 'not-stored' : 'stored';
  }

  /** Whether there was one or not. Waits for what this client is putting there, as `invalidate` does. */
  async delete(key: string, options: CallOptions = {}): Promise<void> {
    await this.#beforeRemoval(key);
    await this.#transport.send({
      ...options,
      method: 'DELETE',
      path: this.#entryPath(key),
      // Done twice, it costs an entry that can be made again.
      repeat: 'safe',
    });
    this.#onChanged(key);
  }

  /** In the order of the keys, in one request for each 1,000. */
  async batchGet(keys: readonly string[], options: CallOptions = {}): Promise<(CacheEntry | undefined)[]> {
    keys.forEach(checkKey);
    const parts: Promise<readonly BatchEntry[]>[] = [];
    for (let from = 0; from < keys.length; from += KEYS_MAX)
      parts.push(this.#batch(keys.slice(from, from + KEYS_MAX), options));
    return (await Promise.all(parts)).flat().map(unwrapped);
  }

  /** The canonical key, made here by the code that the server has. @throws ClientError `invalid-key` */
  key(parts: KeyParts): string {
    try {
      return canonicalKey(parts);
    } catch (error) {
      throw clientErrorOf(error);
    }
  }

  /**
   * Removes entries for good. Resolves to how many of the keys there were; of all, to how many memory held; else to
   * `null`, for that is known only when they are erased.
   */
  async invalidate(what: Invalidation, options: CallOptions = {}): Promise<number | null> {
    const answer = await this.removing(options, left => invalidate(this.#transport, this.#path, what, left));
    return memberOrNull(answer, 'invalidated', 'number');
  }

  /** Around what may remove any entries: nothing that was begun before lands behind it. */
  async removing<T>(options: CallOptions, remove: (left: CallOptions) => Promise<T>): Promise<T> {
    await this.#beforeRemoval(undefined);
    const result = await remove(options);
    this.#onChanged(undefined);
    return result;
  }

  /** `undefined`: there is no such cache. */
  async info(options: CallOptions = {}): Promise<CacheInfo | undefined> {
    try {
      const answer = await this.#transport.send({
        ...options,
        method: 'GET',
        path: this.#path,
        repeat: 'read',
      });
      return objectOf(answer) as CacheInfo;
    } catch (error) {
      if (error instanceof ClientError && error.code === 'cache-not-found') return undefined;
      throw error;
    }
  }

  #putsUntilSettled(sent: Promise<unknown>): void {
    const settled = sent.catch(() => undefined).finally(() => this.#puts.delete(settled));
    this.#puts.add(settled);
  }

  /** Nothing that was begun before lands behind it. */
  async #beforeRemoval(key: string | undefined): Promise<void> {
    this.#onChanged(key);
    await Promise.all(this.#puts);
  }

  /** Alone, a key is asked for with its lease, and comes as it is. */
  async #readMany(keys: readonly string[]): Promise<(EntryRead | ClientError)[]> {
    const [first] = keys;
    if (keys.length === 1 && first !== undefined) return [await this.read(first)];
    const entries = await this.#batch(keys, {});
    return entries.map(entry =>
      entry instanceof ClientError ? entry : { entry, lease: undefined, isBeingMade: false, isWhole: false },
    );
  }

  /** Takes no lease. */
  async #batch(keys: readonly string[], options: CallOptions): Promise<BatchEntry[]> {
    const answer = await this.#transport.send({
      ...options,
      method: 'POST',
      path: `${this.#path}/entries:batchGet`,
      headers: JSON_HEADERS,
      body: JSON.stringify({ keys }),
      repeat: 'read',
    });
    const entries = listOf(objectOf(answer), 'entries');
    if (entries.length !== keys.length) throw localError('bad-answer', 'a batch has not all its entries');
    return entries.map((given, place) => batchEntryOf(asObject(given, 'an entry'), keys[place] ?? ''));
  }

  #entryPath(key: string): string {
    checkKey(key);
    return `${this.#path}/entries/${encodeURIComponent(key)}`;
  }
}

/** Checked here, as one that is wrong would spoil the request that others share. */
function checkKey(key: string): void {
  try {
    checkId(key);
  } catch (error) {
    throw clientErrorOf(error);
  }
}

/** A 404 is a miss only if it says so: there may be no such cache. */
function requireMiss({ status, bytes, header }: Answer): void {
  const error = errorOfAnswer({ status, bytes, contentType: header('content-type'), retryAfter: '' });
  if (error.code !== 'entry-not-found') throw error;
}

function entryOf({ bytes, header }: Answer): CacheEntry {
  const ttl = /;\s*ttl=(-?\d+)/.exec(header('cache-status'))?.[1];
  if (!header('cache-status').includes('headrace')) throw localError('bad-answer', 'it has no Cache-Status');
  return cacheEntry({
    bytes,
    contentType: header('content-type'),
    etag: header('etag'),
    ageSeconds: Number(header('age')) || 0,
    ttlSeconds: ttl === undefined ? undefined : Number(ttl),
  });
}

function unwrapped<T>(result: T | ClientError): T {
  if (result instanceof ClientError) throw result;
  return result;
}

function batchEntryOf(given: Readonly<Record<string, unknown>>, key: string): BatchEntry {
  if (given['key'] !== key) throw localError('bad-answer', 'a batch has other keys');
  const status = member(given, 'status', 'string');
  if (status === 'NOT_FOUND') return undefined;
  if (status !== 'PRESENT') return new ClientError('unavailable', `the entry ${key} cannot be read now`);
  const { text } = given;
  const content =
    typeof text === 'string' ? Buffer.from(text) : Buffer.from(member(given, 'base64', 'string'), 'base64');
  return cacheEntry({
    bytes: new Uint8Array(content),
    contentType: member(given, 'contentType', 'string'),
    etag: member(given, 'etag', 'string'),
    ageSeconds: member(given, 'age', 'number'),
    ttlSeconds: member(given, 'ttl', 'number'),
  });
}

function checkedPut(value: Uint8Array | string, options: PutEntryOptions): Record<string, string> {
  try {
    return putHeaders(value, options);
  } catch (error) {
    throw clientErrorOf(error);
  }
}
