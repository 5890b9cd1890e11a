/**
 * Scores candidates of a cache of embeddings for the front: divides them among the lanes that own them, so that vectors stay
 * where they are, and merges what each found best. A few are scored here, from shared memory, as that takes the front
 * no longer than to ask a lane; what it lacks of them the lanes are asked for all the same.
 */
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { EntryScorer, type Scored } from '../caches/embeddings/entry-scorer.js';
import type { ScoreRequest } from '../caches/embeddings/scorer.js';
import { bestOf, type Match } from '../caches/embeddings/top-k.js';
import type { TableReader } from '../l1/table-reader.js';
import type { Lanes } from '../lanes/lanes.js';
import type { LaneScores } from '../lanes/messages.js';
import { fenceSetOf } from '../views/fence-set.js';
import type { View } from '../views/schema.js';
import type { LookupMisses } from './record-store.js';

/**
 * Elements of all candidates together, up to which the front scores itself. Through HTTP, × 384 as float32, with one lane,
 * on two busy cores, ms of p50 / of the front's CPU a question: 100 candidates 0.22 / 0.14 here, 0.36 / 0.16 by the lane;
 * 200: 0.27 / 0.19 and 0.49 / 0.22; 400: 0.41 / 0.31 and 0.60 / 0.24. So up to here it costs the front nothing.
 */
export const FRONT_ELEMENTS_MAX = 2 ** 16;

export interface ScoringOptions {
  readonly table: TableReader;
  readonly lanes: Lanes;
  readonly clock: Clock;
}

/** Places are those of the candidates. */
export interface Scores {
  /** At most `k`, best first. */
  readonly matches: readonly Match[];
  /** In ascending order: of which there is no vector that may be served. */
  readonly missing: readonly number[];
  /** In ascending order: that cannot be read now. */
  readonly unavailable: readonly number[];
  /** Of the missing, entries that hold no vector of the cache's format. */
  readonly malformed: number;
  /** Nothing when all candidates were in shared memory, and none invalidated there. */
  readonly misses: LookupMisses | undefined;
}

/** What one lane is asked for. */
interface Part {
  readonly ids: string[];
  readonly places: number[];
}

export class Scoring {
  readonly #options: ScoringOptions;
  readonly #scorer = new EntryScorer();

  constructor(options: ScoringOptions) {
    this.#options = options;
  }

  /** Rejects when the view is gone. Candidates of a lane that fails are unavailable. */
  score(
    view: View,
    ids: readonly string[],
    request: ScoreRequest,
    deadlineMs: number,
  ): Scores | Promise<Scores> {
    if (ids.length * request.format.dimensions > FRONT_ELEMENTS_MAX) {
      return this.#askLanes(view, ids, [...ids.keys()], request, deadlineMs, []);
    }
    const { table, clock } = this.#options;
    const absent: number[] = [];
    this.#scorer.begin(request, clock.now());
    const place = { slot: view.slot, fences: fenceSetOf(view) };
    this.#scorer.offerRows(table, place, ids, 0, ids.length, absent);
    const own = this.#scorer.take();
    if (absent.length > 0) return this.#askLanes(view, ids, absent, request, deadlineMs, [own]);
    return { ...own, unavailable: [], misses: undefined };
  }

  async #askLanes(
    view: View,
    ids: readonly string[],
    places: readonly number[],
    request: ScoreRequest,
    deadlineMs: number,
    scored: Scored[],
  ): Promise<Scores> {
    const { lanes } = this.#options;
    const misses: LookupMisses = { count: 0, failure: undefined };
    const unavailable: number[] = [];
    const asked = this.#byLane(view, ids, places).map(async (part, lane) => {
      const task = { viewUid: view.uid, ids: part.ids, request, deadlineMs };
      try {
        const found = await lanes.score(lane, task);
        misses.count += found.below;
        scored.push(placed(found, part));
        for (const place of found.unavailable) unavailable.push(part.places[place] ?? 0);
        if (found.unavailable.length > 0) misses.failure = notAnswered();
      } catch (error) {
        if (!(error instanceof HeadraceError) || error.code === 'view-not-found') throw error;
        misses.count += part.places.length;
        misses.failure = error;
        unavailable.push(...part.places);
      }
    });
    await Promise.all(asked);
    const { metric, k } = request;
    return {
      matches: bestOf(
        metric,
        k,
        scored.map(({ matches }) => matches),
      ),
      missing: scored.flatMap(({ missing }) => missing).sort(ascending),
      unavailable: unavailable.sort(ascending),
      malformed: scored.reduce((sum, { malformed }) => sum + malformed, 0),
      misses: misses.count === 0 ? undefined : misses,
    };
  }

  /** A hole for a lane that has none of them. */
  #byLane(view: View, ids: readonly string[], places: readonly number[]): Part[] {
    const { table, lanes } = this.#options;
    const parts: Part[] = [];
    for (const place of places) {
      const id = ids[place] ?? '';
      table.key(view.slot, id);
      const lane = lanes.laneOf(table.shard);
      parts[lane] ??= { ids: [], places: [] };
      parts[lane].ids.push(id);
      parts[lane].places.push(place);
    }
    return parts;
  }
}

function placed({ places, scores, missing, malformed }: LaneScores, part: Part): Scored {
  const matches = Array.from(places, (place, n) => ({
    place: part.places[place] ?? 0,
    score: scores[n] ?? 0,
  }));
  return { matches, missing: Array.from(missing, place => part.places[place] ?? 0), malformed };
}

function notAnswered(): HeadraceError {
  return new HeadraceError('unavailable', 'a tier that is needed does not answer');
}

function ascending(a: number, b: number): number {
  return a - b;
}
