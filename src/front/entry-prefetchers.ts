/** The caches whose readers are learned from, and what is fetched ahead of them; see `prefetcher.ts`. */
import type { CacheDefinition } from '../caches/definition.js';
import { EntryReader } from '../caches/entry.js';
import { freshnessOf } from '../caches/freshness.js';
import type { LiveCaches } from '../caches/live-caches.js';
import { Prefetcher } from '../caches/prefetcher.js';
import type { EntryStore } from '../lookup/entry-store.js';
import type { View } from '../views/schema.js';

export interface EntryPrefetchersOptions {
  readonly caches: LiveCaches;
  readonly store: Pick<EntryStore, 'now' | 'peek' | 'l1Bytes' | 'bring'>;
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
}

export class EntryPrefetchers {
  readonly #options: EntryPrefetchersOptions;
  readonly #byCache = new Map<string, Prefetcher>();
  readonly #entry = new EntryReader();

  constructor(options: EntryPrefetchersOptions) {
    this.#options = options;
    for (const cache of options.caches.all()) {
      const { name, ttlMs, prefetch: definition } = cache;
      if (definition === undefined) continue;
      const prefetcher = new Prefetcher({
        ...{ definition, ttlMs, clock: options.store },
        isHeld: id => this.#isHeld(cache, id),
        fetch: id => this.#fetch(cache, id),
        soon: setImmediate,
      });
      this.#byCache.set(name, prefetcher);
    }
  }

  of({ name }: CacheDefinition): Prefetcher | undefined {
    return this.#byCache.get(name);
  }

  #isHeld(cache: CacheDefinition, id: string): boolean {
    const { store, viewOf } = this.#options;
    const view = viewOf(cache);
    if (view === undefined) return true;
    const nowMs = store.now();
    const length = store.peek(view, id, nowMs);
    if (length < 0) return false;
    // Nobody else has what was deleted.
    if (cache.origin === undefined) return true;
    this.#entry.reset(store.l1Bytes, 0, length);
    return !this.#entry.isTombstone && freshnessOf(this.#entry, nowMs) !== 'old';
  }

  #fetch(cache: CacheDefinition, id: string): void {
    const { caches, store, viewOf } = this.#options;
    const view = viewOf(cache);
    if (view !== undefined && caches.get(cache.name)?.enabled === true) store.bring(view, id);
  }
}
