/**
 * Saves which keys of a lane are hot: now and then, and once more at the end, for the next start to begin with.
 *
 * What is saved must not be worse than what it replaces. So nothing is saved as long as the table is still being filled
 * from the old list, or was just emptied as changes went unnoticed (`isSettled`); nor when no record was used at all, as
 * in a server that nobody asked anything.
 */
import { storageKeyOfBytes } from '../base/keys.js';
import type { HotKey } from '../l1/hot-keys.js';
import type { LaneViews } from './lane-views.js';

/** About a fifth of a millisecond. */
const STEP_BUCKETS = 1024;

export interface SavedKey {
  /** A storage key. */
  readonly key: Uint8Array;
  readonly heat: number;
}

export interface HotKeySaverParts {
  /** A new walk over the lane's shards. */
  readonly scan: () => {
    step(buckets: number): boolean;
    readonly hasUses: boolean;
    keys(): Iterable<HotKey>;
  };
  readonly list: { save(entries: Iterable<SavedKey>, signal: AbortSignal): Promise<number> };
  readonly views: LaneViews;
  readonly isSettled: () => boolean;
  readonly pause: () => Promise<void>;
  readonly onError: (error: unknown) => void;
}

export class HotKeySaver {
  readonly #parts: HotKeySaverParts;
  #running: Promise<number | undefined> | undefined;
  #stopping = new AbortController();

  constructor(parts: HotKeySaverParts) {
    this.#parts = parts;
  }

  /** Resolves to how many keys were saved, `undefined` when the old list stays. Joins a saving under way. */
  save(): Promise<number | undefined> {
    this.#running ??= this.#save(this.#stopping.signal)
      .catch(error => {
        if (!this.#stopping.signal.aborted) this.#parts.onError(error);
        return undefined;
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  /** Gives up what is under way and saves a last time, in the time there is. */
  async close(withinMs: number): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#stopping = new AbortController();
    const timer = setTimeout(() => this.#stopping.abort(), withinMs);
    await this.save();
    clearTimeout(timer);
  }

  async #save(signal: AbortSignal): Promise<number | undefined> {
    const { scan, list, isSettled, pause } = this.#parts;
    if (!isSettled()) return undefined;
    const walk = scan();
    while (!walk.step(STEP_BUCKETS)) {
      await pause();
      signal.throwIfAborted();
    }
    if (!walk.hasUses || !isSettled()) return undefined;
    return list.save(this.#entries(walk.keys()), signal);
  }

  *#entries(keys: Iterable<HotKey>): Generator<SavedKey> {
    const uids = new Map(this.#parts.views.list().map(({ view }) => [view.slot, view.uid]));
    for (const { slot, id, heat } of keys) {
      const uid = uids.get(slot);
      if (uid !== undefined) yield { key: storageKeyOfBytes(uid, id), heat };
    }
  }
}
