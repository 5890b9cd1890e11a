/**
 * `/v1/caches/{cache}/entries/{key}`: get, head, put, delete. As for records, a hit in shared memory is answered before
 * `read` returns, and allocates nothing that outlives it.
 */
import { HeadraceError } from '../base/errors.js';
import { checkId } from '../base/keys.js';
import type { CacheDefinition } from '../caches/definition.js';
import { ENTRY_LIMITS, EntryReader } from '../caches/entry.js';
import { isHeldByClient, readEntryHead } from '../caches/entry-headers.js';
import { ageSeconds, freshnessOf } from '../caches/freshness.js';
import type { RecordStore } from '../lookup/record-store.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { CacheStatus, FORWARDED, type Forward, STORED, UNSTORED } from './cache-status.js';
import { type Asked, answerMissing, EntryOrigins, wasEmptied } from './entry-origins.js';
import type { Exchange } from './front.js';
import { Prefixes } from './prefixes.js';
import type { RouteHandlers } from './routes.js';
import { TIMING_OFF, timingOf } from './server-timing.js';

export interface EntryHandlerOptions {
  readonly store: RecordStore;
  /** The view that holds the entries; `undefined` while it is not known. */
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  /** An answer from what is remembered of the cache's origin: that there is none. */
  readonly onNegativeHit: (cache: CacheDefinition) => void;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

export function entryHandlers(options: EntryHandlerOptions): RouteHandlers['entry'] {
  const handlers = new EntryHandlers(options);
  const read = (exchange: Exchange, cache: CacheDefinition, key: string) =>
    handlers.read(exchange, cache, key);
  return {
    GET: read,
    HEAD: read,
    PUT: (exchange, cache, key) => handlers.write(exchange, cache, key),
    DELETE: (exchange, cache, key) => handlers.remove(exchange, cache, key),
  };
}

class EntryHandlers {
  readonly #options: EntryHandlerOptions;
  readonly #entry = new EntryReader();
  readonly #status = new CacheStatus();
  readonly #prefixes: Prefixes;
  readonly #origins: EntryOrigins;
  /** Used for every hit: the front has taken it when `respond` returns. */
  readonly #headers: string[] = ['content-type', '', 'etag', '', 'age', '', 'cache-status', ''];

  constructor(options: EntryHandlerOptions) {
    this.#options = options;
    this.#origins = new EntryOrigins({
      ...options,
      serve: (exchange, asked, record, status) => {
        this.#entry.reset(record);
        this.#serve(exchange, asked, options.store.now(), status);
      },
    });
    this.#prefixes = new Prefixes(options.store.l1Bytes);
  }

  read(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { store, viewOf } = this.#options;
    if (!cache.enabled && cache.origin === undefined)
      return answerMissing(exchange, { cache, key }, SWITCHED_OFF);
    const view = viewOf(cache);
    if (view === undefined)
      return this.#options.answerError(exchange, notReady(cache), ['cache-status', this.#status.failed]);
    const id = entryId(cache, key);
    const timing = timingOf(exchange.header('headrace-timing'));
    const ifNoneMatch = exchange.header('if-none-match');
    const asked = { cache, key, view, id, ifNoneMatch, timing };
    if (!cache.enabled) return this.#miss(exchange, asked, SWITCHED_OFF, 'bypass');
    if (timing !== TIMING_OFF) timing.lap('parse');
    const nowMs = store.now();
    const length = store.probe(view, id, nowMs);
    if (timing !== TIMING_OFF) timing.lap('l1');
    if (length < 0) return this.#readBelow(exchange, asked);
    this.#answer(exchange, asked, this.#prefixes.of(length), true);
  }

  #readBelow(exchange: Exchange, asked: Asked): void {
    const { store, answerError } = this.#options;
    const kept = exchange.later();
    store
      .fetch(asked.view, asked.id)
      .then(record => {
        if (asked.timing !== TIMING_OFF) asked.timing.lap('l3');
        if (record === undefined) this.#miss(kept, asked, this.#status.miss, 'miss');
        else this.#answer(kept, asked, record, false);
      })
      .catch(error => {
        if (wasEmptied(error)) this.#miss(kept, asked, this.#status.miss, 'miss');
        else answerError(kept, error, ['cache-status', this.#status.failed]);
      });
  }

  #answer(exchange: Exchange, asked: Asked, record: Uint8Array, isL1: boolean): void {
    const entry = this.#entry;
    const { store, onNegativeHit } = this.#options;
    const nowMs = store.now();
    entry.reset(record);
    if (entry.isTombstone) return this.#miss(exchange, asked, isL1 ? MISS_L1 : this.#status.miss, 'miss');
    const freshness = freshnessOf(entry, nowMs);
    if (freshness === 'old') return this.#miss(exchange, asked, isL1 ? OLD_L1 : OLD_BELOW, 'stale');
    const status = isL1 ? this.#status.hit(entry.freshUntil, nowMs) : this.#status.miss;
    if (entry.isAbsent) {
      onNegativeHit(asked.cache);
      return answerMissing(exchange, asked, status);
    }
    this.#serve(exchange, asked, nowMs, status);
    if (freshness === 'stale' && asked.cache.origin !== undefined) store.refresh(asked.view, asked.id, nowMs);
  }

  /** Answers with the entry that the reader is set on. */
  #serve(exchange: Exchange, { timing, ifNoneMatch }: Asked, nowMs: number, cacheStatus: string): void {
    const entry = this.#entry;
    const headers = this.#headers;
    const { etag } = entry;
    headers[1] = entry.contentType;
    headers[3] = etag;
    headers[5] = String(ageSeconds(entry.writtenAt, nowMs));
    headers[7] = cacheStatus;
    const isHeld = isHeldByClient(ifNoneMatch, etag);
    const body = isHeld ? '' : entry.payload;
    const status = isHeld ? 304 : 200;
    if (timing === TIMING_OFF) return exchange.respond(status, headers, body);
    timing.lap('encode');
    exchange.respond(status, [...headers, 'server-timing', timing.header()], body);
  }

  /** Where the cache has an origin, that one has the last word. */
  #miss(exchange: Exchange, asked: Asked, status: string, forward: Forward): void {
    if (asked.cache.origin === undefined) answerMissing(exchange, asked, status);
    else this.#origins.ask(exchange, asked, forward);
  }

  write(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { bodyBytesMax, answerError, store } = this.#options;
    const id = entryId(cache, key);
    const head = readEntryHead(
      {
        contentType: exchange.header('content-type'),
        contentEncoding: exchange.headerList('content-encoding'),
        cacheControl: exchange.headerList('cache-control'),
        cacheTags: exchange.headerList('cache-tags'),
      },
      cache,
    );
    exchange.readBody(Math.min(bodyBytesMax, ENTRY_LIMITS.payloadBytes), (body, kept) => {
      if (!cache.enabled) return kept.respond(204, UNSTORED, '');
      // Within a promise, so that a view that is not known is answered like everything else that fails.
      Promise.resolve()
        .then(() => store.writeEntry(this.#view(cache), id, head, body))
        .then(() => kept.respond(204, STORED, ''))
        .catch(error => {
          if (wasEmptied(error)) kept.respond(204, UNSTORED, '');
          else answerError(kept, error);
        });
    });
  }

  remove(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { store, answerError } = this.#options;
    const id = entryId(cache, key);
    const view = this.#view(cache);
    const kept = exchange.later();
    store
      .remove(view, id)
      .then(() => kept.respond(204, FORWARDED, ''))
      .catch(error => {
        if (wasEmptied(error)) kept.respond(204, FORWARDED, '');
        else answerError(kept, error);
      });
  }

  #view(cache: CacheDefinition): View {
    const view = this.#options.viewOf(cache);
    if (view === undefined) throw notReady(cache);
    return view;
  }
}

const SWITCHED_OFF = 'headrace; fwd=bypass';
const MISS_L1 = 'headrace; fwd=miss; detail=L1';
const OLD_L1 = 'headrace; fwd=stale; detail=L1';
const OLD_BELOW = 'headrace; fwd=stale; detail=L3';

/** @throws HeadraceError `bad-id` when it is too long with the cache's prefix. */
export function entryId({ prefix }: CacheDefinition, key: string): string {
  if (prefix === '') return key;
  const id = prefix + key;
  checkId(id);
  return id;
}

/** Its store cannot be reached, or has lost it, and what is to hold the entries is not known. */
export function notReady({ name }: CacheDefinition): HeadraceError {
  return new HeadraceError('unavailable', `the cache ${name} is not ready yet`);
}
