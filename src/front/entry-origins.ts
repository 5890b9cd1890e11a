/**
 * What becomes of a read of an entry that nobody has, in a cache that has an origin: it is asked for there, by way of the
 * entry's lane, and its answer is given whatever its times say, for it is new, or nothing else can be had.
 */
import { HeadraceError } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import { EntryReader } from '../caches/entry.js';
import type { EntryStore, Through } from '../lookup/entry-store.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { type Forward, throughStatus } from './cache-status.js';
import { type Asked, answerMissing } from './entry-misses.js';
import type { Exchange } from './front.js';
import { TIMING_OFF } from './server-timing.js';

export interface EntryOriginsOptions {
  readonly store: Pick<EntryStore, 'readThrough'>;
  /** The view that holds the entries; `undefined` while it is not known. */
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  /** An answer from what is remembered of the cache's origin: that there is none. */
  readonly onNegativeHit: (cache: CacheDefinition) => void;
  readonly serve: (exchange: Exchange, asked: Asked, record: Uint8Array, cacheStatus: string) => void;
  readonly answerError: AnswerError;
}

export class EntryOrigins {
  readonly #options: EntryOriginsOptions;
  readonly #entry = new EntryReader();

  constructor(options: EntryOriginsOptions) {
    this.#options = options;
  }

  ask(exchange: Exchange, asked: Asked, view: View, forward: Forward): void {
    const { store, viewOf, answerError } = this.#options;
    const kept = exchange.later();
    store
      .readThrough(view, [asked.id], asked.cache.enabled)
      .then(([through]) => through && this.#answer(kept, asked, through, forward))
      .catch(error => {
        const now = viewOf(asked.cache);
        // The cache was made anew meanwhile, and is empty.
        if (wasEmptied(error) && now !== undefined && now.uid !== view.uid)
          this.ask(kept, asked, now, forward);
        else answerError(kept, error, ['cache-status', `headrace; fwd=${forward}; detail=unavailable`]);
      });
  }

  #answer(kept: Exchange, asked: Asked, through: Through, forward: Forward): void {
    const { serve, answerError, onNegativeHit } = this.#options;
    const status = throughStatus(through, forward);
    const { record, error } = through;
    if (asked.timing !== TIMING_OFF) asked.timing.lap('origin');
    if (error !== undefined) return answerError(kept, error, ['cache-status', status]);
    if (record === undefined) return answerMissing(kept, asked, status);
    this.#entry.reset(record);
    if (!this.#entry.isAbsent) return serve(kept, asked, record, status);
    onNegativeHit(asked.cache);
    answerMissing(kept, asked, status);
  }
}

/** The store has lost the cache, and it was made anew, between the asking and the lane's answer. */
export function wasEmptied(error: unknown): boolean {
  return error instanceof HeadraceError && error.code === 'view-not-found';
}
