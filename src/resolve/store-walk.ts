/**
 * A walk through a view's keys in the store of record that deletes what the view's fences hide, of this lane's keys.
 *
 * It goes in steps with rests between (`pace.ts`), and reads from where writes are acknowledged: what was acknowledged
 * before the fence is never missed. Values are read, for they alone say whether they are hidden; with no fence for tags,
 * only those whose keys are meant. Steps are as large as values are small, and where one cannot be read in time, smaller.
 *
 * What was found hidden is deleted only as long as it is what is stored: its tombstone has the version next to its own.
 * So an entry that is written in between stays, whoever writes it. One that the walk does not meet, since a server that
 * has not heard of the fence writes it meanwhile, was not acknowledged before the fence.
 */
import { assert } from '../base/assert.js';
import type { Clock, Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { idOfStorageKey, VIEW_UID_BYTES } from '../base/keys.js';
import type { Tier, TierWrite } from '../base/tier.js';
import { EntryReader } from '../caches/entry.js';
import { leasedUntil } from '../caches/lease-mark.js';
import { encodeTombstone } from '../views/record-codec.js';
import type { TierChain } from './chain.js';
import type { Coherence } from './coherence.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneView } from './lane-views.js';
import type { Pace } from './pace.js';
import type { RecordInspector } from './record-inspector.js';
import type { RecordWriter } from './record-writer.js';

export interface StoreWalkParts {
  /** The store of record. */
  readonly record: Tier;
  readonly chain: TierChain;
  readonly cache: LaneCache;
  readonly coherence: Coherence;
  readonly inspector: RecordInspector;
  readonly writes: Pick<RecordWriter, 'write'>;
  readonly clock: Clock;
  readonly pace: Pace;
  /** How long a deletion outlives its entry. */
  readonly tombstoneTtlMs: number;
}

/** Of values in one step, as far as those before it tell; one that has all sizes may be 64 times as large. */
const STEP_BYTES = 1 << 20;
const STEP_KEYS_MAX = 64;
const STEP_KEYS_FIRST = 8;
const WRITE_DEADLINE_MS = 60_000;
const NO_BODIES = new Uint8Array(0);

export class StoreWalk {
  readonly #parts: StoreWalkParts;
  readonly #entry = new EntryReader();
  #stepKeys = STEP_KEYS_FIRST;

  constructor(parts: StoreWalkParts) {
    this.#parts = parts;
  }

  /** How many entries were deleted. @throws HeadraceError `unavailable`, and what a deletion throws: walk again then. */
  async run(lane: LaneView, isOver: () => boolean): Promise<number> {
    const { record, pace } = this.#parts;
    assert(record.keysOf !== undefined, 'a store of record says which keys it has');
    let erased = 0;
    for await (const keys of record.keysOf(lane.view.uid)) {
      const began = pace.begin();
      const meant = this.#meant(lane, keys);
      await pace.rest(began);
      for (let from = 0; from < meant.length && !isOver(); ) {
        const step = meant.slice(from, from + this.#stepKeys);
        const beganStep = pace.begin();
        const count = await this.#step(lane, step);
        await pace.rest(beganStep);
        // Too much at once: the same keys again, fewer of them.
        if (count === undefined) continue;
        from += step.length;
        erased += count;
      }
      if (isOver()) break;
    }
    return erased;
  }

  /** Keys of this lane whose values may be hidden. */
  #meant({ view, fences }: LaneView, keys: readonly Uint8Array[]): Uint8Array[] {
    const { cache } = this.#parts;
    return keys.filter(
      key =>
        fences?.mayHide(key, VIEW_UID_BYTES, key.length) === true &&
        cache.owns(view.slot, idOfStorageKey(key)),
    );
  }

  /** How many were deleted; `undefined` when so many could not be read in time. */
  async #step(lane: LaneView, keys: readonly Uint8Array[]): Promise<number | undefined> {
    let values: readonly (Uint8Array | undefined)[];
    try {
      values = await this.#parts.record.getMany(keys, undefined, 'primary');
    } catch (error) {
      const mayPass = error instanceof HeadraceError && error.code === 'unavailable';
      if (keys.length === 1 || !mayPass) throw error;
      this.#stepKeys = Math.max(1, keys.length >> 1);
      return undefined;
    }
    const bytes = values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
    const fitting = Math.floor((STEP_BYTES * keys.length) / Math.max(1, bytes));
    this.#stepKeys = Math.max(1, Math.min(fitting, 2 * this.#stepKeys, STEP_KEYS_MAX));
    return this.#erase(lane, keys, values);
  }

  async #erase(
    lane: LaneView,
    keys: readonly Uint8Array[],
    values: readonly (Uint8Array | undefined)[],
  ): Promise<number> {
    const { clock, inspector, tombstoneTtlMs } = this.#parts;
    const nowMs = clock.now();
    const writes: TierWrite[] = [];
    const damaged: string[] = [];
    let vacant = 0;
    keys.forEach((key, index) => {
      const value = values[index];
      if (value === undefined) return;
      if (!inspector.verify(value)) damaged.push(idOfStorageKey(key));
      else if (inspector.expiresAt(value) > nowMs && this.#isMeant(lane, key, value, nowMs)) {
        this.#entry.reset(value);
        if (this.#entry.isVacant) vacant++;
        const version = (inspector.version(value) + 1) as Version;
        writes.push({ key, version, value: encodeTombstone(version, nowMs, nowMs + tombstoneTtlMs) });
      }
    });
    if (writes.length > 0) await this.#delete(lane.view, writes);
    if (damaged.length > 0) await this.#remove(lane.view.uid, damaged);
    return writes.length - vacant + damaged.length;
  }

  #isMeant({ fences }: LaneView, key: Uint8Array, value: Uint8Array, nowMs: number): boolean {
    if (fences === undefined) return false;
    if (fences.hides(value, 0, value.length, key, VIEW_UID_BYTES, key.length)) return true;
    if (!fences.isBeforeTags(value)) return false;
    // Which tags it will have once it is made anew, nobody knows: the lease on it is void.
    this.#entry.reset(value);
    return leasedUntil(this.#entry, nowMs) > nowMs;
  }

  async #delete({ uid, slot }: LaneView['view'], writes: readonly TierWrite[]): Promise<void> {
    const { cache, chain, coherence } = this.#parts;
    const changed = () => {
      for (const { key } of writes) coherence.erasedHere(uid, idOfStorageKey(key));
    };
    await chain.putMany(writes, changed);
    // Also of what was read from a tier above before that had the tombstone.
    changed();
    for (const { key, version } of writes) {
      const id = idOfStorageKey(key);
      const cached = cache.get(slot, id);
      if (cached !== undefined && this.#parts.inspector.version(cached) < version) cache.remove(slot, id);
    }
  }

  /** What is damaged is meant by anything: nobody knows what it was, nor which version it has. */
  async #remove(viewUid: number, ids: readonly string[]): Promise<void> {
    const deadlineMs = this.#parts.clock.now() + WRITE_DEADLINE_MS;
    const ops = ids.map(id => ({ kind: 'remove', viewUid, id, deadlineMs }) as const);
    await this.#parts.writes.write(ops, NO_BODIES);
  }
}
