/**
 * Removes single entries of named caches for good, each by its key: they are deleted in the store of record, and so in
 * all tiers above it and on every other server, as by any deletion. Each lane does so for its own keys.
 */
import type { Clock } from '../base/clock.js';
import { storageKey } from '../base/keys.js';
import type { Tier } from '../base/tier.js';
import { EntryReader } from '../caches/entry.js';
import { type ControlTask, errorOf, type RemoveOp } from '../lanes/messages.js';
import { checkDeadline } from './deadline.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneViews } from './lane-views.js';
import type { RecordInspector } from './record-inspector.js';
import type { RecordWriter } from './record-writer.js';

export interface EraserParts {
  readonly views: LaneViews;
  readonly cache: LaneCache;
  /** The store of record. */
  readonly record: Tier;
  readonly writes: RecordWriter;
  readonly inspector: RecordInspector;
  readonly clock: Clock;
  /** Views of caches that have an origin, by name: what it is being asked for just now must go as well. */
  readonly origins: { has(viewName: string): boolean };
  /** Lets other work of the thread go first. */
  readonly pause: () => Promise<void>;
}

export type EraseTask = Extract<ControlTask, { kind: 'erase' }>;

/** Entries read, and deleted, in one call: they may be large. */
const STEP_KEYS = 16;
const NO_BODIES = new Uint8Array(0);

export class Eraser {
  readonly #parts: EraserParts;
  readonly #entry = new EntryReader();

  constructor(parts: EraserParts) {
    this.#parts = parts;
  }

  /** How many entries there were. @throws HeadraceError `deadline`, `unavailable`, and what a deletion throws. */
  async erase({ viewUid, ids, deadlineMs }: EraseTask): Promise<number> {
    const { cache, clock, pause, views } = this.#parts;
    const { slot } = views.get(viewUid).view;
    const owned = [...new Set(ids)].filter(id => cache.owns(slot, id));
    let erased = 0;
    for (let from = 0; from < owned.length; from += STEP_KEYS) {
      checkDeadline(deadlineMs, clock);
      erased += await this.#step(viewUid, owned.slice(from, from + STEP_KEYS), deadlineMs);
      await pause();
    }
    return erased;
  }

  async #step(viewUid: number, ids: readonly string[], deadlineMs: number): Promise<number> {
    const { record, writes, views, origins } = this.#parts;
    const keys = ids.map(id => storageKey(viewUid, id));
    const values = await record.getMany(keys, deadlineMs, 'primary');
    const there = ids.map((_, index) => this.#isThere(keys[index] as Uint8Array, values[index]));
    // A server may be about to store what it has asked an origin for: only a deletion is newer than that.
    const isReadThrough = origins.has(views.get(viewUid).view.name);
    const meant = isReadThrough ? ids : ids.filter((_, index) => there[index]);
    const ops = meant.map((id): RemoveOp => ({ kind: 'remove', viewUid, id, deadlineMs }));
    if (ops.length === 0) return 0;
    for (const result of await writes.write(ops, NO_BODIES)) {
      if (result.kind === 'failed') throw errorOf(result.failure);
    }
    return ids.filter((_, index) => there[index] && !this.#isVacant(values[index])).length;
  }

  /** Only a lease, which goes but is no entry. */
  #isVacant(value: Uint8Array | undefined): boolean {
    if (value === undefined || !this.#parts.inspector.verify(value)) return value === undefined;
    this.#entry.reset(value);
    return this.#entry.isVacant;
  }

  /** What is damaged is deleted too: nobody knows what it was. */
  #isThere(key: Uint8Array, value: Uint8Array | undefined): boolean {
    const { inspector, clock, views } = this.#parts;
    if (value === undefined) return false;
    if (!inspector.verify(value)) return true;
    const isAlive = inspector.expiresAt(value) > clock.now() && !inspector.isTombstone(value);
    return isAlive && !views.isHidden(key, value);
  }
}
