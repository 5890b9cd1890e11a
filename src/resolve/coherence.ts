/**
 * What a lane does when a record changes elsewhere, or when it cannot know whether one did.
 *
 * Where records are shared, copies in the shared table and on local disk are current only as long as somebody tells of
 * changes. Between `restored` and `lost` each change is told of (`keysChanged`), and copies live as long as their record.
 * Outside of that, a copy is served for `staleMaxMs` at most: those that were there at the loss go when that time has
 * passed, so that a Redis which hangs or fails over does not empty the memory that its users are served from, and what is
 * copied into the table meanwhile expires so soon; to disk nothing is copied. When changes are told of again, copies on
 * disk go, for some may have changed unnoticed, and those in the table are compared with the store (`review.ts`); what is
 * not by the time that all are to go, goes. That time counts from the first loss since they were last made sure of, also
 * by a thread of this lane that has died (`untold.ts`).
 *
 * What is being read when its key changes is not kept (`key-fence.ts`), and who asks after the change does not join the
 * reading. Nor is what is being written when its key changes elsewhere: the news may be of something newer, and overtake
 * the store's answer. Without another server (`isShared` false) nothing of this is needed, and everything is always current.
 */
import type { Clock } from '../base/clock.js';
import { idOfStorageKey, storageKey, viewUidOfStorageKey } from '../base/keys.js';
import { type FencePass, KeyFence } from './key-fence.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneViews } from './lane-views.js';
import type { NegativeEntries } from './negative-entries.js';
import type { Untold } from './untold.js';

/** The copies on local disk. */
export interface LocalCopies {
  readonly era: number;
  newEra(): void;
  deleteMany(keys: readonly Uint8Array[]): Promise<void>;
}

/** Questions whose answers may be old when a key has changed. */
export interface FlightsUnderWay {
  /** @param isErased nothing but what a fence has hidden before. */
  forget(name: string, isErased?: boolean): void;
  /** Of one view, where it is said. */
  forgetAll(viewUid?: number): void;
}

/** All are told of every change. */
export function together(...all: readonly FlightsUnderWay[]): FlightsUnderWay {
  return {
    forget(name, isErased) {
      for (const flights of all) flights.forget(name, isErased);
    },
    forgetAll(viewUid) {
      for (const flights of all) flights.forgetAll(viewUid);
    },
  };
}

export interface CoherenceParts {
  readonly views: LaneViews;
  readonly cache: LaneCache;
  readonly negative: NegativeEntries;
  readonly flights: FlightsUnderWay;
  readonly copies: LocalCopies | undefined;
  /** Empties a view's slot of the shared table, in all lanes. */
  readonly emptySlot: (slot: number) => void;
  readonly clock: Clock;
  /** Other servers write the same records. */
  readonly isShared: boolean;
  readonly staleMaxMs: number;
  readonly untold: Untold;
  /** Compares this lane's copies in the table with the store, and then calls `reviewed`, if nothing gets in between. */
  readonly review: () => void;
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
  /** Copies are still served of which nobody told for a while. */
  #cancel: (() => void) | undefined;
  #period = 0;

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

  /** Another number after a loss, a return, or when all copies have gone. */
  get period(): number {
    return this.#period;
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

  /** The same of what a fence hid, and is deleted for good. */
  erasedHere(viewUid: number, id: string): void {
    const name = keyName(viewUid, id);
    this.#parts.negative.forget(name);
    this.#parts.flights.forget(name, true);
  }

  /** Records were changed elsewhere; keys of other lanes are none of this one's business. */
  keysChanged(keys: readonly Uint8Array[]): void {
    const { views, cache } = this.#parts;
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
    if (dropped.length > 0) this.#dropCopies(dropped);
  }

  /** A copy is not seen any more as soon as this is called; where the removal fails, the era ends. */
  #dropCopies(keys: readonly Uint8Array[]): void {
    const { copies } = this.#parts;
    copies?.deleteMany(keys).catch(() => copies.newEra());
  }

  /**
   * A client wants records read anew, these or some of the view: beside the shared table, copies on disk go, and what is
   * being read is not kept. Which copies on disk a pattern or a tag means is not known without reading all: they all go.
   */
  invalidated(viewUid: number, slot: number, ids: readonly string[] | undefined): void {
    const { cache, negative, flights, copies } = this.#parts;
    if (ids === undefined) {
      negative.clear();
      flights.forgetAll(viewUid);
      copies?.newEra();
      return;
    }
    const owned = ids.filter(id => cache.owns(slot, id));
    for (const id of owned) this.changedHere(viewUid, id);
    if (owned.length > 0) this.#dropCopies(owned.map(id => storageKey(viewUid, id)));
  }

  /** Any record may have changed. */
  everythingChanged(): void {
    const { views, emptySlot } = this.#parts;
    this.#forgetAll();
    for (const { view } of views.list()) emptySlot(view.slot);
    this.reviewed();
  }

  /** All but the copies in the table; what is under way is not kept. */
  #forgetAll(): void {
    const { negative, flights, copies } = this.#parts;
    this.#period++;
    this.#news.allChanged();
    negative.clear();
    flights.forgetAll();
    copies?.newEra();
  }

  /** From now on changes elsewhere go unnoticed. */
  lost(): void {
    const { isShared, staleMaxMs, later, untold, clock } = this.#parts;
    if (!isShared || !this.#isWhole) return;
    this.#isWhole = false;
    this.#period++;
    if (staleMaxMs === 0) return this.everythingChanged();
    const nowMs = clock.now();
    const agoMs = Math.max(0, nowMs - untold.begin(nowMs));
    this.#cancel ??= later(Math.max(0, staleMaxMs - agoMs), () => this.everythingChanged());
  }

  /** From now on all are told of. */
  restored(): void {
    this.#forgetAll();
    this.#isWhole = true;
    this.#parts.review();
  }

  /** The copies in the table are current, or there are none. */
  reviewed(): void {
    this.#stopWaiting();
    this.#parts.untold.end();
  }

  close(): void {
    this.#period++;
    this.#stopWaiting();
  }

  #stopWaiting(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
