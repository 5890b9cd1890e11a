/**
 * Where everything lies in the shared table. One piece of shared memory, seen as 32-bit words:
 *
 *   ┌ header, 96 words ─────────┬ caches ──────────────────┬ shard 0 ┬ … ┬ scratch 0 ┬ … ┬ buffer 0 ┬ … ┐
 *   │ shape, hash key, start,   │ a line each: epoch,      │         │   │           │   │          │   │
 *   │ owner of every lane       │ policy, budget           │         │   │           │   │          │   │
 *   └───────────────────────────┴──────────────────────────┴─────────┴───┴───────────┴───┴──────────┴───┘
 *
 *   shard    ┌ header ┬ counters ┬ buckets ┬ marks ┬ segment list ┬ log ──────────────────┐
 *            │ a line │ a line a │ a line  │ a byte│ 4 words      │ segment 0 │ segment 1 │
 *            │        │ cache    │ each    │ a slot│ a segment    │ records …             │
 *            └────────┴──────────┴─────────┴───────┴──────────────┴───────────────────────┘
 *
 *   bucket   │ version │ 12 tag bytes │ 12 references │          16 words, one cache line
 *            version:   odd while its writer changes it; only ever rises
 *            tag:       8 bits of the hash, 0: free
 *            reference: 6 more bits of the hash, 26 bits: the record's place in words from the shard's start
 *
 *   record   │ value words:20 key bytes:10 │ expiry tick:32 │ cache:10 epoch:22 │ key, zeros to a word │ value │
 *
 *   scratch  │ rows, a line each: key and answer │ the keys' bytes │ values copied out │  private to one reader
 *   buffer   4 MiB for an answer that is put together here, since WebAssembly reaches no other memory
 *
 * A key's home bucket, shard and tags come from its keyed hash; it lies in its home or one of three more buckets,
 * and stays in the bucket it was first put in. Every thread reads; a shard is written by its lane alone (shard mod lanes).
 *
 * Cost beside key and value, for records of 192 bytes at full load:
 *   slot 64/12 + mark 1, at a load of 0.89          7.1
 *   record header 12, padding of the key 1.5       13.5
 *   ghost, 2 bytes a fingerprint, lane-private      1.6
 *   segment tails, reserve, segment list          ~ 1.0     together ~ 23 bytes; the test counts them
 *
 * Limits: 4 GiB less a page; a shard 256 MiB; a cache 1 of 1,024; a key 1,023 bytes; a record what a segment holds.
 */
import { assert } from '../base/assert.js';
import {
  BUCKET_WORDS,
  PROBE_BUCKETS,
  READ_ROWS,
  RECORD_HEADER_WORDS,
  REF_BITS,
  REFS_AT,
  ROW_WORDS,
  SLOTS,
  TAGS_AT,
  VALUE_WORDS_BITS,
} from './wasm/words.js';
import { type SharedMemory, sharedMemory } from './wasm-module.js';

export { BUCKET_WORDS, PROBE_BUCKETS, RECORD_HEADER_WORDS, REFS_AT, SLOTS, TAGS_AT } from './wasm/words.js';

export const LINE_WORDS = 16;
const PAGE_BYTES = 65_536;
export const TABLE_BYTES_MAX = 2 ** 32 - PAGE_BYTES;

const MAGIC = 0x68726163;
const LAYOUT_VERSION = 1;

/** Words of the header. */
export const HEADER = {
  magic: 0,
  layout: 1,
  shards: 2,
  lanes: 3,
  caches: 4,
  buckets: 5,
  segments: 6,
  segmentWords: 7,
  hashKey: 8,
  /** float64: milliseconds since the Unix epoch. */
  startMs: 12,
  /** How many claims to lanes were tried. */
  claims: 14,
  readers: 15,
  buffers: 16,
  owners: 32,
} as const;
export const LANES_MAX = 64;
const HEADER_WORDS = HEADER.owners + LANES_MAX;

/** Words of a cache's line. */
export const CACHE = { epoch: 0, policy: 1, wraps: 2, budget: 4 } as const;
export const CACHES_MAX = 1024;
const CACHE_BITS = 10;
export const EPOCH_BITS = 22;
export const EPOCH_MASK = 2 ** EPOCH_BITS - 1;

/** Words of a shard's header. */
export const SHARD = { state: 0, slotsUsed: 1, segmentsFree: 2, distances: 8 } as const;

/** A cache's counters in one shard: places in float64s, and two words at the end of the line. */
export const COUNTER = {
  entries: 0,
  bytes: 1,
  puts: 2,
  evicted: 3,
  expired: 4,
  emptied: 5,
  crowded: 6,
} as const;
export const COUNTER_EPOCH_WORD = 14;
export const COUNTER_WRAPS_WORD = 15;
export type Counter = (typeof COUNTER)[keyof typeof COUNTER];

/** Measured: above this load, all four buckets of a key are full too often; below it, slots lie idle. */
export const SLOT_LOAD = 0.89;

export const REF_MASK = 2 ** REF_BITS - 1;
export const TAG6_SHIFT = REF_BITS;
const SHARD_WORDS_MAX = 2 ** REF_BITS;

/** Words of a segment's list entry. `owner` 0: free, else 1 + 2 × cache + queue. */
export const SEGMENT = { owner: 0, sequence: 1, used: 2 } as const;
export const SEGMENT_ENTRY_WORDS = 4;
const SEGMENTS_MIN = 4;
const SEGMENT_BYTES_MAX = 2 ** 20;

export const VALUE_WORDS_MASK = 2 ** VALUE_WORDS_BITS - 1;
export const KEY_BYTES_SHIFT = VALUE_WORDS_BITS;
const KEY_BYTES_BITS = 10;
export const KEY_BYTES_MAX = 2 ** KEY_BYTES_BITS - 1;
export const EPOCH_SHIFT_CACHE = EPOCH_BITS;

/** Words of a scratch: rows from 0 on, then the keys' bytes, then values. */
export const SCRATCH_KEYS_AT = READ_ROWS * ROW_WORDS;
export const KEY_WORDS_MAX = (KEY_BYTES_MAX + 1) / 4;
export const SCRATCH_VALUES_AT = SCRATCH_KEYS_AT + READ_ROWS * KEY_WORDS_MAX;

export const BUFFER_BYTES = 2 ** 22;

/** 16 ms a tick, from the table's start: two years. Rounded down, so that L1 never outlives the record. */
export const TICK_MS = 16;
export const NEVER = 0xffff_ffff;

assert(1 + SLOTS / 4 + SLOTS === BUCKET_WORDS && BUCKET_WORDS === LINE_WORDS, 'a bucket is one cache line');
assert(REFS_AT === TAGS_AT + SLOTS / 4, 'references follow tags');
assert(REF_BITS + 6 === 32 && CACHE_BITS + EPOCH_BITS === 32, 'packed words are full');
assert(2 ** CACHE_BITS === CACHES_MAX, 'every cache fits its bits');
assert(VALUE_WORDS_BITS + KEY_BYTES_BITS <= 32, 'lengths fit a word');
assert(
  HEADER_WORDS % LINE_WORDS === 0 && HEADER.startMs % 2 === 0 && CACHE.budget % 2 === 0,
  'lines and doubles align',
);
assert(COUNTER.crowded * 2 + 2 <= COUNTER_EPOCH_WORD, 'counters fit their line');

/** Everything that fixes the layout. */
export interface TableShape {
  readonly shards: number;
  readonly lanes: number;
  readonly caches: number;
  /** Per shard. */
  readonly buckets: number;
  /** Per shard, with the one in reserve. */
  readonly segments: number;
  readonly segmentBytes: number;
  /** Threads that read, each with a scratch of its own. */
  readonly readers: number;
  readonly buffers: number;
}

export interface TableOptions {
  /** Of all but scratch and buffers. */
  readonly bytes: number;
  /** A power of two; unless told otherwise 16, or fewer so that a shard has 32 MiB. */
  readonly shards?: number;
  readonly lanes?: number;
  readonly caches?: number;
  /** Expected mean of key and value, which sizes the index; 192 unless told otherwise. */
  readonly recordBytes?: number;
  /** A power of two; bounds the largest record. */
  readonly segmentBytes?: number;
  /** One for each lane and one for the front, unless told otherwise. */
  readonly readers?: number;
  /** None unless told otherwise. A page of them that nobody writes to takes no memory. */
  readonly buffers?: number;
}

/** The shape of a table that takes at most `bytes`. Throws an assertion that says which limit is passed. */
export function shapeOf(options: TableOptions): TableShape {
  const { bytes, lanes = 1, caches = CACHES_MAX, recordBytes = 192 } = options;
  const { readers = lanes + 1, buffers = 0 } = options;
  const shards = options.shards ?? shardsFor(bytes, lanes);
  assert(bytes <= TABLE_BYTES_MAX, `a table has at most ${TABLE_BYTES_MAX} bytes, ${bytes} are asked for`);
  assert(recordBytes >= 8, `recordBytes is ${recordBytes}, at least 8 make sense`);
  const scratchBytes = readers * scratchWords(options.segmentBytes ?? SEGMENT_BYTES_MAX) * 4;
  const bytesMax = TABLE_BYTES_MAX - scratchBytes - buffers * BUFFER_BYTES;
  const pageBytes = Math.floor(Math.min(bytes, bytesMax) / PAGE_BYTES) * PAGE_BYTES;
  const tableWords = pageBytes / 4 - HEADER_WORDS - caches * LINE_WORDS;
  const shardWords = Math.min(SHARD_WORDS_MAX, floorLine(tableWords / shards));
  const segmentBytes = options.segmentBytes ?? segmentBytesFor(shardWords * 4);
  // The lines that each part rounds up to are set aside here.
  const free = (shardWords - (1 + caches) * LINE_WORDS - 4 * LINE_WORDS) * 4;
  const slotBytes = (BUCKET_WORDS * 4) / SLOTS + 1;
  const records = free / (recordBytes + 1.5 + RECORD_HEADER_WORDS * 4 + slotBytes / SLOT_LOAD);
  const buckets = Math.max(PROBE_BUCKETS, Math.ceil(records / SLOT_LOAD / SLOTS));
  const segments = Math.floor(
    (free - buckets * SLOTS * slotBytes) / (segmentBytes + SEGMENT_ENTRY_WORDS * 4),
  );
  assert(
    segments >= SEGMENTS_MIN,
    `a table of ${bytes} bytes is too small for ${shards} shards with segments of ${segmentBytes} bytes`,
  );
  return { shards, lanes, caches, buckets, segments, segmentBytes, readers, buffers };
}

/** Every shard has a reserve and segments half full: small shards would waste much of a small table. */
function shardsFor(bytes: number, lanes: number): number {
  let shards = 16;
  while (shards < lanes) shards *= 2;
  while (shards / 2 >= lanes && bytes / shards < 2 ** 25) shards /= 2;
  return shards;
}

/** A 512th of the shard, so that the reserve and half-filled segments cost little. */
function segmentBytesFor(shardBytes: number): number {
  const wanted = 2 ** Math.round(Math.log2(shardBytes / 512));
  return Math.min(SEGMENT_BYTES_MAX, Math.max(2 ** 16, wanted));
}

/** Places in words: absolute for the table, from the shard's start for its parts. */
export interface Places {
  readonly caches: number;
  readonly shards: number;
  readonly shardWords: number;
  readonly counters: number;
  readonly buckets: number;
  readonly marks: number;
  readonly segmentList: number;
  readonly log: number;
  /** The first scratch, behind all shards. */
  readonly scratch: number;
  readonly scratchWords: number;
  readonly buffers: number;
  readonly tableWords: number;
}

export function placesOf(shape: TableShape): Places {
  const { shards, lanes, caches, buckets, segments, segmentBytes, readers, buffers } = shape;
  assert(
    shards >= 1 && (shards & (shards - 1)) === 0 && shards <= 256,
    `shards is ${shards}, not a power of two to 256`,
  );
  assert(
    lanes >= 1 && lanes <= Math.min(LANES_MAX, shards),
    `lanes is ${lanes}, not 1 to ${LANES_MAX} and the shards`,
  );
  assert(caches >= 1 && caches <= CACHES_MAX, `caches is ${caches}, not 1 to ${CACHES_MAX}`);
  assert(
    segments >= 2 && segmentBytes % (LINE_WORDS * 4) === 0,
    'segments are whole lines, and two at least',
  );
  assert(segmentBytes / 4 <= VALUE_WORDS_MASK, `a segment of ${segmentBytes} bytes is too large`);
  assert(buckets >= PROBE_BUCKETS && buckets < 2 ** 21, `${buckets} buckets are not 4 to 2,097,151`);
  const header = HEADER_WORDS + caches * LINE_WORDS;
  const countersAt = LINE_WORDS;
  const bucketsAt = countersAt + caches * LINE_WORDS;
  const marksAt = bucketsAt + buckets * BUCKET_WORDS;
  const segmentListAt = marksAt + ceilLine((buckets * SLOTS) / 4);
  const logAt = segmentListAt + ceilLine(segments * SEGMENT_ENTRY_WORDS);
  const shardWords = logAt + (segments * segmentBytes) / 4;
  assert(shardWords <= SHARD_WORDS_MAX, 'a shard has at most 256 MiB: ask for more shards');
  const scratchAt = header + shards * shardWords;
  const buffersAt = scratchAt + readers * scratchWords(segmentBytes);
  return {
    caches: HEADER_WORDS,
    shards: header,
    shardWords,
    counters: countersAt,
    buckets: bucketsAt,
    marks: marksAt,
    segmentList: segmentListAt,
    log: logAt,
    scratch: scratchAt,
    scratchWords: scratchWords(segmentBytes),
    buffers: buffersAt,
    tableWords: buffersAt + buffers * (BUFFER_BYTES / 4),
  };
}

/** Rows and keys of one read, and room for the largest record. */
function scratchWords(segmentBytes: number): number {
  return SCRATCH_VALUES_AT + segmentBytes / 4;
}

/** Passed to other threads by structured clone: they see the same memory. */
export interface TableHandle {
  readonly memory: SharedMemory;
}

export interface TableStart {
  readonly nowMs: number;
  /** Four random words; a test may fix them. */
  readonly hashKey: Int32Array;
}

/** A new, empty table. */
export function createTable(shape: TableShape, start: TableStart): TableHandle {
  const places = placesOf(shape);
  const pages = Math.ceil((places.tableWords * 4) / PAGE_BYTES);
  assert(pages * PAGE_BYTES <= TABLE_BYTES_MAX, `a table has at most ${TABLE_BYTES_MAX} bytes`);
  const memory = sharedMemory(pages);
  const words = new Int32Array(memory.buffer);
  words[HEADER.layout] = LAYOUT_VERSION;
  words[HEADER.shards] = shape.shards;
  words[HEADER.lanes] = shape.lanes;
  words[HEADER.caches] = shape.caches;
  words[HEADER.buckets] = shape.buckets;
  words[HEADER.segments] = shape.segments;
  words[HEADER.segmentWords] = shape.segmentBytes / 4;
  words[HEADER.readers] = shape.readers;
  words[HEADER.buffers] = shape.buffers;
  words.set(start.hashKey.subarray(0, 4), HEADER.hashKey);
  new Float64Array(memory.buffer)[HEADER.startMs / 2] = start.nowMs;
  for (let cache = 0; cache < shape.caches; cache++)
    words[places.caches + cache * LINE_WORDS + CACHE.epoch] = 1;
  Atomics.store(words, HEADER.magic, MAGIC);
  return { memory };
}

/** A thread's own view of the table. */
export class TableView {
  readonly shape: TableShape;
  readonly places: Places;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly doubles: Float64Array;
  readonly startMs: number;
  readonly hashKey: Int32Array;

  constructor(handle: TableHandle) {
    const { buffer } = handle.memory;
    this.words = new Int32Array(buffer);
    this.bytes = new Uint8Array(buffer);
    this.doubles = new Float64Array(buffer);
    assert(Atomics.load(this.words, HEADER.magic) === MAGIC, 'this is not a table');
    assert(this.header(HEADER.layout) === LAYOUT_VERSION, 'the table has another layout');
    this.shape = {
      shards: this.header(HEADER.shards),
      lanes: this.header(HEADER.lanes),
      caches: this.header(HEADER.caches),
      buckets: this.header(HEADER.buckets),
      segments: this.header(HEADER.segments),
      segmentBytes: this.header(HEADER.segmentWords) * 4,
      readers: this.header(HEADER.readers),
      buffers: this.header(HEADER.buffers),
    };
    this.places = placesOf(this.shape);
    this.startMs = this.doubles[HEADER.startMs / 2] ?? 0;
    this.hashKey = this.words.slice(HEADER.hashKey, HEADER.hashKey + 4);
  }

  header(word: number): number {
    return this.words[word] ?? 0;
  }

  /** Word of a cache's line. */
  cacheAt(cache: number): number {
    assert(cache >= 0 && cache < this.shape.caches, 'there is no such cache slot');
    return this.places.caches + cache * LINE_WORDS;
  }

  /** Word of a reader's scratch. */
  scratchAt(reader: number): number {
    assert(reader >= 0 && reader < this.shape.readers, 'there is no such reader');
    return this.places.scratch + reader * this.places.scratchWords;
  }

  /** Word of a buffer. */
  bufferAt(buffer: number): number {
    assert(buffer >= 0 && buffer < this.shape.buffers, 'there is no such buffer');
    return this.places.buffers + (buffer * BUFFER_BYTES) / 4;
  }

  shardAt(shard: number): number {
    assert(shard >= 0 && shard < this.shape.shards, 'there is no such shard');
    return this.places.shards + shard * this.places.shardWords;
  }
}

function floorLine(words: number): number {
  return Math.floor(words / LINE_WORDS) * LINE_WORDS;
}

function ceilLine(words: number): number {
  return Math.ceil(words / LINE_WORDS) * LINE_WORDS;
}
