/** Puts and deletions of entries: `entry-handlers.ts` has what reads them. */
import { HeadraceError } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import { storedEntry } from '../caches/embeddings/stored-entry.js';
import { ENTRY_LIMITS, type EntryHead } from '../caches/entry.js';
import { readEntryHead } from '../caches/entry-headers.js';
import { entryId } from '../caches/entry-id.js';
import { readToken } from '../caches/lease-mark.js';
import type { LeaseTable } from '../caches/lease-table.js';
import type { EntryStore } from '../lookup/entry-store.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { FORWARDED, STORED, UNSTORED } from './cache-status.js';
import { LEASE_HEADER } from './entry-misses.js';
import { wasEmptied } from './entry-origins.js';
import type { Exchange } from './front.js';

export interface EntryWritesOptions {
  readonly store: EntryStore;
  /** The view that holds the entries; `undefined` while it is not known. */
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  /** Of a cache whose entries its clients make. */
  readonly leasesOf: (cache: CacheDefinition) => LeaseTable | undefined;
  /** Other servers keep their entries in the same store. */
  readonly isShared: boolean;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

export class EntryWrites {
  readonly #options: EntryWritesOptions;

  constructor(options: EntryWritesOptions) {
    this.#options = options;
  }

  write(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { bodyBytesMax, answerError } = this.#options;
    const id = entryId(cache, key);
    const lease = exchange.headerList(LEASE_HEADER);
    const head = readEntryHead(
      {
        contentType: exchange.headerList('content-type'),
        contentEncoding: exchange.headerList('content-encoding'),
        cacheControl: exchange.headerList('cache-control'),
        cacheTags: exchange.headerList('cache-tags'),
      },
      cache,
    );
    exchange.readBody(Math.min(bodyBytesMax, ENTRY_LIMITS.payloadBytes), (body, kept) => {
      this.#store({ cache, id, head, body }, lease)
        .then(() => kept.respond(204, cache.enabled ? STORED : UNSTORED, ''))
        .catch(error => {
          if (wasEmptied(error)) kept.respond(204, UNSTORED, '');
          else answerError(kept, error);
        });
    });
  }

  async #store(put: EntryPut, lease: string): Promise<void> {
    const { cache } = put;
    // What was kept before is out of date now: it must be gone when the cache is switched on again.
    if (!cache.enabled) return this.#remove(cache, put.id);
    const { head, payload } = storedEntry(cache, put.head, put.body);
    const stored = { ...put, head, body: payload };
    await (lease === '' ? this.#put(stored) : this.#fill(stored, lease));
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
    const { store, leasesOf, isShared } = this.#options;
    const view = this.#view(cache);
    const leases = leasesOf(cache);
    if (leases === undefined) throw leaseLost();
    const fill = leases.take(id, token);
    const given = isShared ? readToken(token) : undefined;
    // Of a lease in the store, only the store knows whether it is good.
    const lease = isShared ? given && { ...given, leaseMs: leases.leaseMs } : fill && { tookMs: fill.tookMs };
    try {
      const isStored = lease !== undefined && (await store.writeEntry(view, id, head, body, lease)).applied;
      if (!isStored) {
        leases.refused++;
        throw leaseLost();
      }
      // Another server gave the lease, and some may wait here.
      if (fill === undefined) leases.void(id);
    } catch (error) {
      // Emptied since: what was made before that is not kept.
      throw wasEmptied(error) ? leaseLost() : error;
    } finally {
      fill?.end();
    }
  }

  remove(exchange: Exchange, cache: CacheDefinition, key: string): void {
    const { answerError } = this.#options;
    const id = entryId(cache, key);
    const kept = exchange.later();
    this.#remove(cache, id)
      .then(() => kept.respond(204, FORWARDED, ''))
      .catch(error => {
        if (wasEmptied(error)) kept.respond(204, FORWARDED, '');
        else answerError(kept, error);
      });
  }

  async #remove(cache: CacheDefinition, id: string): Promise<void> {
    const { store, leasesOf } = this.#options;
    const view = this.#view(cache);
    leasesOf(cache)?.void(id);
    await store.remove(view, id);
  }

  #view(cache: CacheDefinition): View {
    const view = this.#options.viewOf(cache);
    if (view === undefined) throw notReady(cache);
    return view;
  }
}

interface EntryPut {
  readonly cache: CacheDefinition;
  readonly id: string;
  readonly head: EntryHead;
  readonly body: Uint8Array;
}

/** Its store cannot be reached, or has lost it, and what is to hold the entries is not known. */
export function notReady({ name }: CacheDefinition): HeadraceError {
  return new HeadraceError('unavailable', `the cache ${name} is not ready yet`);
}

function leaseLost(): HeadraceError {
  return new HeadraceError(
    'lease-lost',
    'the lease is not valid, its time is over, or the entry was written or invalidated since: nothing was stored',
  );
}
