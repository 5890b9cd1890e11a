/**
 * Removes entries of named caches for good: what an invalidation means is deleted in the store of record, and so in all
 * tiers above it and on every other server, as any deletion is. Each lane does so for its own keys.
 *
 * Which entries a prefix, a pattern or a tag means, only the keys of the whole view say, and for tags their values: the
 * store is walked through in parts, between which the lane goes on with its other work. An entry that is written
 * meanwhile may go too; one that was there before the walk began is never missed.
 */
import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { idOfStorageKey, storageKey, VIEW_UID_BYTES } from '../base/keys.js';
import type { Tier } from '../base/tier.js';
import { type Erasure, errorOf, type RemoveOp } from '../lanes/messages.js';
import { testOf } from './invalidator.js';
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
  /** Lets other work of the thread go first. */
  readonly pause: () => Promise<void>;
}

/** Entries read, and deleted, in one call: with what else they carry, at most 64 MiB. */
const STEP_KEYS = 64;
/** Of one step's deletions. */
const DEADLINE_MS = 60_000;
const NO_BODIES = new Uint8Array(0);

export class Eraser {
  readonly #parts: EraserParts;

  constructor(parts: EraserParts) {
    this.#parts = parts;
  }

  /** How many entries there were. @throws HeadraceError `unavailable`, and what a deletion throws. */
  async erase(viewUid: number, spec: Erasure): Promise<number> {
    const { record, pause, inspector } = this.#parts;
    if (spec.kind === 'ids') {
      const keys = spec.ids.map(id => storageKey(viewUid, id));
      return this.#eraseThose(viewUid, keys, isAny);
    }
    assert(record.keysOf !== undefined, 'a store of record says which keys it has');
    const test = testOf(spec, inspector);
    const isMeant = (key: Uint8Array) => test(key, VIEW_UID_BYTES, key.length, 0, 0);
    const isTagged = (value: Uint8Array) => test(value, 0, 0, 0, value.length);
    let erased = 0;
    for await (const keys of record.keysOf(viewUid)) {
      erased +=
        spec.kind === 'tags'
          ? await this.#eraseThose(viewUid, keys, isTagged)
          : await this.#eraseThose(viewUid, keys.filter(isMeant), isAny);
      await pause();
    }
    return erased;
  }

  async #eraseThose(
    viewUid: number,
    keys: readonly Uint8Array[],
    isMeant: (value: Uint8Array) => boolean,
  ): Promise<number> {
    const { cache, record, views } = this.#parts;
    const { slot } = views.get(viewUid).view;
    // A key may be given twice.
    const byId = new Map(keys.map(key => [idOfStorageKey(key), key]));
    const owned = [...byId].flatMap(([id, key]) => (cache.owns(slot, id) ? [key] : []));
    let erased = 0;
    for (let from = 0; from < owned.length; from += STEP_KEYS) {
      const asked = owned.slice(from, from + STEP_KEYS);
      const values = await record.getMany(asked);
      const meant = asked.filter((_, index) => this.#isErasable(values[index], isMeant));
      await this.#remove(viewUid, meant);
      erased += meant.length;
    }
    return erased;
  }

  /** What is damaged is meant by anything: nobody knows what it was. */
  #isErasable(value: Uint8Array | undefined, isMeant: (value: Uint8Array) => boolean): boolean {
    const { inspector, clock } = this.#parts;
    if (value === undefined) return false;
    if (!inspector.verify(value)) return true;
    return inspector.expiresAt(value) > clock.now() && !inspector.isTombstone(value) && isMeant(value);
  }

  async #remove(viewUid: number, keys: readonly Uint8Array[]): Promise<void> {
    const deadlineMs = this.#parts.clock.now() + DEADLINE_MS;
    const ops = keys.map(
      (key): RemoveOp => ({ kind: 'remove', viewUid, id: idOfStorageKey(key), deadlineMs }),
    );
    if (ops.length === 0) return;
    for (const result of await this.#parts.writes.write(ops, NO_BODIES)) {
      if (result.kind === 'failed') throw errorOf(result.failure);
    }
  }
}

function isAny(): boolean {
  return true;
}
