/**
 * Erases, in the background, what the fences of a view hide (`views/fence.ts`), as far as it is this lane's.
 *
 *   declare   a fence is known: what it hides is dropped from the lane's shards of the shared table
 *   sweep     asked for by the front: the view's keys in the store of record are walked through, what is hidden is
 *             deleted there and in the tiers above, as by any deletion, and the end is told (`store-walk.ts`)
 *
 * There is one walk at a time, of one view, for all the fences that it has when the walk begins; where the store fails it
 * begins again after a rest, behind those of other views. Who dies loses nothing but time: the fences stand in the
 * catalog, and somebody walks again.
 *
 * Where fences are retired before the lane has dropped what they hide from the table, as another server has walked, the
 * view's part of the table is emptied: nothing may show up again.
 */
import { covers, type Fence, newestFence } from '../views/fence.js';
import type { StoredView } from '../views/schema.js';
import type { FlightsUnderWay } from './coherence.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneView, LaneViews } from './lane-views.js';
import type { Pace } from './pace.js';
import type { StoreWalk } from './store-walk.js';

export interface SweeperParts {
  readonly views: LaneViews;
  readonly cache: LaneCache;
  readonly flights: Pick<FlightsUnderWay, 'forgetAll'>;
  readonly walk: Pick<StoreWalk, 'run'>;
  readonly pace: Pace;
  /** Empties a view's slot of the shared table, in all lanes. */
  readonly emptySlot: (slot: number) => void;
  readonly rest: (ms: number) => Promise<void>;
  readonly onSwept: (viewUid: number, upTo: number, erased: number) => void;
  /** A walk failed and is to begin again. */
  readonly onError: (error: unknown) => void;
}

/** With up to twelve records each: about half a millisecond. */
const STEP_BUCKETS = 512;
const AGAIN_MS = 2_000;

export class Sweeper {
  readonly #parts: SweeperParts;
  /** By view: the number of the newest fence whose records are not in the table any more. */
  readonly #dropped = new Map<number, number>();
  readonly #ofTable = new Turns(uid => this.#dropHidden(uid));
  readonly #ofStore = new Turns(uid => this.#erase(uid));
  /** Views that could not be walked through the last time. */
  readonly #failing = new Set<number>();
  #isStopped = false;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  /** Takes a view, with the fences it has now. */
  declare(stored: StoredView): void {
    const { views, flights, emptySlot } = this.#parts;
    const { uid, slot, fences = [] } = stored;
    const { fences: known = [], schema = 0 } = views.find(uid)?.view ?? {};
    // One whose place a newer one has taken is dropped with that.
    const isOpen = (one: Fence) =>
      fences.some(fence => fence.schema === one.schema || (fence.schema > one.schema && covers(fence, one)));
    const retired = known.filter(one => !isOpen(one));
    if (newestFence(retired) > this.#droppedUpTo(uid)) emptySlot(slot);
    views.declare(stored);
    // Who asks from now on is not to join a reading that began before, nor is what an origin answers to it to be kept:
    // each fence has raised the number, also one that is retired by now.
    if (stored.schema > schema) flights.forgetAll(uid);
    if (newestFence(fences) > this.#droppedUpTo(uid)) void this.#ofTable.add(uid);
  }

  forget(viewUid: number): void {
    this.#parts.views.forget(viewUid);
    this.#dropped.delete(viewUid);
    this.#failing.delete(viewUid);
  }

  /** Begins to erase what the view's fences hide; `onSwept` tells of the end. */
  sweep(viewUid: number): void {
    void this.#ofStore.add(viewUid);
  }

  /** What is under way ends at its next step. */
  stop(): void {
    this.#isStopped = true;
  }

  #droppedUpTo(viewUid: number): number {
    return this.#dropped.get(viewUid) ?? 0;
  }

  #fenced(viewUid: number): LaneView | undefined {
    return this.#isStopped ? undefined : this.#parts.views.find(viewUid);
  }

  async #dropHidden(viewUid: number): Promise<void> {
    const { cache, pace } = this.#parts;
    const { view, fences } = this.#fenced(viewUid) ?? {};
    if (view === undefined || fences === undefined || fences.newest <= this.#droppedUpTo(viewUid)) return;
    const scan = cache.removeWhere(view.slot, (bytes, keyStart, keyEnd, start, end) =>
      fences.hides(bytes, start, end, bytes, keyStart, keyEnd),
    );
    const isOver = () => this.#fenced(viewUid) === undefined;
    for (let began = pace.begin(); !scan.step(STEP_BUCKETS); began = pace.begin()) {
      await pace.rest(began);
      if (isOver()) return;
    }
    this.#dropped.set(viewUid, fences.newest);
  }

  async #erase(viewUid: number): Promise<void> {
    const { walk, rest, onSwept, onError } = this.#parts;
    const known = this.#fenced(viewUid);
    if (known?.fences === undefined) return;
    try {
      // The fences are retired when this is told: the table must be done with them by then, or it would be emptied.
      const [erased] = await Promise.all([
        walk.run(known, () => this.#fenced(viewUid) === undefined),
        this.#ofTable.add(viewUid),
      ]);
      this.#failing.delete(viewUid);
      if (this.#fenced(viewUid) !== undefined) onSwept(viewUid, known.fences.newest, erased);
    } catch (error) {
      // Told once, however often it is tried.
      if (!this.#failing.has(viewUid)) onError(error);
      this.#failing.add(viewUid);
      await rest(AGAIN_MS);
      // Behind the others: it may be this view alone of which something cannot be read.
      void this.#ofStore.add(viewUid);
    }
  }
}

/** Does one thing at a time, once for all that ask before its turn. */
class Turns {
  readonly #work: (viewUid: number) => Promise<void>;
  readonly #waiting = new Map<number, Promise<void>>();
  #last: Promise<void> = Promise.resolve();

  constructor(work: (viewUid: number) => Promise<void>) {
    this.#work = work;
  }

  /** Resolves when the view's next turn is over. */
  add(viewUid: number): Promise<void> {
    const known = this.#waiting.get(viewUid);
    if (known !== undefined) return known;
    const turn = this.#last.then(() => {
      this.#waiting.delete(viewUid);
      return this.#work(viewUid);
    });
    this.#waiting.set(viewUid, turn);
    this.#last = turn;
    return turn;
  }
}
