/**
 * What a lane does when a record changes elsewhere, or when it cannot know whether one did.
 *
 * Where records are shared, copies in the shared table and on local disk are current only as long as somebody tells of
 * changes. Between `restored` and `lost` each change is told of (`keysChanged`), and copies live as long as their record.
 * Outside of that, a copy is served for `staleMaxMs` at most: those that were there at the loss go when that time has
 * passed, so that a Redis which hangs or fails over does not empty the memory that its users are served from, and what is
 * copied into the table meanwhile expires so soon; to disk nothing is copied. When changes are told of again all copies
 * go, for some may have changed unnoticed.
 *
 * What is being read when its key changes is not kept (`key-fence.ts`), and who asks after the change does not join the
 * reading. Nor is what is being written when its key changes elsewhere: the news may be of something newer, and overtake
 * the store's answer. Without another server (`isShared` false) nothing of this is needed, and everything is always current.
 */
import type { Clock } from '../base/clock.js';
import { idOfStorageKey, viewUidOfStorageKey } from '../base/keys.js';
import { type FencePass, KeyFence } from './key-fence.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneViews } from './lane-views.js';
import type { NegativeEntries } from './negative-entries.js';

/** The copies on local disk. */
export interface LocalCopies {
  readonly era: number;
  newEra(): void;
  deleteMany(keys: readonly Uint8Array[]): Promise<void>;
}

export interface CoherenceParts {
  readonly views: LaneViews;
  readonly cache: LaneCache;
  readonly negative: NegativeEntries;
  readonly flights: { forget(name: string): void; forgetAll(): void };
  readonly copies: LocalCopies | undefined;
  /** Empties a view's slot of the shared table, in all lanes. */
  readonly emptySlot: (slot: number) => void;
  readonly clock: Clock;
  /** Other servers write the same records. */
  readonly isShared: boolean;
  readonly staleMaxMs: number;
  /** Runs something later, unless the returned function is called before. */
  readonly later: (ms: number, run: () => void) => () => void;
}

/** One text for a key, in flights, fences and negative entries. */
export function keyName(viewUid: number, id: string): string {
  return `${viewUid}/${id}`;
}

export class Coherence {
  readonly #parts: CoherenceParts;
  /** Of changes elsewhere alone. */
  readonly #news = new KeyFence();
  #isWhole: boolean;
  /** The copies from before the loss are still served. */
  #cancel: (() => void) | undefined;

  constructor(parts: CoherenceParts) {
    this.#parts = parts;
    this.#isWhole = true;
    // The table may hold what this lane's last thread left, and nobody has told of changes since it died.
    this.lost();
  }

  /** Every change elsewhere is told of. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Until when a copy may be served of what expires then. */
  servedUntil(expiresAtMs: number): number {
    return Math.min(expiresAtMs, this.#parts.clock.now() + this.keptMsMax);
  }

  /** How long anything may be kept from now on. */
  get keptMsMax(): number {
    return this.#isWhole ? Number.POSITIVE_INFINITY : this.#parts.staleMaxMs;
  }

  /** Before a key is written; the pass goes to `isNewest`. */
  beginWrite(name: string): FencePass {
    return this.#news.begin(name);
  }

  /** Whether nothing was heard of the key since: what was written then may be kept. */
  isNewest(name: string, pass: FencePass): boolean {
    return this.#news.isGood(name, pass);
  }

  /** A record was changed by this lane: to be told when the store of record has it, or may have it. */
  changedHere(viewUid: number, id: string): void {
    const name = keyName(viewUid, id);
    this.#parts.negative.forget(name);
    this.#parts.flights.forget(name);
  }

  /** Records were changed elsewhere; keys of other lanes are none of this one's business. */
  keysChanged(keys: readonly Uint8Array[]): void {
    const { views, cache, copies } = this.#parts;
    const dropped: Uint8Array[] = [];
    for (const key of keys) {
      const view = views.find(viewUidOfStorageKey(key))?.view;
      const id = idOfStorageKey(key);
      if (view === undefined || !cache.owns(view.slot, id)) continue;
      this.#news.changed(keyName(view.uid, id));
      this.changedHere(view.uid, id);
      cache.remove(view.slot, id);
      dropped.push(key);
    }
    // A copy is not seen any more as soon as this is called; where the removal fails, the era ends.
    if (dropped.length > 0) copies?.deleteMany(dropped).catch(() => copies.newEra());
  }

  /** Any record may have changed. */
  everythingChanged(): void {
    const { views, negative, flights, copies, emptySlot } = this.#parts;
    this.#news.allChanged();
    negative.clear();
    flights.forgetAll();
    copies?.newEra();
    for (const { view } of views.list()) emptySlot(view.slot);
  }

  /** From now on changes elsewhere go unnoticed. */
  lost(): void {
    const { isShared, staleMaxMs, later } = this.#parts;
    if (!isShared || !this.#isWhole) return;
    this.#isWhole = false;
    if (staleMaxMs === 0) this.everythingChanged();
    else this.#cancel = later(staleMaxMs, () => this.everythingChanged());
  }

  /** From now on all are told of. */
  restored(): void {
    this.close();
    this.everythingChanged();
    this.#isWhole = true;
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
