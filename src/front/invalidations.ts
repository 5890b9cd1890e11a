/** Invalidations of views and caches, whoever asks for them: done, counted by what caused them, and logged. */
import { HeadraceError } from '../base/errors.js';
import { shown } from '../base/problem-list.js';
import type { CacheDefinition } from '../caches/definition.js';
import { ofEntryIds } from '../caches/entry-id.js';
import type { LeaseTable } from '../caches/lease-table.js';
import type { RecordStore } from '../lookup/record-store.js';
import { InvalidationCounts, type InvalidationFigures } from '../observe/invalidation-counts.js';
import type { Log } from '../observe/log.js';
import type { Invalidation, Selector } from '../views/fence.js';
import type { View } from '../views/schema.js';
import { wasEmptied } from './entry-origins.js';
import { notReady } from './entry-writes.js';
import { voidLeases } from './lease-voiding.js';

export interface InvalidationsOptions {
  readonly store: RecordStore;
  readonly viewNamed: (name: string) => View | undefined;
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  /** Hides what is meant from every read, until it is erased; of all, how many entries memory held. */
  readonly fence: (cache: CacheDefinition, selector: Selector) => Promise<number | null>;
  readonly leasesOf: (cache: CacheDefinition) => LeaseTable | undefined;
  readonly log: Log;
}

/** The type of the event that caused it; `undefined`: somebody asked for it. */
type EventType = string | undefined;

export class Invalidations {
  readonly #options: InvalidationsOptions;
  readonly #ofCaches = new InvalidationCounts(() => true);
  readonly #ofViews: InvalidationCounts;

  constructor(options: InvalidationsOptions) {
    this.#options = options;
    this.#ofViews = new InvalidationCounts(name => options.viewNamed(name) !== undefined);
  }

  /** Deletes entries: how many there were, where that is known. @throws HeadraceError why it cannot be done now. */
  async ofCache(cache: CacheDefinition, what: Invalidation, event?: EventType): Promise<number | null> {
    const { viewOf, leasesOf } = this.#options;
    const ofIds = ofEntryIds(cache, what);
    const done = async () => {
      const view = viewOf(cache);
      if (view === undefined) throw notReady(cache);
      await voidLeases(leasesOf(cache), ofIds);
      return this.#erased(cache, view, ofIds);
    };
    return this.#told({ cache: cache.name }, this.#ofCaches, what, event, done);
  }

  /** Drops cached copies of records: how many there were. @throws HeadraceError why it cannot be done now. */
  async ofView(view: View, what: Invalidation, event?: EventType): Promise<number> {
    const done = () => this.#options.store.invalidate(view, what);
    return this.#told({ view: view.name }, this.#ofViews, what, event, done);
  }

  /** The number of invalidations since the start, each id, tag, prefix and pattern for itself. */
  figuresOfCache({ name }: CacheDefinition): InvalidationFigures | undefined {
    return this.#ofCaches.of(name);
  }

  figuresOfView({ name }: View): InvalidationFigures | undefined {
    return this.#ofViews.of(name);
  }

  async #erased(cache: CacheDefinition, view: View, what: Invalidation): Promise<number | null> {
    const { store, fence } = this.#options;
    try {
      return await (what.kind === 'ids' ? store.erase(view, what.ids) : fence(cache, what));
    } catch (error) {
      // What the store has lost is gone.
      if (wasEmptied(error)) return 0;
      throw error;
    }
  }

  async #told<T extends number | null>(
    target: { readonly cache: string } | { readonly view: string },
    counts: InvalidationCounts,
    what: Invalidation,
    event: EventType,
    done: () => Promise<T>,
  ): Promise<T> {
    const { log } = this.#options;
    const { count, first } = measured(what);
    const line = {
      cause: event === undefined ? 'api' : `event ${event}`,
      ...target,
      [what.kind]: count,
      first,
    };
    try {
      const invalidated = await done();
      counts.add('cache' in target ? target.cache : target.view, event, count);
      log.info({ ...line, invalidated }, 'invalidated');
      return invalidated;
    } catch (error) {
      if (error instanceof HeadraceError)
        log.warn({ ...line, reason: error.message }, 'not invalidated, or not known');
      throw error;
    }
  }
}

/** How many things are meant, and what the first of them is. */
function measured(what: Invalidation): { readonly count: number; readonly first: string | undefined } {
  if (what.kind === 'all') return { count: 1, first: undefined };
  if (what.kind === 'prefix') return { count: 1, first: shown(what.prefix) };
  if (what.kind === 'pattern') return { count: 1, first: shown(what.pattern) };
  const texts = what.kind === 'ids' ? what.ids : what.tags;
  return { count: texts.length, first: shown(texts[0] ?? '') };
}
