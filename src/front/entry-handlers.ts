/**
 * `/v1/caches/{cache}/entries/{key}`: get, head, put, delete. As for records, a hit in shared memory is answered before
 * `read` returns, and allocates nothing that outlives it.
 */
import { HeadraceError } from '../base/errors.js';
import { checkId } from '../base/keys.js';
import type { CacheDefinition } from '../caches/definition.js';
import { ENTRY_LIMITS, type EntryHead, EntryReader } from '../caches/entry.js';
import { isHeldByClient, readEntryHead } from '../caches/entry-headers.js';
import { ageSeconds, EARLY_MS_MAX, freshnessOf, isDueEarly } from '../caches/freshness.js';
import { LEASE_LIMITS } from '../caches/lease-room.js';
import type { LeaseTable } from '../caches/lease-table.js';
import type { RecordStore } from '../lookup/record-store.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { CacheStatus, FORWARDED, STORED, UNSTORED } from './cache-status.js';
import { type Asked, answerMissing, EntryMisses, LEASE_HEADER, type Source } from './entry-misses.js';
import type { Exchange } from './front.js';
import { Prefixes } from './prefixes.js';
import { readQuery, readWait } from './query.js';
import type { RouteHandlers } from './routes.js';
import { TIMING_OFF, timingOf } from './server-timing.js';

export interface EntryHandlerOptions {
  readonly store: RecordStore;
  /** The view that holds the entries; `undefined` while it is not known. */
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  /** Of a cache whose entries its clients make. */
  readonly leasesOf: (cache: CacheDefinition) => LeaseTable | undefined;
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
  readonly #misses: EntryMisses;
  /** Used for every hit: the front has taken it when `respond` returns. */
  readonly #headers: string[] = ['content-type', '', 'etag', '', 'age', '', 'cache-status', ''];
  /** The last query and what it says: clients that wait do so each time alike. */
  #query = '';
  #waitMs = 0;

  constructor(options: EntryHandlerOptions) {
    const { store, leasesOf, answerError } = options;
    this.#options = options;
    this.#prefixes = new Prefixes(store.l1Bytes);
    this.#misses = new EntryMisses({
      ...{ leasesOf, answerError },
      probe: asked => this.#probe(asked),
      fetch: asked => this.#fetch(asked),
      lackOf: (record, source) => {
        this.#entry.reset(record);
        return this.#lack(source, store.now());
      },
      serve: (exchange, asked, record, source) => {
        this.#entry.reset(record);
        this.#serve(exchange, asked, source, store.now());
      },
      now: () => store.now(),
    });
  }

  read(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { store, viewOf } = this.#options;
    const asked = {
      cache,
      key,
      id: entryId(cache, key),
      ifNoneMatch: exchange.header('if-none-match'),
      waitMs: exchange.query === '' ? 0 : this.#waitOf(exchange.query),
      timing: timingOf(exchange.header('headrace-timing')),
    };
    if (!cache.enabled) return answerMissing(exchange, asked, SWITCHED_OFF);
    const view = viewOf(cache);
    if (view === undefined) return answerMissing(exchange, asked, this.#status.failed);
    const { timing } = asked;
    if (timing !== TIMING_OFF) timing.lap('parse');
    const nowMs = store.now();
    const length = store.probe(view, asked.id, nowMs);
    if (timing !== TIMING_OFF) timing.lap('l1');
    if (length < 0) return this.#misses.answer(exchange, asked, '');
    this.#entry.reset(this.#prefixes.of(length));
    const lack = this.#lack('L1', nowMs);
    if (lack === '') this.#serve(exchange, asked, 'L1', nowMs);
    else this.#misses.answer(exchange, asked, lack);
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

  /** Why the entry cannot be served, as a `Cache-Status`; '' when it can. */
  #lack(source: Source, nowMs: number): string {
    if (this.#entry.isTombstone) return source === 'L1' ? MISS_L1 : this.#status.miss;
    if (freshnessOf(this.#entry, nowMs) !== 'old') return '';
    return source === 'L1' ? OLD_L1 : OLD_BELOW;
  }

  #serve(exchange: Exchange, asked: Asked, source: Source, nowMs: number): void {
    const entry = this.#entry;
    const { timing, ifNoneMatch } = asked;
    const headers = this.#headers;
    const { etag, freshUntil } = entry;
    headers[1] = entry.contentType;
    headers[3] = etag;
    headers[5] = String(ageSeconds(entry.writtenAt, nowMs));
    headers[7] =
      source === 'L1' ? this.#status.hit(freshUntil, nowMs) : source === 'made' ? MADE : this.#status.miss;
    const token = nowMs < freshUntil - EARLY_MS_MAX ? undefined : this.#refresh(exchange, asked, nowMs);
    const isHeld = isHeldByClient(ifNoneMatch, etag);
    const body = isHeld ? '' : entry.payload;
    const status = isHeld ? 304 : 200;
    if (timing === TIMING_OFF && token === undefined) return exchange.respond(status, headers, body);
    const more = token === undefined ? [] : [LEASE_HEADER, token];
    if (timing === TIMING_OFF) return exchange.respond(status, [...headers, ...more], body);
    timing.lap('encode');
    exchange.respond(status, [...headers, ...more, 'server-timing', timing.header()], body);
  }

  /** The lease of whoever is to make anew what it is served: one of many while it is stale, and one before it is. */
  #refresh(exchange: Exchange, { cache, id }: Asked, nowMs: number): string | undefined {
    const isDue = nowMs >= this.#entry.freshUntil || isDueEarly(this.#entry, nowMs, Math.random());
    if (!isDue || exchange.method === 'HEAD') return undefined;
    return this.#options.leasesOf(cache)?.refresh(id);
  }

  write(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { bodyBytesMax, answerError } = this.#options;
    const id = entryId(cache, key);
    const lease = exchange.header(LEASE_HEADER);
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
      const put = { cache, id, head, body };
      const written = lease === '' ? this.#put(put) : this.#fill(put, lease);
      written
        .then(() => kept.respond(204, STORED, ''))
        .catch(error => {
          if (wasEmptied(error)) kept.respond(204, UNSTORED, '');
          else answerError(kept, error);
        });
    });
  }

  async #put({ cache, id, head, body }: EntryPut): Promise<void> {
    const { store, leasesOf } = this.#options;
    const view = this.#view(cache);
    const leases = leasesOf(cache);
    leases?.hold(id);
    try {
      await store.writeEntry(view, id, head, body);
    } finally {
      leases?.void(id);
    }
  }

  /** @throws HeadraceError `lease-lost`: nothing is stored then. */
  async #fill({ cache, id, head, body }: EntryPut, token: string): Promise<void> {
    const { store, leasesOf } = this.#options;
    const view = this.#view(cache);
    const leases = leasesOf(cache);
    const fill = leases?.take(id, token);
    if (leases === undefined || fill === undefined) throw leaseLost();
    try {
      const { applied } = await store.writeEntry(view, id, head, body, { tookMs: fill.tookMs });
      if (applied) return;
      leases.refused++;
      throw leaseLost();
    } catch (error) {
      // Emptied since: what was made before that is not kept.
      throw wasEmptied(error) ? leaseLost() : error;
    } finally {
      fill.end();
    }
  }

  remove(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { store, answerError, leasesOf } = this.#options;
    const id = entryId(cache, key);
    const view = this.#view(cache);
    const kept = exchange.later();
    leasesOf(cache)?.void(id);
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
    if (view === undefined)
      throw new HeadraceError('unavailable', `the cache ${cache.name} is not ready yet`);
    return view;
  }
}

interface EntryPut {
  readonly cache: CacheDefinition;
  readonly id: string;
  readonly head: EntryHead;
  readonly body: Uint8Array;
}

const SWITCHED_OFF = 'headrace; fwd=bypass';
const MISS_L1 = 'headrace; fwd=miss; detail=L1';
const OLD_L1 = 'headrace; fwd=stale; detail=L1';
const OLD_BELOW = 'headrace; fwd=stale; detail=L3';
/** Another has made it while this was waited for. */
const MADE = 'headrace; fwd=miss; collapsed; detail=L1';

/** @throws HeadraceError `bad-id` when it is too long with the cache's prefix. */
export function entryId({ prefix }: CacheDefinition, key: string): string {
  if (prefix === '') return key;
  const id = prefix + key;
  checkId(id);
  return id;
}

/** All of the cache was invalidated between the asking and the lane's answer. */
export function wasEmptied(error: unknown): boolean {
  return error instanceof HeadraceError && error.code === 'view-not-found';
}

function leaseLost(): HeadraceError {
  return new HeadraceError(
    'lease-lost',
    'the lease is not valid, its time is over, or the entry was written or invalidated since: nothing was stored',
  );
}
