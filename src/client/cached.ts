/**
 * Read-through caching around a function:
 *
 *   call ─► under way here? ─► join it                            single flight in this process
 *        ─► read ─► fresh ──► value
 *               ─► stale ──► value; whoever has the lease makes it anew behind the caller's back
 *               ─► miss with a lease ──► function ─► value; put with the lease
 *               ─► miss, another has it ─► wait ─► value, or the function, and nothing is put
 *               ─► miss, of a server without leases ─► function ─► value; put
 *               ─► failed, late, or nonsense ─► function
 *
 * A put goes on behind the caller's back too, and the flight lasts until it is over: who calls in between gets the value
 * that is on its way. A server that is away costs `timeoutMs` a call, and nothing once some calls in a row have met it;
 * at the most `timeoutMs + waitMs` pass before the function is called. Nothing here throws but the function itself.
 */
import type { KeyParts } from '../caches/canonical-key-parts.js';
import { LEASE_LIMITS } from '../caches/lease-room.js';
import type { CacheClient, EntryRead } from './cache-client.js';
import { ClientError, clientErrorOf } from './client-error.js';
import { CLIENT_OPTIONS, checkNumber } from './client-options.js';
import { type Codec, jsonCodec } from './codec.js';
import { type PutEntryOptions, putHeaders, secondsOf } from './entry-put.js';
import { Outage } from './outage.js';
import { within } from './within.js';

export interface CachedOptions<Args extends readonly unknown[], T>
  extends Pick<PutEntryOptions, 'ttl' | 'staleWhileRevalidate' | 'staleIfError'> {
  /** The name of the cache. */
  readonly cache: string;
  /** Of a call's arguments: a key, or the parts of a canonical one. */
  readonly key: (...args: Args) => string | KeyParts;
  readonly tags?: readonly string[] | ((value: T, ...args: Args) => readonly string[]) | undefined;
  /** JSON when it is left out. */
  readonly codec?: Codec<T> | undefined;
  /** What one read may take before the function is called; 250 when it is left out. */
  readonly timeoutMs?: number | undefined;
  /** How long another may take that has the lease; 500 when it is left out. */
  readonly waitMs?: number | undefined;
  /** Told of each failure of the server that a caller did not notice. */
  readonly onFailure?: ((error: ClientError) => void) | undefined;
}

/** How the calls went; each is one of the first five. */
export interface CachedFigures {
  hits: number;
  /** Answered with a value that is being made anew. */
  stale: number;
  /** The function was called. */
  misses: number;
  /** Answered with what another call of this process got. */
  joined: number;
  /** The function was called because the server failed. */
  fallbacks: number;
  stored: number;
  /** Values that were older than what had happened to their key, and were not stored. */
  voided: number;
  /** Background work that failed: puts, and functions that were to make a stale value anew. */
  failed: number;
}

export interface Cached<Args extends readonly unknown[], T> {
  (...args: Args): Promise<T>;
  readonly figures: Readonly<CachedFigures>;
}

/** What `cached` needs of its client. */
export interface CachedHost {
  readonly cache: CacheClient;
  /** Work that goes on behind the callers' backs, which the client's end waits for. It must not reject. */
  background(work: Promise<void>): void;
  /** Tells of keys that this client changes, one or any, until the returned function is called. */
  onChanged(listener: (key: string | undefined) => void): () => void;
}

interface Flight<T> {
  value: Promise<T>;
  /** The key was removed by this client meanwhile: what was made is not to be stored. */
  isVoid: boolean;
}

const TIMEOUT_MS = 250;
const WAIT_MS = 500;
const FLIGHTS_MAX = 10_000;
const REFRESHES_MAX = 64;

export function cachedFunction<Args extends readonly unknown[], T>(
  host: CachedHost,
  fn: (...args: Args) => T | Promise<T>,
  options: CachedOptions<Args, T>,
): Cached<Args, T> {
  const runner = new CachedRunner(host, fn, options);
  return Object.assign((...args: Args) => runner.call(args), { figures: runner.figures });
}

class CachedRunner<Args extends readonly unknown[], T> {
  readonly figures: CachedFigures = {
    ...{ hits: 0, stale: 0, misses: 0, joined: 0, fallbacks: 0, stored: 0, voided: 0, failed: 0 },
  };
  readonly #host: CachedHost;
  readonly #cache: CacheClient;
  readonly #fn: (...args: Args) => T | Promise<T>;
  readonly #options: CachedOptions<Args, T>;
  readonly #codec: Codec<T>;
  readonly #ttlSeconds: number | undefined;
  readonly #timeoutMs: number;
  readonly #waitMs: number;
  readonly #flights = new Map<string, Flight<T>>();
  readonly #refreshes = new Map<string, Flight<T>>();
  readonly #outage = new Outage();
  /** The server gives leases: a stale value without one is another's to make anew. */
  #hasLeases = false;
  /** While there is anything that a change would make void. */
  #unwatch: (() => void) | undefined;

  /** @throws ClientError `bad-header` when a time is no duration of whole seconds, `bad-request` of one in milliseconds. */
  constructor(host: CachedHost, fn: (...args: Args) => T | Promise<T>, options: CachedOptions<Args, T>) {
    const { ttl, staleWhileRevalidate, staleIfError, timeoutMs = TIMEOUT_MS, waitMs = WAIT_MS } = options;
    try {
      putHeaders('', { ttl, staleWhileRevalidate, staleIfError });
    } catch (error) {
      throw clientErrorOf(error);
    }
    checkNumber('timeoutMs', timeoutMs, 1, CLIENT_OPTIONS.timeoutMs.max);
    checkNumber('waitMs', waitMs, 0, LEASE_LIMITS.waitMs);
    this.#host = host;
    this.#cache = host.cache;
    this.#fn = fn;
    this.#options = options;
    this.#codec = options.codec ?? jsonCodec<T>();
    this.#ttlSeconds = ttl === undefined ? undefined : secondsOf('ttl', ttl);
    this.#timeoutMs = timeoutMs;
    this.#waitMs = waitMs;
  }

  async call(args: Args): Promise<T> {
    const key = this.#keyOf(args);
    const flight = key === undefined ? undefined : this.#flights.get(key);
    if (flight !== undefined) {
      this.figures.joined++;
      return flight.value;
    }
    if (key === undefined || this.#flights.size >= FLIGHTS_MAX) {
      this.figures.fallbacks++;
      return this.#fn(...args);
    }
    const begun: Flight<T> = { value: NEVER, isVoid: false };
    this.#begin(this.#flights, key, begun);
    begun.value = this.#run(key, args, begun);
    return begun.value;
  }

  async #run(key: string, args: Args, flight: Flight<T>): Promise<T> {
    let storing = false;
    try {
      const read = await this.#read(key);
      if (read instanceof ClientError) {
        this.figures.fallbacks++;
        return await this.#fn(...args);
      }
      const held = this.#decoded(read);
      if (held !== undefined) {
        if (this.#isStale(read)) this.#refresh(key, args, read);
        this.figures[this.#isStale(read) ? 'stale' : 'hits']++;
        return held.value;
      }
      this.figures.misses++;
      const value = await this.#fn(...args);
      // Without a lease where there are leases, nobody knows what has happened to the key meanwhile.
      if (read.lease !== undefined || !this.#hasLeases) {
        storing = true;
        const stored = this.#store(key, args, value, read.lease, flight).finally(() =>
          this.#end(this.#flights, key, flight),
        );
        this.#host.background(stored);
      }
      return value;
    } finally {
      if (!storing) this.#end(this.#flights, key, flight);
    }
  }

  /** What there is of a key, waiting for another who makes it; the error for which the function is to be called. */
  async #read(key: string): Promise<EntryRead | ClientError> {
    if (!this.#outage.mayAsk()) return AWAY;
    const endsAtMs = performance.now() + this.#timeoutMs;
    try {
      let read = await within(this.#cache.readSoon(key), this.#timeoutMs);
      const left = () => Math.max(1, endsAtMs - performance.now());
      if (read.entry === undefined && !read.isWhole) {
        const timeoutMs = left();
        read = await within(this.#cache.read(key, { timeoutMs }), timeoutMs);
      }
      this.#hasLeases ||= read.lease !== undefined || read.isBeingMade;
      if (read.isBeingMade && this.#waitMs > 0) {
        const timeoutMs = Math.ceil(this.#waitMs + left());
        read = await within(this.#cache.read(key, { timeoutMs }, this.#waitMs), timeoutMs);
      }
      this.#outage.succeeded();
      return read;
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** Makes a stale value anew, if that is up to this process, once at a time. */
  #refresh(key: string, args: Args, read: EntryRead): void {
    if (this.#refreshes.has(key) || this.#refreshes.size >= REFRESHES_MAX) return;
    const refresh: Flight<T> = { value: NEVER, isVoid: false };
    this.#begin(this.#refreshes, key, refresh);
    const run = async () => {
      try {
        const { lease } = read.isWhole ? read : await this.#cache.read(key);
        this.#hasLeases ||= lease !== undefined;
        if (lease === undefined && this.#hasLeases) return;
        await this.#store(key, args, await this.#fn(...args), lease, refresh);
      } catch {
        // The function's own error, or the server's: the stale value was an answer, and the next call tries again.
        this.figures.failed++;
      } finally {
        this.#end(this.#refreshes, key, refresh);
      }
    };
    this.#host.background(run());
  }

  /** Never rejects. */
  async #store(
    key: string,
    args: Args,
    value: T,
    lease: string | undefined,
    flight: Flight<T>,
  ): Promise<void> {
    try {
      const body = this.#codec.encode(value);
      if (body === undefined) return;
      if (flight.isVoid) {
        this.figures.voided++;
        return;
      }
      const { ttl, staleWhileRevalidate, staleIfError, tags } = this.#options;
      const outcome = await this.#cache.put(key, body, {
        ...{ contentType: this.#codec.contentType, ttl, staleWhileRevalidate, staleIfError, lease },
        tags: typeof tags === 'function' ? tags(value, ...args) : tags,
      });
      if (outcome === 'stored') this.figures.stored++;
      else if (outcome === 'void') this.figures.voided++;
    } catch (error) {
      this.figures.failed++;
      this.#failed(error);
    }
  }

  /** A box, as the value itself may be undefined. Nothing: there is none that this function has made. */
  #decoded({ entry }: EntryRead): { readonly value: T } | undefined {
    if (entry === undefined || entry.contentType !== this.#codec.contentType) return undefined;
    try {
      return { value: this.#codec.decode(entry.bytes) };
    } catch {
      return undefined;
    }
  }

  #isStale({ entry, lease }: EntryRead): boolean {
    if (entry === undefined) return false;
    const { ttlSeconds, ageSeconds } = entry;
    if (lease !== undefined || (ttlSeconds !== undefined && ttlSeconds < 0)) return true;
    // From below its memory, the server says the age alone.
    return ttlSeconds === undefined && this.#ttlSeconds !== undefined && ageSeconds >= this.#ttlSeconds;
  }

  #keyOf(args: Args): string | undefined {
    try {
      const key = this.#options.key(...args);
      return typeof key === 'string' ? key : this.#cache.key(key);
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  #failed(error: unknown): ClientError {
    const reason =
      error instanceof ClientError
        ? error
        : new ClientError('bad-answer', 'reading or writing a cached value failed', { cause: error });
    this.#outage.failed(reason);
    try {
      this.#options.onFailure?.(reason);
    } catch {
      // Who listens is not to harm who calls.
    }
    return reason;
  }

  /** Calls from now on begin anew, and what is on its way is not stored. */
  #void(key: string | undefined): void {
    for (const flights of [this.#flights, this.#refreshes]) {
      const affected = key === undefined ? [...flights] : [[key, flights.get(key)] as const];
      for (const [name, flight] of affected) {
        if (flight === undefined) continue;
        flight.isVoid = true;
        this.#end(flights, name, flight);
      }
    }
  }

  #begin(flights: Map<string, Flight<T>>, key: string, flight: Flight<T>): void {
    flights.set(key, flight);
    this.#unwatch ??= this.#host.onChanged(changed => this.#void(changed));
  }

  #end(flights: Map<string, Flight<T>>, key: string, flight: Flight<T>): void {
    if (flights.get(key) === flight) flights.delete(key);
    if (this.#flights.size > 0 || this.#refreshes.size > 0) return;
    this.#unwatch?.();
    this.#unwatch = undefined;
  }
}

const AWAY = new ClientError('connection', 'the server has failed several times in a row and is left alone');
const NEVER = new Promise<never>(() => undefined);
