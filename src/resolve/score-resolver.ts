/**
 * Scores the candidates of a cache of embeddings that are this lane's, next to their vectors: those in shared memory where
 * the reader has put them, the others from the tiers in one question, which puts them into shared memory too.
 *
 * A question of many long vectors is worked on in blocks, between which the thread does its other work.
 */
import type { Clock } from '../base/clock.js';
import { type EntryRows, EntryScorer, type Scored } from '../caches/embeddings/entry-scorer.js';
import type { ScoreRequest } from '../caches/embeddings/scorer.js';
import { bestOf } from '../caches/embeddings/top-k.js';
import { errorOf, type LaneScores, type ScoreTask } from '../lanes/messages.js';
import { PackedRows, ROW } from '../lanes/packed-rows.js';
import { checkDeadline } from './deadline.js';
import type { LaneViews } from './lane-views.js';
import type { ReadResolver } from './read-resolver.js';

/** Of a block: about a millisecond. */
const BLOCK_ELEMENTS = 2 ** 20;

export interface ScoreResolverParts {
  readonly views: LaneViews;
  readonly reads: ReadResolver;
  readonly table: EntryRows;
  readonly clock: Clock;
  /** Lets other work of the thread go first. */
  readonly pause: () => Promise<void>;
}

export class ScoreResolver {
  readonly #parts: ScoreResolverParts;
  readonly #scorer = new EntryScorer();

  constructor(parts: ScoreResolverParts) {
    this.#parts = parts;
  }

  /** @throws HeadraceError `deadline`, `view-not-found`. */
  async score(task: ScoreTask): Promise<LaneScores> {
    const { clock, pause, table, views } = this.#parts;
    const { ids, request, deadlineMs, viewUid } = task;
    const block = Math.ceil(BLOCK_ELEMENTS / request.format.dimensions);
    const absent: number[] = [];
    const parts: Scored[] = [];
    for (let from = 0; from < ids.length; from += block) {
      if (from > 0) await pause();
      checkDeadline(deadlineMs, clock);
      // Anew for each block: while others were worked on, entries may have been invalidated.
      const { view, fences } = views.get(viewUid);
      const place = { slot: view.slot, fences };
      this.#scorer.begin(request, clock.now());
      this.#scorer.offerRows(table, place, ids, from, Math.min(from + block, ids.length), absent);
      parts.push(this.#scorer.take());
    }
    const unavailable: number[] = [];
    await this.#scoreBelow(task, absent, parts, unavailable);
    return laneScores(request, parts, unavailable, absent.length);
  }

  /** Those that shared memory does not have. A reply is bounded, so it may take several. */
  async #scoreBelow(
    { ids, request, deadlineMs, viewUid }: ScoreTask,
    absent: readonly number[],
    parts: Scored[],
    unavailable: number[],
  ): Promise<void> {
    for (let left = absent; left.length > 0; ) {
      const op = { viewUid, ids: left.map(place => ids[place] ?? ''), deadlineMs };
      const { rows, failures } = await this.#parts.reads.read([op]);
      const [failure] = failures;
      if (failure != null) throw errorOf(failure);
      const found = new PackedRows(rows, left.length);
      const deferred: number[] = [];
      this.#scorer.begin(request, this.#parts.clock.now());
      left.forEach((place, row) => {
        const status = found.status(row);
        if (status === ROW.present)
          this.#scorer.offer(found.bytes, found.offset(row), found.length(row), place);
        else if (status === ROW.notFound) this.#scorer.miss(place);
        else if (status === ROW.unavailable) unavailable.push(place);
        else deferred.push(place);
      });
      parts.push(this.#scorer.take());
      left = deferred;
    }
  }
}

function laneScores(
  { metric, k }: ScoreRequest,
  parts: readonly Scored[],
  unavailable: readonly number[],
  below: number,
): LaneScores {
  const best = bestOf(
    metric,
    k,
    parts.map(({ matches }) => matches),
  );
  return {
    places: Uint32Array.from(best, ({ place }) => place),
    scores: Float64Array.from(best, ({ score }) => score),
    missing: Uint32Array.from(parts.flatMap(({ missing }) => missing)),
    unavailable: Uint32Array.from(unavailable),
    malformed: parts.reduce((sum, { malformed }) => sum + malformed, 0),
    below,
  };
}
