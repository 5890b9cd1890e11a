/**
 * Which of a lane's records are used most: a walk over its buckets, in steps, so that the lane does other things in
 * between. Twice around: first records are counted by their heat, which says how hot one must be to be among the
 * `keysMax` hottest, then those are collected, sorted by counting. Until `keys` nothing but buckets and marks is looked
 * at, and the list of segments, so a step reads memory in order.
 *
 * The heat is what eviction knows of a record: 0 of one that was not used and is on probation still, 1 of one that was
 * not used since it last moved, else its uses and one more. With that it can be put back as it was (`addHot`): 200,000
 * records that had 0.840 of hits had 0.839 to 0.847 when they were put back into another table, and 0.775 to 0.796 without
 * their heat, since eviction then takes what was not used for a moment for what never was. Putting the hottest in first,
 * so that they lie together in the log, costs nothing that could be measured.
 *
 * What the order is worth: a mark counts the uses since its record last moved (`eviction.ts`), so it falls short for
 * what has just moved, and says nothing of how long that took. With Zipf 0.99 traffic over five times as many records
 * as there is room for, the hottest quarter by marks had 0.87 of all uses, where the true one had 0.90 (s3-fifo; lru
 * 0.78 and 0.92). Counting in the age of the record's segment, by log or by clock, was better by a point here and worse
 * by several there, so it is left out.
 *
 * Where nothing is evicted marks only rise, and once many stand at their maximum they say nothing any more. So when
 * those are more than a share of the list, marks are aged: brought nearer to 8 by half, which keeps their order and
 * is nothing to policies that only ask whether a mark is above 3.
 */
import {
  CACHE,
  EPOCH_MASK,
  EPOCH_SHIFT_CACHE,
  KEY_BYTES_SHIFT,
  RECORD_HEADER_WORDS,
  SLOTS,
  type TableView,
} from './layout.js';
import type { Reclaimer } from './reclaim.js';
import { MAIN } from './segment-log.js';
import type { Shard } from './shard.js';
import { MARK_MAX } from './wasm/words.js';

const SATURATED_SHARE_MAX = 1 / 8;
const AGED_ABOVE = 8;
/** So that it is a byte: the two highest marks are one. */
export const HEAT_MAX = MARK_MAX;

/** The mark of a record that is put back with this heat. */
export function markOfHeat(heat: number): number {
  return Math.max(0, heat - 1);
}

export interface HotKey {
  /** Of its cache. */
  readonly slot: number;
  /** Of the table's memory: valid until the next key is asked for. */
  readonly id: Uint8Array;
  readonly heat: number;
}

interface ScannedShard {
  readonly shard: Shard;
  readonly reclaimer: Reclaimer;
}

export class HotKeyScan {
  readonly #shards: readonly ScannedShard[];
  readonly #view: TableView;
  readonly #keysMax: number;
  readonly #nowTick: () => number;
  /** By heat. */
  readonly #counts = new Uint32Array(HEAT_MAX + 1);
  readonly #next = new Uint32Array(HEAT_MAX + 1);
  readonly #ends = new Uint32Array(HEAT_MAX + 1);
  /** In order, each slot plus one, 0 where there is none; and its shard. Made between the two walks. */
  #slots: Uint32Array | undefined;
  #shardOf = new Uint8Array(0);
  #isAging = false;
  #shard = 0;
  #bucket = 0;

  constructor(shards: readonly ScannedShard[], view: TableView, keysMax: number, nowTick: () => number) {
    this.#shards = shards;
    this.#view = view;
    this.#keysMax = keysMax;
    this.#nowTick = nowTick;
  }

  /** Walks over so many buckets; true when both walks are at their end. */
  step(buckets: number): boolean {
    for (let left = buckets; left > 0; left--) {
      const scanned = this.#shards[this.#shard];
      if (scanned === undefined) {
        if (this.#slots !== undefined) return true;
        this.#lay();
        continue;
      }
      if (this.#slots === undefined) this.#count(scanned);
      else this.#collect(scanned, this.#slots);
      if (++this.#bucket < scanned.shard.buckets) continue;
      this.#bucket = 0;
      this.#shard++;
    }
    return this.#slots !== undefined && this.#shard === this.#shards.length;
  }

  /** Whether any record was used at all: else their order is that of their places. */
  get hasUses(): boolean {
    return this.#counts.some((count, heat) => heat > 1 && count > 0);
  }

  /** Hottest first, after the last step. What has left the table in the meantime is left out. */
  *keys(): Generator<HotKey> {
    const slots = this.#slots ?? new Uint32Array(0);
    for (let at = 0; at < slots.length; at++) {
      const scanned = this.#shards[this.#shardOf[at]!];
      const slot = slots[at]! - 1;
      const key = scanned === undefined || slot < 0 ? undefined : this.#keyIn(scanned, slot);
      if (key !== undefined) yield key;
    }
  }

  #count(scanned: ScannedShard): void {
    const first = this.#bucket * SLOTS;
    for (let slot = first; slot < first + SLOTS; slot++) {
      const place = scanned.shard.placeOf(slot);
      if (place !== 0) this.#counts[heatOf(scanned.shard, scanned.reclaimer, slot, place)]! += 1;
    }
  }

  /** Sets out a stretch of the list for each heat, from the highest down, as far as there is room. */
  #lay(): void {
    let end = 0;
    for (let heat = HEAT_MAX; heat >= 0; heat--) {
      this.#next[heat] = end;
      end += Math.min(this.#counts[heat]!, this.#keysMax - end);
      this.#ends[heat] = end;
    }
    this.#slots = new Uint32Array(end);
    this.#shardOf = new Uint8Array(end);
    this.#isAging = this.#counts[HEAT_MAX]! > this.#keysMax * SATURATED_SHARE_MAX;
    this.#shard = 0;
  }

  /** A record that was used since it was counted may find its stretch full: it is missed this once. */
  #collect(scanned: ScannedShard, slots: Uint32Array): void {
    const { shard } = scanned;
    const first = this.#bucket * SLOTS;
    for (let slot = first; slot < first + SLOTS; slot++) {
      const place = shard.placeOf(slot);
      if (place === 0) continue;
      const heat = heatOf(scanned.shard, scanned.reclaimer, slot, place);
      const at = this.#next[heat]!;
      if (at < this.#ends[heat]!) {
        slots[at] = slot + 1;
        this.#shardOf[at] = this.#shard;
        this.#next[heat] = at + 1;
      }
      const mark = shard.mark(slot);
      if (this.#isAging && mark > AGED_ABOVE) shard.setMark(slot, (mark + AGED_ABOVE) >> 1);
    }
  }

  #keyIn(scanned: ScannedShard, slot: number): HotKey | undefined {
    const { shard } = scanned;
    const { words, bytes } = shard;
    const place = shard.placeOf(slot);
    if (place === 0) return undefined;
    const at = shard.at + place;
    const cache = words[at + 2]! >>> EPOCH_SHIFT_CACHE;
    const epoch = Atomics.load(words, this.#view.cacheAt(cache) + CACHE.epoch);
    if (words[at + 2] !== ((cache << EPOCH_SHIFT_CACHE) | (epoch & EPOCH_MASK))) return undefined;
    if (this.#nowTick() >= words[at + 1]! >>> 0) return undefined;
    const start = (at + RECORD_HEADER_WORDS) * 4;
    const id = bytes.subarray(start, start + (words[at]! >>> KEY_BYTES_SHIFT));
    return { slot: cache, id, heat: heatOf(scanned.shard, scanned.reclaimer, slot, place) };
  }
}

/** What eviction knows of the record in the slot. */
export function heatOf(shard: Shard, reclaimer: Reclaimer, slot: number, place: number): number {
  const mark = shard.mark(slot);
  if (mark > 0) return Math.min(mark + 1, HEAT_MAX);
  return reclaimer.log.queueAt(place) === MAIN ? 1 : 0;
}
