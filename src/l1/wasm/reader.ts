/**
 * Reading the shared table: AssemblyScript, compiled to WebAssembly by `npm run build`, called by `table-reader.ts`.
 *
 * A bucket is guarded by its version: load it, probe, copy the value out, load it again. Odd, or differing: the writer
 * was here meanwhile, so look again, a bounded number of times, and then call it a miss. What was read before the
 * second load may be garbage: it is checked to lie within the table and copied, nothing more. A writer raises the
 * version of every bucket that refers to a record before it touches the record's bytes.
 * (Boehm, "Can seqlocks get along with programming language memory models?", 2012, for why the closing load needs care.)
 *
 * Several keys are read in three passes, each over all of them: touch the buckets, touch the records that their tags
 * point to, then read. A key costs two or three cache lines that are in no cache, one after the other; so the lines of
 * sixteen keys are on their way at once. In a running server, lookups of 500 random records out of 5,000, by V8's profiler:
 * 30 to 34 µs a lookup here, 201 µs in the same protocol in JavaScript, key by key.
 *
 * Why not in JavaScript, beside that: uWebSockets.js detaches the ArrayBuffer of each body, and from the first on V8
 * checks every access to a typed array of that thread for it, which makes such loops take twice as long.
 */
import {
  ABSENT,
  BUCKET_WORDS,
  EXPIRY_AT,
  IDENTITY_AT,
  MARK_MAX,
  PROBE_BUCKETS,
  RECORD_HEADER_WORDS,
  REF_BITS,
  REFS_AT,
  ROW_BUCKET,
  ROW_BUCKET_AT,
  ROW_HASH_HIGH,
  ROW_HASH_LOW,
  ROW_KEY_AT,
  ROW_KEY_BYTES,
  ROW_LENGTH,
  ROW_SHARD_AT,
  ROW_VALUE_AT,
  ROW_WORDS,
  SLOTS,
  TAGS_AT,
  VALUE_WORDS_BITS,
} from './words';

const ATTEMPTS_MAX: u32 = 16;
const CONTENDED: i32 = -2;
const LINE_WORDS: u32 = 16;
/** Lines of a record that are fetched ahead; the rest of a long one follows by itself. */
const LINES_AHEAD: u32 = 4;

/** Reads given up because a writer was always there first. */
export let contended: u32 = 0;

let shardsAt: u32 = 0;
let shardWords: u32 = 0;
let shardMask: u32 = 0;
let bucketsAt: u32 = 0;
let buckets: u32 = 0;
let marksAt: u32 = 0;
let logsEnd: u32 = 0;
let rowsAt: u32 = 0;
let valuesAt: u32 = 0;
let valuesEnd: u32 = 0;
let loadsInOrder: bool = false;
/** Of no use but to be seen from outside, so that the compiler leaves out none of the loads that end here. */
export let touched: u32 = 0;

/** Of the key being read, and where its bucket's matching slot and the next free word for a value are. */
let tag: u32 = 0;
let tagBits: u32 = 0;
let identity: u32 = 0;
let nowTick: u32 = 0;
let slot: u32 = 0;
let free: u32 = 0;
/** The value did not fit behind those of the rows before it. Alone, every value fits. */
let full: bool = false;

/** All places and lengths are in words; see `Places` in `layout.ts`. Called once, before any read. */
export function open(
  shards: u32,
  wordsOfShard: u32,
  mask: u32,
  bucketsInShard: u32,
  bucketCount: u32,
  marksInShard: u32,
  logsEndAt: u32,
  rows: u32,
  values: u32,
  valuesEndAt: u32,
  inOrder: bool,
): void {
  shardsAt = shards;
  shardWords = wordsOfShard;
  shardMask = mask;
  bucketsAt = bucketsInShard;
  buckets = bucketCount;
  marksAt = marksInShard;
  logsEnd = logsEndAt;
  rowsAt = rows;
  valuesAt = values;
  valuesEnd = valuesEndAt;
  loadsInOrder = inOrder;
}

/**
 * Reads the keys of the first `count` rows, all of one cache, and answers in the rows. Returns how many rows are
 * answered: fewer when their values fill the scratch, but always one. `mark`: a hit counts as a use.
 */
export function read(count: u32, identityAsked: u32, tick: u32, mark: bool): u32 {
  identity = identityAsked;
  nowTick = tick;
  free = valuesAt;
  findBuckets(count);
  if (count > 1) touchRecords(count);
  for (let index: u32 = 0; index < count; index++) {
    const row = rowAt(index);
    put(row + ROW_VALUE_AT, free);
    full = false;
    const length = readRow(row, mark);
    if (full) return index;
    put(row + ROW_LENGTH, <u32>length);
    if (length > 0) free += <u32>length >> 2;
  }
  return count;
}

function findBuckets(count: u32): void {
  for (let index: u32 = 0; index < count; index++) {
    const row = rowAt(index);
    const shardAt = shardsAt + (get(row + ROW_HASH_HIGH) & shardMask) * shardWords;
    const bucket = share(get(row + ROW_HASH_LOW), buckets);
    const at = shardAt + bucketsAt + bucket * BUCKET_WORDS;
    put(row + ROW_SHARD_AT, shardAt);
    put(row + ROW_BUCKET, bucket);
    put(row + ROW_BUCKET_AT, at);
    touched ^= get(at) ^ load<u8>(markAt(shardAt, bucket));
  }
}

function touchRecords(count: u32): void {
  for (let index: u32 = 0; index < count; index++) {
    const row = rowAt(index);
    const at = get(row + ROW_BUCKET_AT);
    tagOf(get(row + ROW_HASH_HIGH));
    for (let matches = matchesIn(at); matches !== 0; matches &= matches - 1) {
      const record = recordIn(at, ctz(matches), get(row + ROW_SHARD_AT));
      if (record === 0) continue;
      for (let line: u32 = 0; line < LINES_AHEAD; line++) touched ^= get(record + line * LINE_WORDS);
      break;
    }
  }
}

/** The value's bytes, ABSENT, or CONTENDED as a miss. */
function readRow(row: u32, mark: bool): i32 {
  const hashLow = get(row + ROW_HASH_LOW);
  const shardAt = get(row + ROW_SHARD_AT);
  tagOf(get(row + ROW_HASH_HIGH));
  let bucket = get(row + ROW_BUCKET);
  for (let probe: u32 = 0; probe < <u32>PROBE_BUCKETS; probe++) {
    const at = shardAt + bucketsAt + bucket * BUCKET_WORDS;
    let length = CONTENDED;
    for (let attempt: u32 = 0; attempt < ATTEMPTS_MAX && length === CONTENDED; attempt++) {
      length = readBucket(at, row, shardAt);
    }
    if (length >= 0) {
      if (mark) markUse(markAt(shardAt, bucket) + slot);
      return length;
    }
    if (length === CONTENDED) contended++;
    // As `bucketStep` in `hash.ts`.
    bucket += 1 + share(hashLow * 0x9e3779b1, buckets - 1);
    if (bucket >= buckets) bucket -= buckets;
  }
  return ABSENT;
}

function readBucket(at: u32, row: u32, shardAt: u32): i32 {
  const version = atomic.load<u32>((<usize>at) << 2);
  if ((version & 1) !== 0) return CONTENDED;
  let length: i32 = ABSENT;
  for (let matches = matchesIn(at); matches !== 0; matches &= matches - 1) {
    slot = ctz(matches);
    const record = recordIn(at, slot, shardAt);
    if (record === 0) continue;
    length = copyRecord(record, row);
    if (length !== ABSENT) break;
  }
  // x86-64 keeps loads in order, so a load closes the read. Elsewhere an acquiring load does not hold back the plain
  // loads before it; a read-modify-write does.
  const closing = loadsInOrder ? atomic.load<u32>((<usize>at) << 2) : atomic.add<u32>((<usize>at) << 2, 0);
  return closing === version ? length : CONTENDED;
}

/** Copies the value if the record is the row's and alive. Every length read here may be garbage until the close. */
function copyRecord(record: u32, row: u32): i32 {
  const keyBytes = get(row + ROW_KEY_BYTES);
  const lengths = get(record);
  if (get(record + IDENTITY_AT) !== identity || lengths >> VALUE_WORDS_BITS !== keyBytes) return ABSENT;
  if (nowTick >= get(record + EXPIRY_AT)) return ABSENT;
  const keyAt = get(row + ROW_KEY_AT);
  const keyWords = (keyBytes + 3) >> 2;
  const recordKeyAt = record + RECORD_HEADER_WORDS;
  for (let word: u32 = 0; word < keyWords; word++) {
    if (get(recordKeyAt + word) !== get(keyAt + word)) return ABSENT;
  }
  const valueAt = recordKeyAt + keyWords;
  const words = lengths & ((1 << VALUE_WORDS_BITS) - 1);
  if (valueAt + words > logsEnd) return ABSENT;
  if (words > valuesEnd - free) {
    full = free > valuesAt;
    return ABSENT;
  }
  copyWords((<usize>valueAt) << 2, (<usize>free) << 2, words);
  return <i32>(words << 2);
}

function copyWords(source: usize, target: usize, words: u32): void {
  const end = source + ((<usize>words >> 2) << 4);
  while (source < end) {
    v128.store(target, v128.load(source));
    source += 16;
    target += 16;
  }
  for (let word: u32 = 0; word < (words & 3); word++) {
    store<u32>(target + (word << 2), load<u32>(source + (word << 2)));
  }
}

/** Sets the tags of a hash, as `tagByte` and `tagBits` in `hash.ts`. */
function tagOf(hashHigh: u32): void {
  tag = (hashHigh >> 8) & 0xff;
  if (tag === 0) tag = 1;
  tagBits = hashHigh >> REF_BITS;
}

/** A bit for every slot of the bucket whose tag byte is the key's. */
function matchesIn(at: u32): u32 {
  const tags = v128.load((<usize>(at + TAGS_AT)) << 2);
  return <u32>i8x16.bitmask(i8x16.eq(tags, i8x16.splat(<i8>tag))) & ((1 << SLOTS) - 1);
}

/** Where the slot's record is if its other tag bits are the key's, else 0. */
function recordIn(at: u32, slotAt: u32, shardAt: u32): u32 {
  const ref = get(at + REFS_AT + slotAt);
  return ref !== 0 && ref >> REF_BITS === tagBits ? shardAt + (ref & ((1 << REF_BITS) - 1)) : 0;
}

function markAt(shardAt: u32, bucket: u32): usize {
  return ((<usize>(shardAt + marksAt)) << 2) + bucket * SLOTS;
}

/** Not atomic: a mark that is lost among threads is one use that is not counted. */
function markUse(at: usize): void {
  const used = load<u8>(at);
  if (used < <u8>MARK_MAX) store<u8>(at, used + 1);
}

/** The part of `count` that the hash picks. */
function share(hash: u32, count: u32): u32 {
  return <u32>((<u64>hash * <u64>count) >> 32);
}

function rowAt(index: u32): u32 {
  return rowsAt + index * ROW_WORDS;
}

function get(word: u32): u32 {
  return load<u32>((<usize>word) << 2);
}

function put(word: u32, value: u32): void {
  store<u32>((<usize>word) << 2, value);
}
