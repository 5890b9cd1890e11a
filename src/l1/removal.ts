/**
 * Removing by prefix, tag or pattern: a walk over all buckets of a lane, in steps, so that the lane does other things
 * in between. Records never move between buckets, so each that was there when the walk began is met exactly once,
 * unless it leaves by itself.
 */
import { heatOf } from './hot-keys.js';
import {
  CACHE,
  EPOCH_MASK,
  EPOCH_SHIFT_CACHE,
  KEY_BYTES_SHIFT,
  RECORD_HEADER_WORDS,
  SLOTS,
  type TableView,
  VALUE_WORDS_MASK,
} from './layout.js';
import type { Reclaimer } from './reclaim.js';
import type { Shard } from './shard.js';

/** The key is `bytes[keyStart, keyEnd)`, the value `bytes[valueStart, valueEnd)`; valid during the call. */
export type RecordTest = (
  bytes: Uint8Array,
  keyStart: number,
  keyEnd: number,
  valueStart: number,
  valueEnd: number,
) => boolean;

/** `isUsed`: the record was read since it came, as far as eviction knows. */
export type RemovalTest = (...record: [...Parameters<RecordTest>, isUsed: boolean]) => boolean;

export class Removal {
  /** Records removed so far. */
  removed = 0;
  readonly #shards: readonly { readonly shard: Shard; readonly reclaimer: Reclaimer }[];
  readonly #slot: number;
  readonly #view: TableView;
  readonly #test: RemovalTest;
  readonly #nowTick: () => number;
  #shard = 0;
  #bucket = 0;

  constructor(
    shards: readonly { readonly shard: Shard; readonly reclaimer: Reclaimer }[],
    slot: number,
    view: TableView,
    test: RemovalTest,
    nowTick: () => number,
  ) {
    this.#shards = shards;
    this.#slot = slot;
    this.#view = view;
    this.#test = test;
    this.#nowTick = nowTick;
  }

  /** Walks over so many buckets (12 records each, at most); true when the walk is at its end. */
  step(buckets: number): boolean {
    const epoch = Atomics.load(this.#view.words, this.#view.cacheAt(this.#slot) + CACHE.epoch);
    const identity = (this.#slot << EPOCH_SHIFT_CACHE) | (epoch & EPOCH_MASK);
    const nowTick = this.#nowTick();
    for (let left = buckets; left > 0; left--) {
      const owned = this.#shards[this.#shard];
      if (owned === undefined) return true;
      this.#walk(owned.shard, owned.reclaimer, identity, nowTick);
      if (++this.#bucket === owned.shard.buckets) {
        this.#bucket = 0;
        this.#shard++;
      }
    }
    return this.#shard === this.#shards.length;
  }

  #walk(shard: Shard, reclaimer: Reclaimer, identity: number, nowTick: number): void {
    const { words } = shard;
    const first = this.#bucket * SLOTS;
    for (let slot = first; slot < first + SLOTS; slot++) {
      const place = shard.placeOf(slot);
      const at = shard.at + place;
      if (place === 0 || words[at + 2] !== identity || nowTick >= words[at + 1]! >>> 0) continue;
      const lengths = words[at]!;
      const keyStart = (at + RECORD_HEADER_WORDS) * 4;
      const valueStart = shard.valueAt(place) * 4;
      const valueEnd = valueStart + (lengths & VALUE_WORDS_MASK) * 4;
      const keyEnd = keyStart + (lengths >>> KEY_BYTES_SHIFT);
      const isUsed = heatOf(shard, reclaimer, slot, place) > 0;
      if (!this.#test(shard.bytes, keyStart, keyEnd, valueStart, valueEnd, isUsed)) continue;
      reclaimer.drop(this.#slot, slot, place);
      this.removed++;
    }
  }
}
