/**
 * The buckets of one shard, as their writer sees them: find, publish, take away.
 *
 * Every change of a slot stands between two raises of its bucket's version, so that a reader that saw any of it, or
 * that copied a record which is now replaced, sees another version when it closes. Raises are atomic
 * read-modify-writes: on every processor they hold back the plain stores behind them.
 */
import { assert } from '../base/assert.js';
import { bucketStep, homeBucket, type Key, tagBits, tagByte } from './hash.js';
import {
  BUCKET_WORDS,
  COUNTER,
  COUNTER_EPOCH_WORD,
  type Counter,
  EPOCH_MASK,
  EPOCH_SHIFT_CACHE,
  KEY_BYTES_SHIFT,
  LINE_WORDS,
  PROBE_BUCKETS,
  RECORD_HEADER_WORDS,
  REF_MASK,
  REFS_AT,
  SHARD,
  SLOTS,
  TAG6_SHIFT,
  TAGS_AT,
  type TableView,
  VALUE_WORDS_MASK,
} from './layout.js';

/** Called at each step of a write, by name; a test ends its thread there. */
export type Failpoint = (name: string) => void;

export const NO_SLOT = -1;

const HIGH_BITS = 0x8080_8080 | 0;
const FREE_ENOUGH = 2;

export class Shard {
  readonly index: number;
  /** Where the shard starts, in words. */
  readonly at: number;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly buckets: number;
  readonly failpoint: Failpoint | undefined;
  /** A free slot that the last `find` met in the key's window, or NO_SLOT. */
  vacant = NO_SLOT;

  readonly #doubles: Float64Array;
  readonly #bucketsAt: number;
  readonly #marksAtByte: number;
  readonly #countersAt: number;

  constructor(view: TableView, index: number, failpoint: Failpoint | undefined) {
    const { places, shape } = view;
    this.index = index;
    this.at = view.shardAt(index);
    this.words = view.words;
    this.bytes = view.bytes;
    this.buckets = shape.buckets;
    this.failpoint = failpoint;
    this.#doubles = view.doubles;
    this.#bucketsAt = this.at + places.buckets;
    this.#marksAtByte = (this.at + places.marks) * 4;
    this.#countersAt = this.at + places.counters;
  }

  get slotsUsed(): number {
    return this.words[this.at + SHARD.slotsUsed]!;
  }

  set slotsUsed(used: number) {
    this.words[this.at + SHARD.slotsUsed] = used;
  }

  home(key: Key): number {
    return homeBucket(key.hashLow, this.buckets);
  }

  /** The bucket of the key's window that follows another. */
  after(bucket: number, key: Key): number {
    const next = bucket + bucketStep(key.hashLow, this.buckets);
    return next >= this.buckets ? next - this.buckets : next;
  }

  bucketAt(bucket: number): number {
    return this.#bucketsAt + bucket * BUCKET_WORDS;
  }

  /** The slot that holds this cache's key, whatever its epoch and expiry, or NO_SLOT. Sets `vacant`. */
  find(key: Key): number {
    const { words } = this;
    const pattern = Math.imul(tagByte(key.hashHigh), 0x01010101);
    const bits = tagBits(key.hashHigh);
    let bucket = this.home(key);
    let freeMost = 0;
    this.vacant = NO_SLOT;
    for (let probe = 0; probe < PROBE_BUCKETS; probe++) {
      const at = this.bucketAt(bucket);
      let free = 0;
      let vacant = NO_SLOT;
      for (let word = 0; word < SLOTS / 4; word++) {
        const tags = words[at + TAGS_AT + word]!;
        const different = tags ^ pattern;
        let matches = (different - 0x01010101) & ~different & HIGH_BITS;
        while (matches !== 0) {
          const slot = word * 4 + lowestByte(matches);
          const ref = words[at + REFS_AT + slot]!;
          if (ref >>> TAG6_SHIFT === bits && this.#holds(ref & REF_MASK, key)) return bucket * SLOTS + slot;
          matches &= matches - 1;
        }
        const zeros = ~(((tags & ~HIGH_BITS) + ~HIGH_BITS) | tags | ~HIGH_BITS);
        if (zeros === 0) continue;
        if (vacant === NO_SLOT) vacant = bucket * SLOTS + word * 4 + lowestByte(zeros);
        free += Math.imul(zeros >>> 7, 0x01010101) >>> 24;
      }
      // The first bucket with two free slots, else the one with most: full buckets are then rarest.
      if (free > freeMost && freeMost < FREE_ENOUGH) {
        freeMost = free;
        this.vacant = vacant;
      }
      bucket = this.after(bucket, key);
    }
    return NO_SLOT;
  }

  #holds(place: number, key: Key): boolean {
    const { words } = this;
    const at = this.at + place;
    if (words[at]! >>> KEY_BYTES_SHIFT !== key.byteLength) return false;
    if (words[at + 2]! >>> EPOCH_SHIFT_CACHE !== key.slot) return false;
    for (let word = 0; word < key.wordLength; word++) {
      if (words[at + RECORD_HEADER_WORDS + word] !== key.words[word]) return false;
    }
    return true;
  }

  /** The slot that refers to this very place in the log, or NO_SLOT: then the record there is a dead copy. */
  findPlace(key: Key, place: number): number {
    const ref = (tagBits(key.hashHigh) << TAG6_SHIFT) | place;
    let bucket = this.home(key);
    for (let probe = 0; probe < PROBE_BUCKETS; probe++) {
      const at = this.bucketAt(bucket) + REFS_AT;
      for (let slot = 0; slot < SLOTS; slot++)
        if (this.words[at + slot] === ref) return bucket * SLOTS + slot;
      bucket = this.after(bucket, key);
    }
    return NO_SLOT;
  }

  /** Where the slot's record lies, from the shard's start; 0: the slot is free. */
  placeOf(slot: number): number {
    const bucket = Math.floor(slot / SLOTS);
    return this.words[this.bucketAt(bucket) + REFS_AT + (slot - bucket * SLOTS)]! & REF_MASK;
  }

  mark(slot: number): number {
    return this.bytes[this.#marksAtByte + slot]!;
  }

  setMark(slot: number, mark: number): void {
    this.bytes[this.#marksAtByte + slot] = mark;
  }

  /** Lets the slot refer to a record that is in the log. */
  publish(slot: number, key: Key, place: number): void {
    const wasFree = this.placeOf(slot) === 0;
    const bucket = Math.floor(slot / SLOTS);
    this.#change(
      bucket,
      slot - bucket * SLOTS,
      tagByte(key.hashHigh),
      (tagBits(key.hashHigh) << TAG6_SHIFT) | place,
    );
    if (!wasFree) return;
    this.slotsUsed++;
    let distance = 0;
    for (let next = this.home(key); next !== bucket; next = this.after(next, key)) distance++;
    this.#doubles[(this.at + SHARD.distances) / 2 + distance]! += 1;
  }

  /** Lets the slot refer to its record's copy elsewhere. */
  move(slot: number, hashHigh: number, place: number): void {
    const bucket = Math.floor(slot / SLOTS);
    this.#change(bucket, slot - bucket * SLOTS, tagByte(hashHigh), (tagBits(hashHigh) << TAG6_SHIFT) | place);
  }

  clear(slot: number): void {
    assert(this.placeOf(slot) !== 0, 'a slot is cleared once');
    const bucket = Math.floor(slot / SLOTS);
    this.#change(bucket, slot - bucket * SLOTS, 0, 0);
    this.setMark(slot, 0);
    this.slotsUsed--;
  }

  #change(bucket: number, slot: number, tag: number, ref: number): void {
    const { words, failpoint } = this;
    const at = this.bucketAt(bucket);
    Atomics.add(words, at, 1);
    if (failpoint !== undefined) failpoint('odd');
    words[at + REFS_AT + slot] = ref;
    if (failpoint !== undefined) failpoint('slot-changed');
    this.bytes[(at + TAGS_AT) * 4 + slot] = tag;
    if (failpoint !== undefined) failpoint('before-even');
    Atomics.add(words, at, 1);
  }

  /** Words of the record at a place. */
  recordWords(place: number): number {
    const lengths = this.words[this.at + place]!;
    return RECORD_HEADER_WORDS + keyWords(lengths) + (lengths & VALUE_WORDS_MASK);
  }

  /** Where the value of the record at a place starts, in words of the table. */
  valueAt(place: number): number {
    return this.at + place + RECORD_HEADER_WORDS + keyWords(this.words[this.at + place]!);
  }

  count(cache: number, counter: Counter, delta: number): void {
    this.#doubles[(this.#countersAt + cache * LINE_WORDS) / 2 + counter]! += delta;
  }

  /** A record of this epoch entered (+1) or left (-1). Entries and bytes are of one epoch: a raised one starts at 0. */
  countRecord(cache: number, identity: number, words: number, delta: 1 | -1): void {
    const epochAt = this.#countersAt + cache * LINE_WORDS + COUNTER_EPOCH_WORD;
    const epoch = identity & EPOCH_MASK;
    if (this.words[epochAt] !== epoch) {
      if (delta < 0) return;
      const counters = (this.#countersAt + cache * LINE_WORDS) / 2;
      this.#doubles[counters + COUNTER.entries] = 0;
      this.#doubles[counters + COUNTER.bytes] = 0;
      this.words[epochAt] = epoch;
    }
    this.count(cache, COUNTER.entries, delta);
    this.count(cache, COUNTER.bytes, delta * words * 4);
  }
}

/** Index of the lowest byte whose high bit is set. */
function lowestByte(highBits: number): number {
  return (31 - Math.clz32(highBits & -highBits)) >>> 3;
}

/** Words of the key of a record with these lengths. */
function keyWords(lengths: number): number {
  return ((lengths >>> KEY_BYTES_SHIFT) + 3) >>> 2;
}
