/** One named cache of a store in the process: as `CacheClient` has it, without a server between. */
import { HeadraceError } from '../base/errors.js';
import { checkId } from '../base/keys.js';
import { canonicalKey } from '../caches/canonical-key.js';
import type { KeyParts } from '../caches/canonical-key-parts.js';
import type { CacheDefinition } from '../caches/definition.js';
import { ENTRY_LIMITS, EntryReader } from '../caches/entry.js';
import { readEntryHead } from '../caches/entry-headers.js';
import { entryId, ofEntryIds } from '../caches/entry-id.js';
import { ageSeconds, freshnessOf } from '../caches/freshness.js';
import { type CacheEntry, cacheEntry } from '../client/cache-entry.js';
import { type PutEntryOptions, putHeaders } from '../client/entry-put.js';
import type { Invalidation } from '../client/invalidation.js';
import type { RowSink } from '../lookup/record-store.js';
import { readInvalidation } from '../lookup/request-json.js';
import type { Invalidation as Selection } from '../views/fence.js';
import type { View } from '../views/schema.js';
import type { StoreParts } from './store-parts.js';

export class StoreCache {
  readonly name: string;
  readonly #parts: StoreParts;
  readonly #definition: CacheDefinition;
  readonly #entry = new EntryReader();

  /** @throws HeadraceError `cache-not-found` */
  constructor(parts: StoreParts, name: string) {
    const definition = parts.definitions.find(cache => cache.name === name);
    if (definition === undefined) throw new HeadraceError('cache-not-found', `there is no cache ${name}`);
    if (definition.embedding !== undefined)
      throw new HeadraceError(
        'cache-not-found',
        `the cache ${name} is of embeddings, which only a server reads`,
      );
    this.name = name;
    this.#parts = parts;
    this.#definition = definition;
  }

  /** The entry, when shared memory has it and it may be served. */
  getSync(key: string): CacheEntry | undefined {
    const { records } = this.#parts;
    const view = this.#parts.entryView(this.#definition);
    if (view === undefined || !this.#definition.enabled) return undefined;
    const length = records.probe(view, this.#id(key), records.now());
    return length < 0 ? undefined : this.#entryOf(records.l1Bytes, 0, length);
  }

  /** `undefined`: there is none that may be served. @throws HeadraceError `unavailable` when that is not known. */
  async get(key: string): Promise<CacheEntry | undefined> {
    const id = this.#id(key);
    if (!this.#definition.enabled) return undefined;
    const { records } = this.#parts;
    const view = this.#view();
    const length = records.probe(view, id, records.now());
    if (length >= 0) return this.#entryOf(records.l1Bytes, 0, length);
    const record = await orEmptied(records.fetch(view, id), undefined);
    return record && this.#entryOf(record, 0, record.length);
  }

  /** In the order of the keys. @throws HeadraceError `unavailable` when of any it is not known. */
  async batchGet(keys: readonly string[]): Promise<(CacheEntry | undefined)[]> {
    const ids = keys.map(key => this.#id(key));
    if (!this.#definition.enabled || keys.length === 0) return keys.map(() => undefined);
    const entries = new Array<CacheEntry | undefined>(keys.length).fill(undefined);
    let isKnown = true;
    const sink: RowSink = {
      gather: () => 0,
      present: (row, bytes, offset, length) => {
        entries[row] = this.#entryOf(bytes, offset, length);
      },
      absent: () => undefined,
      unavailable: () => {
        isKnown = false;
      },
    };
    const misses = await this.#parts.records.lookup(this.#view(), ids, sink);
    if (!isKnown)
      throw misses?.failure ?? new HeadraceError('unavailable', 'some entries cannot be read now');
    return entries;
  }

  /** Resolves when it is durable. */
  async put(
    key: string,
    value: Uint8Array | string,
    options: Omit<PutEntryOptions, 'lease'> = {},
  ): Promise<'stored' | 'not-stored'> {
    const id = this.#id(key);
    const headers = putHeaders(value, options);
    const head = readEntryHead(
      {
        contentType: headers['content-type'] ?? '',
        contentEncoding: '',
        cacheControl: headers['cache-control'] ?? '',
        cacheTags: headers['cache-tags'] ?? '',
      },
      this.#definition,
    );
    const payload = typeof value === 'string' ? Buffer.from(value) : value;
    const { payloadBytes } = ENTRY_LIMITS;
    if (payload.length > payloadBytes)
      throw new HeadraceError('body-too-large', `the entry has more than ${payloadBytes} bytes`);
    if (!this.#definition.enabled) return 'not-stored';
    const written = this.#parts.records.writeEntry(this.#view(), id, head, payload);
    return orEmptied(
      written.then(() => 'stored' as const),
      'not-stored',
    );
  }

  /** Whether there was one or not. */
  async delete(key: string): Promise<void> {
    await orEmptied<unknown>(this.#parts.records.remove(this.#view(), this.#id(key)), undefined);
  }

  /** The canonical key. @throws HeadraceError `invalid-key` */
  key(parts: KeyParts): string {
    return canonicalKey(parts);
  }

  /**
   * Removes entries for good: when this resolves, no thread reads them any more. Resolves to how many of the keys there
   * were; of all, to how many memory held; else to `null`, for that is known only when they are erased.
   */
  async invalidate(what: Invalidation): Promise<number | null> {
    const read = readInvalidation(Buffer.from(JSON.stringify(what)));
    return invalidateEntries(this.#parts, this.#definition, read);
  }

  #id(key: string): string {
    checkId(key);
    return entryId(this.#definition, key);
  }

  #view(): View {
    return entryView(this.#parts, this.#definition);
  }

  #entryOf(bytes: Uint8Array, offset: number, length: number): CacheEntry | undefined {
    const entry = this.#entry;
    const nowMs = this.#parts.records.now();
    entry.reset(bytes, offset, length);
    if (entry.isTombstone || entry.isAbsent || freshnessOf(entry, nowMs) === 'old') return undefined;
    return cacheEntry({
      bytes: entry.payload.slice(),
      contentType: entry.contentType,
      etag: entry.etag,
      ageSeconds: ageSeconds(entry.writtenAt, nowMs),
      ttlSeconds: Math.floor((entry.freshUntil - nowMs) / 1000),
    });
  }
}

/** Removes entries for good, as `StoreCache.invalidate` does. */
export async function invalidateEntries(
  parts: StoreParts,
  cache: CacheDefinition,
  what: Selection,
): Promise<number | null> {
  const ofIds = ofEntryIds(cache, what);
  const view = entryView(parts, cache);
  if (ofIds.kind !== 'ids') return parts.fence(cache, ofIds);
  return orEmptied(parts.records.erase(view, ofIds.ids), 0);
}

/** @throws HeadraceError `unavailable` */
function entryView(parts: StoreParts, cache: CacheDefinition): View {
  const view = parts.entryView(cache);
  if (view === undefined) throw new HeadraceError('unavailable', `the cache ${cache.name} is not ready yet`);
  return view;
}

/** What there is when the store has lost the cache meanwhile, and it was made anew. */
async function orEmptied<T>(promise: Promise<T>, emptied: T): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof HeadraceError && error.code === 'view-not-found') return emptied;
    throw error;
  }
}
