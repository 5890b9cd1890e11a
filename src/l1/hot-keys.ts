/**
 * Which of a lane's records are used most: a walk over its buckets, in steps, so that the lane does other things in
 * between. Twice around: first the marks are counted, which says how often a record must have been used to be among
 * the `keysMax` hottest, then those are collected, sorted by counting. Until `keys` nothing but buckets and marks is
 * looked at, so a step reads memory in order.
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
import type { Shard } from './shard.js';
import { MARK_MAX } from './wasm/words.js';

const SATURATED_SHARE_MAX = 1 / 8;
const AGED_ABOVE = 8;

export interface HotKey {
  /** Of its cache. */
  readonly slot: number;
  /** Of the table's memory: valid until the next key is asked for. */
  readonly id: Uint8Array;
}

export class HotKeyScan {
  readonly #shards: readonly Shard[];
  readonly #view: TableView;
  readonly #keysMax: number;
  readonly #nowTick: () => number;
  /** By mark. */
  readonly #counts = new Uint32Array(MARK_MAX + 1);
  readonly #next = new Uint32Array(MARK_MAX + 1);
  readonly #ends = new Uint32Array(MARK_MAX + 1);
  /** In order, each slot plus one, 0 where there is none; and its shard. Made between the two walks. */
  #slots: Uint32Array | undefined;
  #shardOf = new Uint8Array(0);
  #isAging = false;
  #shard = 0;
  #bucket = 0;

  constructor(shards: readonly Shard[], view: TableView, keysMax: number, nowTick: () => number) {
    this.#shards = shards;
    this.#view = view;
    this.#keysMax = keysMax;
    this.#nowTick = nowTick;
  }

  /** Walks over so many buckets; true when both walks are at their end. */
  step(buckets: number): boolean {
    for (let left = buckets; left > 0; left--) {
      const shard = this.#shards[this.#shard];
      if (shard === undefined) {
        if (this.#slots !== undefined) return true;
        this.#lay();
        continue;
      }
      if (this.#slots === undefined) this.#count(shard);
      else this.#collect(shard, this.#slots);
      if (++this.#bucket < shard.buckets) continue;
      this.#bucket = 0;
      this.#shard++;
    }
    return this.#slots !== undefined && this.#shard === this.#shards.length;
  }

  /** Whether any record was used at all: else their order is that of their places. */
  get hasUses(): boolean {
    return this.#counts.some((count, mark) => mark > 0 && count > 0);
  }

  /** Hottest first, after the last step. What has left the table in the meantime is left out. */
  *keys(): Generator<HotKey> {
    const slots = this.#slots ?? new Uint32Array(0);
    for (let at = 0; at < slots.length; at++) {
      const shard = this.#shards[this.#shardOf[at]!];
      const slot = slots[at]! - 1;
      const key = shard === undefined || slot < 0 ? undefined : this.#keyIn(shard, slot);
      if (key !== undefined) yield key;
    }
  }

  #count(shard: Shard): void {
    const first = this.#bucket * SLOTS;
    for (let slot = first; slot < first + SLOTS; slot++) {
      if (shard.placeOf(slot) !== 0) this.#counts[shard.mark(slot)]! += 1;
    }
  }

  /** Sets out a stretch of the list for each mark, from the highest down, as far as there is room. */
  #lay(): void {
    let end = 0;
    for (let mark = MARK_MAX; mark >= 0; mark--) {
      this.#next[mark] = end;
      end += Math.min(this.#counts[mark]!, this.#keysMax - end);
      this.#ends[mark] = end;
    }
    this.#slots = new Uint32Array(end);
    this.#shardOf = new Uint8Array(end);
    this.#isAging = this.#counts[MARK_MAX]! > this.#keysMax * SATURATED_SHARE_MAX;
    this.#shard = 0;
  }

  /** Marks that rose since they were counted may find their stretch full: such a record is missed this once. */
  #collect(shard: Shard, slots: Uint32Array): void {
    const first = this.#bucket * SLOTS;
    for (let slot = first; slot < first + SLOTS; slot++) {
      if (shard.placeOf(slot) === 0) continue;
      const mark = shard.mark(slot);
      const at = this.#next[mark]!;
      if (at < this.#ends[mark]!) {
        slots[at] = slot + 1;
        this.#shardOf[at] = this.#shard;
        this.#next[mark] = at + 1;
      }
      if (this.#isAging && mark > AGED_ABOVE) shard.setMark(slot, (mark + AGED_ABOVE) >> 1);
    }
  }

  #keyIn(shard: Shard, slot: number): HotKey | undefined {
    const { words, bytes } = shard;
    const place = shard.placeOf(slot);
    if (place === 0) return undefined;
    const at = shard.at + place;
    const cache = words[at + 2]! >>> EPOCH_SHIFT_CACHE;
    const epoch = Atomics.load(words, this.#view.cacheAt(cache) + CACHE.epoch);
    if (words[at + 2] !== ((cache << EPOCH_SHIFT_CACHE) | (epoch & EPOCH_MASK))) return undefined;
    if (this.#nowTick() >= words[at + 1]! >>> 0) return undefined;
    const start = (at + RECORD_HEADER_WORDS) * 4;
    return { slot: cache, id: bytes.subarray(start, start + (words[at]! >>> KEY_BYTES_SHIFT)) };
  }
}
