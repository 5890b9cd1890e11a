/**
 * `/v1/caches/{cache}/entries/{key}`: get, head, put, delete. As for records, a hit in shared memory is answered before
 * `read` returns, and allocates nothing that outlives it.
 */
import type { Version } from '../base/clock.js';
import type { CacheDefinition } from '../caches/definition.js';
import { isOfFormat } from '../caches/embeddings/embedding.js';
import { EntryReader } from '../caches/entry.js';
import { isHeldByClient } from '../caches/entry-headers.js';
import { entryId } from '../caches/entry-id.js';
import { ageSeconds, EARLY_MS_MAX, freshnessOf, isDueAtOrigin, isDueEarly } from '../caches/freshness.js';
import type { SharedLease } from '../caches/lease-claim.js';
import { leasedUntil, newSecret, tokenText } from '../caches/lease-mark.js';
import { LEASE_LIMITS } from '../caches/lease-room.js';
import type { View } from '../views/schema.js';
import { CacheStatus, type Forward, SWITCHED_OFF } from './cache-status.js';
import { EntryHitHeaders } from './entry-hit-headers.js';
import {
  type Asked,
  answerMissing,
  EntryMisses,
  type Lack,
  LEASE_HEADER,
  type Source,
} from './entry-misses.js';
import { EntryOrigins, wasEmptied } from './entry-origins.js';
import type { EntryPrefetchers } from './entry-prefetchers.js';
import { EntryWrites, type EntryWritesOptions, notReady } from './entry-writes.js';
import type { Exchange } from './front.js';
import { ACCEPT, IF_NONE_MATCH, SESSION, TIMING } from './header-names.js';
import { Prefixes } from './prefixes.js';
import { readQuery, readWait } from './query.js';
import type { RouteHandlers } from './routes.js';
import { TIMING_OFF, timingOf } from './server-timing.js';
import { vectorFormOf } from './vector-form.js';

export interface EntryHandlerOptions extends EntryWritesOptions {
  /** An answer from what is remembered of the cache's origin: that there is none. */
  readonly onNegativeHit: (cache: CacheDefinition) => void;
  readonly prefetchers: Pick<EntryPrefetchers, 'of'>;
}

export function entryHandlers(options: EntryHandlerOptions): RouteHandlers['entry'] {
  const handlers = new EntryHandlers(options);
  const writes = new EntryWrites(options);
  const read = (exchange: Exchange, cache: CacheDefinition, key: string) =>
    handlers.read(exchange, cache, key);
  return {
    GET: read,
    HEAD: read,
    PUT: (exchange, cache, key) => writes.write(exchange, cache, key),
    DELETE: (exchange, cache, key) => writes.remove(exchange, cache, key),
  };
}

class EntryHandlers {
  readonly #options: EntryHandlerOptions;
  readonly #entry = new EntryReader();
  readonly #status = new CacheStatus();
  readonly #prefixes: Prefixes;
  readonly #misses: EntryMisses;
  readonly #origins: EntryOrigins;
  /** Used for every hit: the front has taken them when `respond` returns. */
  readonly #hitHeaders = new EntryHitHeaders();
  readonly #headers: string[] = ['content-type', '', 'etag', '', 'age', '', 'cache-status', ''];
  readonly #vectorHeaders: string[] = [...this.#headers, 'vary', 'accept'];
  /** The last query and what it says: clients that wait do so each time alike. */
  #query = '';
  #waitMs = 0;

  constructor(options: EntryHandlerOptions) {
    const { store, leasesOf, answerError, isShared } = options;
    this.#options = options;
    this.#prefixes = new Prefixes(store.l1Bytes);
    this.#origins = new EntryOrigins({
      ...options,
      serve: (exchange, asked, record, status) => {
        this.#entry.reset(record);
        this.#respond(exchange, asked, status, store.now());
      },
    });
    this.#misses = new EntryMisses({
      ...{ leasesOf, answerError },
      askOrigin: (exchange, asked, forward) => this.#askOrigin(exchange, asked, forward),
      probe: asked => this.#probe(asked),
      fetch: asked => this.#fetch(asked),
      lackOf: (asked, record, source) => {
        this.#entry.reset(record);
        return this.#lack(asked, source, store.now());
      },
      serve: (exchange, asked, record, source) => {
        this.#entry.reset(record);
        this.#serve(exchange, asked, record, source, store.now());
      },
      serveDue: (exchange, asked, { record, source, token }) => {
        this.#entry.reset(record);
        const nowMs = store.now();
        this.#respond(exchange, asked, this.#statusOf(source, nowMs), nowMs, token);
      },
      lease: isShared ? (asked, over) => this.#lease(asked, over) : undefined,
      now: () => store.now(),
    });
  }

  read(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { store, viewOf } = this.#options;
    const asked = {
      cache,
      key,
      id: entryId(cache, key),
      // Asking for a header that does not count would cost each hit a call.
      form: cache.embedding && vectorFormOf(cache.embedding, exchange.header(ACCEPT)),
      ifNoneMatch: exchange.header(IF_NONE_MATCH),
      waitMs: exchange.query === '' ? 0 : this.#waitOf(exchange.query),
      timing: timingOf(exchange.header(TIMING)),
    };
    if (!cache.enabled) {
      if (cache.origin !== undefined) return this.#askOrigin(exchange, asked, 'bypass');
      return answerMissing(exchange, asked, SWITCHED_OFF);
    }
    const view = viewOf(cache);
    if (view === undefined) return this.#answerNotReady(exchange, cache);
    const { timing } = asked;
    if (timing !== TIMING_OFF) timing.lap('parse');
    const session = cache.prefetch === undefined ? '' : exchange.header(SESSION);
    const nowMs = store.now();
    const length = store.probe(view, asked.id, nowMs);
    const hash = session === '' ? 0 : store.idHash;
    if (timing !== TIMING_OFF) timing.lap('l1');
    const isHit = this.#answer(exchange, asked, length, nowMs);
    if (session !== '') this.#options.prefetchers.of(cache)?.saw(session, hash, asked.id, isHit, nowMs);
  }

  /** With what memory has, of this length, if it may be served: whether it was. */
  #answer(exchange: Exchange, asked: Asked, length: number, nowMs: number): boolean {
    let lack: Lack | undefined;
    if (length >= 0) {
      const record = this.#prefixes.of(length);
      this.#entry.reset(record);
      lack = this.#lack(asked, 'L1', nowMs);
      if (lack === undefined) {
        this.#serve(exchange, asked, record, 'L1', nowMs);
        return true;
      }
    }
    this.#misses.answer(exchange, asked, lack);
    return false;
  }

  #waitOf(query: string): number {
    if (query !== this.#query) {
      this.#waitMs = readWait('wait', readQuery(query, ['wait']).wait, LEASE_LIMITS.waitMs);
      this.#query = query;
    }
    return this.#waitMs;
  }

  #probe({ cache, id }: Asked): Uint8Array | undefined {
    const { store, viewOf } = this.#options;
    const view = viewOf(cache);
    const length = view === undefined ? -1 : store.probe(view, id, store.now());
    return length < 0 ? undefined : this.#prefixes.of(length);
  }

  async #fetch({ cache, id, timing }: Asked): Promise<Uint8Array | undefined> {
    try {
      return await this.#options.store.fetch(this.#view(cache), id);
    } catch (error) {
      if (wasEmptied(error)) return undefined;
      throw error;
    } finally {
      if (timing !== TIMING_OFF) timing.lap('l3');
    }
  }

  /** Of a lease at the store: until then another makes it. */
  async #lease({ cache, id }: Asked, over: Version | null): Promise<SharedLease | undefined> {
    const { store, leasesOf } = this.#options;
    const secret = newSecret();
    const untilMs = store.now() + (leasesOf(cache)?.leaseMs ?? 0);
    try {
      const version = await store.leaseEntry(this.#view(cache), id, { untilMs, secret }, over);
      return version === null ? undefined : { token: tokenText({ version, secret }), untilMs };
    } catch (error) {
      if (wasEmptied(error)) return undefined;
      throw error;
    }
  }

  /** Where the cache has an origin, that one has the last word. */
  #askOrigin(exchange: Exchange, asked: Asked, forward: Forward): void {
    const view = this.#options.viewOf(asked.cache);
    if (view === undefined) this.#answerNotReady(exchange, asked.cache);
    else this.#origins.ask(exchange, asked, view, forward);
  }

  #answerNotReady(exchange: Exchange, cache: CacheDefinition): void {
    this.#options.answerError(exchange, notReady(cache), ['cache-status', this.#status.failed]);
  }

  /** Why the entry cannot be served; `undefined` when it can. That an origin has none is served as well. */
  #lack({ cache }: Asked, source: Source, nowMs: number): Lack | undefined {
    const entry = this.#entry;
    const { isTombstone } = entry;
    const isUnreadable = !isTombstone && !isOfFormat(cache.embedding, entry);
    const isNone = isTombstone || isUnreadable || (cache.origin === undefined && entry.isAbsent);
    if (!isNone && freshnessOf(entry, nowMs) !== 'old') return undefined;
    const missing = source === 'L1' ? MISS_L1 : this.#status.miss;
    if (isTombstone) return { status: missing, forward: 'miss', leasedUntilMs: 0, over: null };
    const leasedUntilMs = leasedUntil(entry, nowMs);
    const over = isUnreadable ? entry.version : null;
    if (isNone || entry.isVacant) return { status: missing, forward: 'miss', leasedUntilMs, over };
    return { status: source === 'L1' ? OLD_L1 : OLD_BELOW, forward: 'stale', leasedUntilMs, over };
  }

  #serve(exchange: Exchange, asked: Asked, record: Uint8Array, source: Source, nowMs: number): void {
    const { store, viewOf, onNegativeHit } = this.#options;
    const { cache, id } = asked;
    const entry = this.#entry;
    if (entry.isAbsent) {
      onNegativeHit(cache);
      return answerMissing(exchange, asked, this.#statusOf(source, nowMs));
    }
    // Most are fresh for long: there is nothing more to be asked.
    const { freshUntil } = entry;
    const isNear = nowMs >= freshUntil - Math.max(EARLY_MS_MAX, cache.refreshAheadMs);
    const isDue = isNear && this.#isDue(cache, nowMs);
    if (isDue && cache.origin === undefined)
      return this.#misses.refresh(exchange, asked, { record, source }, entry.version);
    const isPlain = asked.form === undefined && asked.ifNoneMatch === '' && asked.timing === TIMING_OFF;
    if (source === 'L1' && isPlain && this.#hitHeaders.take(entry, nowMs))
      exchange.respond(200, this.#hitHeaders, entry.payload);
    else this.#respond(exchange, asked, this.#statusOf(source, nowMs), nowMs);
    const view = isDue ? viewOf(cache) : undefined;
    if (view !== undefined) store.refresh(view, id, nowMs, freshUntil);
  }

  /** To be made anew by one of those who are served it: while it is stale, and now and then before. */
  #isDue({ origin, refreshAheadMs }: CacheDefinition, nowMs: number): boolean {
    const entry = this.#entry;
    if (nowMs >= entry.freshUntil) return leasedUntil(entry, nowMs) <= nowMs;
    if (origin !== undefined) return isDueAtOrigin(entry, refreshAheadMs, nowMs, Math.random());
    return isDueEarly(entry, nowMs, Math.random()) && leasedUntil(entry, nowMs) <= nowMs;
  }

  #statusOf(source: Source, nowMs: number): string {
    if (source === 'L1') return this.#status.hit(this.#entry.freshUntil, nowMs);
    return source === 'made' ? MADE : this.#status.miss;
  }

  /** Answers with the entry that the reader is set on. */
  #respond(exchange: Exchange, asked: Asked, cacheStatus: string, nowMs: number, token?: string): void {
    const entry = this.#entry;
    const { form, timing, ifNoneMatch } = asked;
    const served = form === undefined ? entry : form.of(entry);
    // What is damaged is as good as none.
    if (served === undefined) return answerMissing(exchange, asked, this.#status.miss);
    const headers = form === undefined ? this.#headers : this.#vectorHeaders;
    const { etag } = served;
    headers[1] = served.contentType;
    headers[3] = etag;
    headers[5] = String(ageSeconds(entry.writtenAt, nowMs));
    headers[7] = cacheStatus;
    const isHeld = isHeldByClient(ifNoneMatch, etag);
    const body = isHeld ? '' : served.payload;
    const status = isHeld ? 304 : 200;
    if (timing === TIMING_OFF && token === undefined) return exchange.respond(status, headers, body);
    const more = token === undefined ? [] : [LEASE_HEADER, token];
    if (timing === TIMING_OFF) return exchange.respond(status, [...headers, ...more], body);
    timing.lap('encode');
    exchange.respond(status, [...headers, ...more, 'server-timing', timing.header()], body);
  }

  #view(cache: CacheDefinition): View {
    const view = this.#options.viewOf(cache);
    if (view === undefined) throw notReady(cache);
    return view;
  }
}

const MISS_L1 = 'headrace; fwd=miss; detail=L1';
const OLD_L1 = 'headrace; fwd=stale; detail=L1';
const OLD_BELOW = 'headrace; fwd=stale; detail=L3';
/** Another has made it while this was waited for. */
const MADE = 'headrace; fwd=miss; collapsed; detail=L1';
