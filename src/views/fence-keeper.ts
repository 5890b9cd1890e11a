/**
 * What becomes of a server's fences (`fence.ts`): who erases what they hide, and when they are retired.
 *
 *   made here         the lanes erase at once
 *   made elsewhere    the lanes erase when it has stood for a while: whoever made it has died, or is slow
 *   every lane done   it is retired, once it has stood long enough for others to have heard of it
 *
 * Several servers may erase at once, which does no harm; nothing of this needs to survive a restart, since the fences
 * stand in the catalog. Who invalidates while too many are open waits until some are retired, for a bounded time.
 */
import { HeadraceError } from '../base/errors.js';
import { newestFence, type Selector } from './fence.js';
import type { ViewRegistry } from './registry.js';
import type { View } from './schema.js';

export interface FenceKeeperParts {
  readonly views: Pick<ViewRegistry, 'fence' | 'retire'>;
  readonly lanes: number;
  /** Has a lane begin to erase what the view's fences hide. */
  readonly sweep: (lane: number, viewUid: number) => Promise<void>;
  /** Empties a view's slot of the shared table. */
  readonly empty: (slot: number) => void;
  readonly times: FenceTimes;
  /** Milliseconds of a clock that is never set back. */
  readonly nowMs: () => number;
  /** Runs something later, unless the returned function is called before. */
  readonly later: (ms: number, run: () => void) => () => void;
  readonly onRetired: (report: RetiredReport) => void;
  /** A fence could not be retired now; it is tried again. */
  readonly onError: (error: unknown) => void;
}

export interface FenceTimes {
  /** A fence stands that long at least: where nobody tells of changes, others look now and then. */
  readonly openMsMin: number;
  /** What stands that long, made elsewhere, is erased here too. */
  readonly foreignMs: number;
  /** Who invalidates waits that long when too many are open. */
  readonly waitMs: number;
}

export interface RetiredReport {
  readonly view: string;
  /** Entries that this server has erased since the last report of the view. */
  readonly erased: number;
  readonly tookMs: number;
}

const AGAIN_MS = 1_000;
/** Invalidations under way. They are made one after the other, and each waits for the store. */
const UNDER_WAY_MAX = 1_024;
/** Invalidations that wait until there is room for them. */
const WAITING_MAX = 256;

/** The fences of one view. */
class Kept {
  view: View;
  /** When each was first seen, by its number. */
  seenMs = new Map<number, number>();
  /** The newest one made here. */
  own = 0;
  /** The newest one that the lanes were asked to erase for. */
  asked = 0;
  /** By lane, the newest one of which nothing is left. */
  readonly swept: number[];
  erased = 0;
  beganMs = 0;
  /** The newest one of all, for which the table was emptied. */
  emptied = 0;
  cancel: (() => void) | undefined;
  isRetiring = false;
  /** That they cannot be retired now was told. */
  isTold = false;

  constructor(view: View, lanes: number) {
    this.view = view;
    this.swept = new Array(lanes).fill(0);
  }

  get sweptUpTo(): number {
    return Math.min(...this.swept);
  }

  seenAtMs(schema: number): number {
    return this.seenMs.get(schema) ?? 0;
  }
}

export class FenceKeeper {
  readonly #parts: FenceKeeperParts;
  readonly #kept = new Map<string, Kept>();
  /** Of those who wait for some to be retired. */
  readonly #waiting = new Set<() => void>();
  #underWay = 0;
  #isClosed = false;

  constructor(parts: FenceKeeperParts) {
    this.#parts = parts;
  }

  /**
   * Hides what is meant: when this resolves, from every read here. @throws HeadraceError `overloaded` when too many are
   * open, wait, or are under way, or what the store throws.
   */
  async invalidate(name: string, selector: Selector): Promise<void> {
    if (this.#underWay >= UNDER_WAY_MAX)
      throw new HeadraceError('overloaded', `${this.#underWay} invalidations are under way; try again later`);
    this.#underWay++;
    try {
      await this.#fence(name, selector);
    } finally {
      this.#underWay--;
    }
  }

  async #fence(name: string, selector: Selector): Promise<void> {
    const { views, nowMs, times } = this.#parts;
    const deadlineMs = nowMs() + times.waitMs;
    for (;;) {
      try {
        const { schema } = await views.fence(name, selector);
        const kept = this.#kept.get(name);
        if (kept !== undefined) this.#consider(kept, schema);
        return;
      } catch (error) {
        const isFull = error instanceof HeadraceError && error.code === 'overloaded';
        const leftMs = deadlineMs - nowMs();
        if (!isFull || leftMs <= 0 || this.#waiting.size >= WAITING_MAX) throw error;
        await this.#retired(leftMs);
      }
    }
  }

  /** The fences of the view are others than before, or it is new: to be told when every lane knows. */
  see(view: View): void {
    const { lanes, nowMs, empty } = this.#parts;
    const known = this.#kept.get(view.name);
    const kept = known?.view.uid === view.uid ? known : new Kept(view, lanes);
    if (kept !== known) known?.cancel?.();
    this.#kept.set(view.name, kept);
    const isFewer = view.fences.length < kept.view.fences.length;
    kept.view = view;
    const now = nowMs();
    kept.seenMs = new Map(view.fences.map(({ schema }) => [schema, kept.seenMs.get(schema) ?? now]));
    const all = newestFence(view.fences.filter(({ kind }) => kind === 'all'));
    if (all > kept.emptied) {
      kept.emptied = all;
      empty(view.slot);
    }
    if (isFewer) this.#wake();
    this.#consider(kept);
  }

  /** A lane has erased what the view's fences up to this number hide. */
  swept(lane: number, viewUid: number, upTo: number, erased: number): void {
    for (const kept of this.#kept.values()) {
      if (kept.view.uid !== viewUid) continue;
      kept.swept[lane] = Math.max(kept.swept[lane] ?? 0, upTo);
      kept.erased += erased;
      this.#consider(kept);
    }
  }

  /** A lane has a new thread, which knows nothing of what the last one was asked. */
  restarted(lane: number): void {
    for (const kept of this.#kept.values()) {
      if ((kept.swept[lane] ?? 0) < kept.asked) this.#ask(kept, lane);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const kept of this.#kept.values()) kept.cancel?.();
    this.#wake();
  }

  /** @param own of a fence that was just made here. */
  #consider(kept: Kept, own = 0): void {
    kept.cancel?.();
    kept.cancel = undefined;
    kept.own = Math.max(kept.own, own);
    const newest = newestFence(kept.view.fences);
    if (newest === 0 || this.#isClosed) return;
    const { times, nowMs, lanes } = this.#parts;
    const now = nowMs();
    const { sweptUpTo, view } = kept;
    const isDue = (schema: number) => schema <= kept.own || now >= kept.seenAtMs(schema) + times.foreignMs;
    if (view.fences.some(({ schema }) => schema > kept.asked && isDue(schema))) {
      if (sweptUpTo >= kept.asked) kept.beganMs = now;
      kept.asked = newest;
      for (let lane = 0; lane < lanes; lane++) this.#ask(kept, lane);
    }
    const gone = view.fences.filter(({ schema }) => schema <= sweptUpTo);
    const ripe = gone.filter(({ schema }) => now >= kept.seenAtMs(schema) + times.openMsMin);
    if (ripe.length > 0) this.#retire(kept, newestFence(ripe));
    // Each is looked at again when its time has come.
    const dueMs = view.fences.flatMap(({ schema }) => {
      if (schema <= sweptUpTo) return kept.seenAtMs(schema) + times.openMsMin;
      return schema <= kept.asked ? [] : kept.seenAtMs(schema) + times.foreignMs;
    });
    const nextMs = Math.min(...dueMs.filter(ms => ms > now));
    if (Number.isFinite(nextMs)) this.#later(kept, nextMs - now);
  }

  #later(kept: Kept, ms: number): void {
    kept.cancel?.();
    kept.cancel = this.#parts.later(ms, () => this.#consider(kept));
  }

  #ask(kept: Kept, lane: number): void {
    // A lane that has no thread now is asked when it has one.
    this.#parts.sweep(lane, kept.view.uid).catch(() => undefined);
  }

  #retire(kept: Kept, upTo: number): void {
    if (kept.isRetiring) return;
    kept.isRetiring = true;
    const { views, onRetired, onError, nowMs } = this.#parts;
    const { name } = kept.view;
    views.retire(name, upTo).then(
      () => {
        kept.isRetiring = false;
        kept.isTold = false;
        onRetired({ view: name, erased: kept.erased, tookMs: nowMs() - kept.beganMs });
        kept.erased = 0;
        this.#consider(kept);
      },
      error => {
        kept.isRetiring = false;
        if (!kept.isTold) onError(error);
        kept.isTold = true;
        if (this.#kept.get(name) === kept && !this.#isClosed) this.#later(kept, AGAIN_MS);
      },
    );
  }

  #retired(ms: number): Promise<void> {
    return new Promise(resolve => {
      const tell = () => {
        cancel();
        this.#waiting.delete(tell);
        resolve();
      };
      const cancel = this.#parts.later(ms, tell);
      this.#waiting.add(tell);
    });
  }

  #wake(): void {
    for (const tell of this.#waiting) tell();
  }
}
