/**
 * Goes through a cache's list of keys at the start and at intervals, hottest first, at a bounded rate, so that what is on
 * it is in shared memory when it is asked for:
 *
 *   with an origin     as a reader would: what no tier has, and what will not be fresh until the next time, is asked of it
 *   without            what the tiers have is read, as after a start (`warm-start.ts`)
 *
 * Each lane reads the whole list and takes its own keys of it, so that a lane needs no other. A list that cannot be read,
 * or an origin that fails, is told in the log and tried again the next time.
 */
import type { Clock } from '../base/clock.js';
import type { CacheDefinition } from '../caches/definition.js';
import { readKeyList } from '../caches/key-list.js';
import type { WarmDefinition } from '../caches/warm-definition.js';
import type { ListCounters } from '../observe/list-counters.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneView } from './lane-views.js';
import type { ReadThrough } from './read-through.js';
import type { Warming, WarmingProgress } from './warm-start.js';

/** What must be fresh until the next time is to be so a little longer: a round takes its time. */
const INTERVALS_AHEAD = 1.1;
const STEP_KEYS_MAX = 64;
/** Steps in a row that brought nothing but failures. */
const FAILURES_MAX = 10;
/** How far behind its rate it may be and still catch up. */
const LAG_MS_MAX = 50;
const WAIT_MS = 1_000;

export interface ListWarmingParts {
  readonly cache: CacheDefinition;
  readonly warm: WarmDefinition;
  /** The list. @throws Error why it cannot be read. */
  readonly read: () => Promise<Uint8Array>;
  /** Of the cache's entries, when it is known. */
  readonly viewOf: () => LaneView | undefined;
  readonly table: Pick<LaneCache, 'owns'>;
  readonly through: Pick<ReadThrough, 'bring'>;
  /** Reads these keys of a cache without an origin through the tiers. */
  readonly loading: (
    lane: LaneView,
    ids: readonly string[],
    onProgress: (progress: WarmingProgress) => void,
  ) => Pick<Warming, 'run' | 'stop' | 'progress'>;
  /** The cache is switched on. */
  readonly isOn: () => boolean;
  readonly counters: ListCounters;
  readonly clock: Clock;
  /** Keys a second that this lane may ask for. */
  readonly rate: number;
  readonly pause: () => Promise<void>;
  /** Less when it is stopped. */
  readonly rest: (ms: number) => Promise<void>;
  readonly notify: (message: string, level: 'info' | 'warn') => void;
}

export class ListWarming {
  readonly #parts: ListWarmingParts;
  #loading: Pick<Warming, 'stop'> | undefined;
  #isStopped = false;
  /** What was wrong with the list the last time. */
  #problem = '';
  #nextAtMs = 0;

  constructor(parts: ListWarmingParts) {
    this.#parts = parts;
    // Its predecessor may have died in the middle.
    parts.counters.set('left', 0);
  }

  stop(): void {
    this.#isStopped = true;
    this.#loading?.stop();
  }

  /** Goes on until stopped. */
  async run(): Promise<void> {
    const { cache, clock, warm, rest, notify } = this.#parts;
    while (!this.#isStopped) {
      const beganMs = clock.now();
      try {
        await this.round();
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (!this.#isStopped) notify(`the cache ${cache.name} is not warmed: ${reason}`, 'warn');
      }
      this.#parts.counters.set('left', 0);
      const tookMs = Math.max(0, clock.now() - beganMs);
      if (!this.#isStopped) await rest(Math.max(WAIT_MS, warm.everyMs - tookMs));
    }
  }

  /** Once through the list. @throws Error why it was given up. */
  async round(): Promise<void> {
    const { cache, warm, read, table, isOn, counters, pause, notify } = this.#parts;
    const lane = await this.#view();
    if (lane === undefined || !isOn()) return;
    const { ids, wrong, problem } = await readKeyList(await read(), { cache, keysMax: warm.keysMax, pause });
    counters.add('wrong', wrong);
    if (problem !== '' && problem !== this.#problem)
      notify(`in the list of the cache ${cache.name}, lines are no keys: ${wrong}; ${problem}`, 'warn');
    this.#problem = problem;
    const own = ids.filter(id => table.owns(lane.view.slot, id));
    const before = counters.read();
    const failure = await (cache.origin === undefined ? this.#load(lane, own) : this.#bring(lane, own));
    const now = counters.read();
    const [loaded, fetched] = [now.loaded - before.loaded, now.fetched - before.fetched];
    const failed = now.failed - before.failed;
    if (loaded + fetched + failed === 0) return;
    const brought = `the list of the cache ${cache.name}: of ${own.length} keys, ${loaded} read, ${fetched} fetched`;
    if (failure === undefined) notify(brought, 'info');
    else notify(`${brought}, ${failed} failed: ${failure.message}`, 'warn');
  }

  async #view(): Promise<LaneView | undefined> {
    const { viewOf, rest } = this.#parts;
    // Its store may have been away at the start.
    while (!this.#isStopped && viewOf() === undefined) await rest(WAIT_MS);
    return viewOf();
  }

  async #load(lane: LaneView, ids: readonly string[]): Promise<undefined> {
    const { counters, loading } = this.#parts;
    const last = { done: 0, added: 0 };
    const count = ({ done, added }: Omit<WarmingProgress, 'of'>) => {
      // It begins anew when the table was emptied.
      counters.add('keys', Math.max(0, done - last.done));
      counters.add('loaded', Math.max(0, added - last.added));
      counters.set('left', ids.length - done);
      Object.assign(last, { done, added });
    };
    count(last);
    const warming = loading(lane, ids, count);
    this.#loading = warming;
    const end = await warming.run();
    count(warming.progress);
    this.#loading = undefined;
    if (end === 'unavailable') throw new Error('no tier answers');
    return undefined;
  }

  /** The last failure, if there was any. */
  async #bring({ view }: LaneView, ids: readonly string[]): Promise<Error | undefined> {
    const { through, counters, clock, warm, isOn } = this.#parts;
    const step = this.#stepKeys();
    let failures = 0;
    let failure: Error | undefined;
    this.#nextAtMs = clock.now();
    for (let from = 0; from < ids.length; from += step) {
      counters.set('left', ids.length - from);
      const some = ids.slice(from, from + step);
      await this.#pace(some.length);
      if (this.#isStopped || !isOn()) return failure;
      const untilMs = clock.now() + warm.everyMs * INTERVALS_AHEAD;
      const brought = await Promise.all(some.map(id => through.bring({ viewUid: view.uid, id, untilMs })));
      counters.add('keys', some.length);
      const failed = brought.filter(one => one.failure !== undefined);
      counters.add('fetched', brought.filter(one => one.isFetched && one.failure === undefined).length);
      counters.add('failed', failed.length);
      failure = failed.at(-1)?.failure ?? failure;
      failures = failed.length === some.length ? failures + 1 : 0;
      // The rest of them waits for the next time.
      if (failures === FAILURES_MAX) return failure;
    }
    return failure;
  }

  /** So many at once that most connections are left to those who wait, and that a batch is one. */
  #stepKeys(): number {
    const { origin } = this.#parts.cache;
    if (origin === undefined) return 1;
    if (origin.batchUrl !== undefined) return Math.min(origin.batchMax, STEP_KEYS_MAX);
    return Math.max(1, Math.min(origin.connections >> 1, STEP_KEYS_MAX));
  }

  /** Until so many more may be asked for; other work goes first in any case. */
  async #pace(keys: number): Promise<void> {
    const { clock, rate, rest, pause } = this.#parts;
    const nowMs = clock.now();
    const takesMs = (keys * 1000) / rate;
    // A clock that was set back does not make it wait for ever.
    const atMs = Math.min(this.#nextAtMs, nowMs + takesMs);
    const waitMs = atMs - nowMs;
    this.#nextAtMs = Math.max(atMs, nowMs - LAG_MS_MAX) + takesMs;
    await (waitMs >= 1 ? rest(waitMs) : pause());
  }
}
