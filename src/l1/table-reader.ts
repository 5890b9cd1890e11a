/**
 * Reading the shared table, from any thread, without waiting.
 *
 * A bucket is guarded by its version: load it, probe, copy the value out, load it again. Odd, or differing: the writer
 * was here meanwhile, so look again, a bounded number of times, and then call it a miss. What was read before the
 * second load may be garbage: it is checked to lie within the table and copied, nothing more. A writer raises the
 * version of every bucket that refers to a record before it touches the record's bytes.
 *
 * (Boehm, "Can seqlocks get along with programming language memory models?", 2012, for why the closing load needs care.)
 */
import { bucketStep, homeBucket, Key, tagBits, tagByte } from './hash.js';
import {
  BUCKET_WORDS,
  CACHE,
  EPOCH_MASK,
  EPOCH_SHIFT_CACHE,
  KEY_BYTES_SHIFT,
  LINE_WORDS,
  PROBE_BUCKETS,
  RECORD_HEADER_WORDS,
  REF_MASK,
  REFS_AT,
  SLOTS,
  TAG6_SHIFT,
  TAGS_AT,
  type TableHandle,
  TableView,
  TICK_MS,
  VALUE_WORDS_MASK,
} from './layout.js';

const ATTEMPTS_MAX = 16;
/** Uses are counted to this; each policy makes of the count what it needs. */
export const MARK_MAX = 255;
/** From here on the engine's own copy pays for the view it needs. */
const LONG_WORDS = 512;
/**
 * x86-64 keeps loads in order, so a load closes the read. Elsewhere an acquiring load does not hold back the plain
 * loads before it; a read-modify-write does.
 */
const LOADS_IN_ORDER = process.arch === 'x64';

/** Flips the order of unsigned words into that of signed ones: an unsigned one may not fit an unboxed integer. */
const SIGN = 0x8000_0000 | 0;

const ABSENT = -1;
const CONTENDED = -2;

export class TableReader {
  /** The value of the last hit, from 0 on; private to this reader, valid until its next `get`. */
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  /** Reads given up because a writer was always there first. */
  contended = 0;

  readonly #key: Key;
  readonly #table: Int32Array;
  readonly #marks: Uint8Array;
  readonly #startMs: number;
  readonly #cachesAt: number;
  readonly #shardsAt: number;
  readonly #shardWords: number;
  readonly #shardMask: number;
  readonly #bucketsAt: number;
  readonly #marksAt: number;
  readonly #buckets: number;
  readonly #tableWords: number;

  constructor(handle: TableHandle) {
    const view = new TableView(handle);
    const { places, shape } = view;
    this.#key = new Key(view.hashKey);
    this.#table = view.words;
    this.#marks = view.bytes;
    this.#startMs = view.startMs;
    this.#cachesAt = places.caches;
    this.#shardsAt = places.shards;
    this.#shardWords = places.shardWords;
    this.#shardMask = shape.shards - 1;
    this.#bucketsAt = places.buckets;
    this.#marksAt = places.marks;
    this.#buckets = shape.buckets;
    this.#tableWords = places.tableWords;
    this.words = new Int32Array(shape.segmentBytes / 4);
    this.bytes = new Uint8Array(this.words.buffer);
  }

  /** Takes the key that `get`, `peek` and `shard` are about. */
  key(slot: number, id: string): void {
    this.#key.fromString(slot, id);
  }

  /** The same for a key that is UTF-8 already. */
  keyBytes(slot: number, bytes: Uint8Array, start: number, end: number): void {
    this.#key.fromBytes(slot, bytes, start, end);
  }

  /** The shard of the key; its lane is `shard % lanes`. */
  get shard(): number {
    return this.#key.hashHigh & this.#shardMask;
  }

  /** Copies the value of the key out to `bytes`: its length, or -1 when the table has none. Marks it as used. */
  get(nowMs: number): number {
    return this.#read(nowMs, true);
  }

  /** As `get`, without the mark. */
  peek(nowMs: number): number {
    return this.#read(nowMs, false);
  }

  #read(nowMs: number, mark: boolean): number {
    const { hashLow, hashHigh, slot } = this.#key;
    const shardAt = this.#shardsAt + (hashHigh & this.#shardMask) * this.#shardWords;
    // A plain load: an aligned word is never torn, and the bucket's version below orders what matters.
    const epoch = this.#table[this.#cachesAt + slot * LINE_WORDS + CACHE.epoch]!;
    const identity = (slot << EPOCH_SHIFT_CACHE) | (epoch & EPOCH_MASK);
    // In place, not in a function: a double that is handed on may be boxed, and that is an allocation.
    const nowTick = (Math.max(0, (nowMs - this.#startMs) / TICK_MS) | 0) ^ SIGN;
    let bucket = homeBucket(hashLow, this.#buckets);
    for (let probe = 0; probe < PROBE_BUCKETS; probe++) {
      let length = CONTENDED;
      for (let attempt = 0; attempt < ATTEMPTS_MAX && length === CONTENDED; attempt++) {
        length = this.#readBucket(shardAt, bucket, identity, nowTick, mark);
      }
      if (length === CONTENDED) this.contended++;
      else if (length !== ABSENT) return length;
      bucket += bucketStep(hashLow, this.#buckets);
      if (bucket >= this.#buckets) bucket -= this.#buckets;
    }
    return ABSENT;
  }

  #readBucket(shardAt: number, bucket: number, identity: number, nowTick: number, mark: boolean): number {
    const table = this.#table;
    const { hashHigh } = this.#key;
    const at = shardAt + this.#bucketsAt + bucket * BUCKET_WORDS;
    const version = Atomics.load(table, at);
    if ((version & 1) !== 0) return CONTENDED;
    const pattern = Math.imul(tagByte(hashHigh), 0x01010101);
    const bits = tagBits(hashHigh);
    let length = ABSENT;
    let slot = 0;
    for (let word = 0; word < SLOTS / 4 && length === ABSENT; word++) {
      // A byte of the tag word that equals the tag becomes zero, and then its high bit is set. A borrow may set the
      // bit of the next byte too: only a wasted comparison.
      const different = table[at + TAGS_AT + word]! ^ pattern;
      let matches = (different - 0x01010101) & ~different & 0x80808080;
      while (matches !== 0) {
        slot = word * 4 + ((31 - Math.clz32(matches & -matches)) >>> 3);
        const ref = table[at + REFS_AT + slot]!;
        if (ref >>> TAG6_SHIFT === bits && ref !== 0) {
          length = this.#copyRecord(shardAt + (ref & REF_MASK), identity, nowTick);
          if (length !== ABSENT) break;
        }
        matches &= matches - 1;
      }
    }
    const closing = LOADS_IN_ORDER ? Atomics.load(table, at) : Atomics.add(table, at, 0);
    if (closing !== version) return CONTENDED;
    if (mark && length !== ABSENT) {
      const markAt = (shardAt + this.#marksAt) * 4 + bucket * SLOTS + slot;
      const used = this.#marks[markAt]!;
      if (used < MARK_MAX) this.#marks[markAt] = used + 1;
    }
    return length;
  }

  /** Copies the value if the record is the key's and alive. Every length read here may be garbage until the close. */
  #copyRecord(at: number, identity: number, nowTick: number): number {
    const table = this.#table;
    const { words: keyWords, byteLength, wordLength } = this.#key;
    const lengths = table[at]!;
    if (table[at + 2] !== identity || lengths >>> KEY_BYTES_SHIFT !== byteLength) return ABSENT;
    if (nowTick >= (table[at + 1]! ^ SIGN)) return ABSENT;
    const keyAt = at + RECORD_HEADER_WORDS;
    for (let word = 0; word < wordLength; word++) {
      if (table[keyAt + word] !== keyWords[word]) return ABSENT;
    }
    const valueAt = keyAt + wordLength;
    const valueWords = lengths & VALUE_WORDS_MASK;
    if (valueWords > this.words.length || valueAt + valueWords > this.#tableWords) return ABSENT;
    if (valueWords < LONG_WORDS) copyShort(table, valueAt, this.words, valueWords);
    else this.words.set(table.subarray(valueAt, valueAt + valueWords));
    return valueWords * 4;
  }
}

/** Eight at a time: half the time of one at a time, measured, and no view to allocate. */
function copyShort(from: Int32Array, at: number, to: Int32Array, words: number): void {
  let word = 0;
  for (const whole = words & ~7; word < whole; word += 8) {
    const source = at + word;
    to[word] = from[source]!;
    to[word + 1] = from[source + 1]!;
    to[word + 2] = from[source + 2]!;
    to[word + 3] = from[source + 3]!;
    to[word + 4] = from[source + 4]!;
    to[word + 5] = from[source + 5]!;
    to[word + 6] = from[source + 6]!;
    to[word + 7] = from[source + 7]!;
  }
  for (; word < words; word++) to[word] = from[at + word]!;
}
