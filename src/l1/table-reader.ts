/**
 * Reading the shared table, from any thread, without waiting: the keys go into this reader's scratch behind the table,
 * `wasm/reader.ts` finds and copies their values, and they are looked at there.
 */
import { readFileSync } from 'node:fs';
import { Key } from './hash.js';
import {
  CACHE,
  EPOCH_MASK,
  EPOCH_SHIFT_CACHE,
  LINE_WORDS,
  SCRATCH_KEYS_AT,
  SCRATCH_VALUES_AT,
  type TableHandle,
  TableView,
  TICK_MS,
} from './layout.js';
import {
  READ_ROWS,
  ROW_HASH_HIGH,
  ROW_HASH_LOW,
  ROW_KEY_AT,
  ROW_KEY_BYTES,
  ROW_LENGTH,
  ROW_VALUE_AT,
  ROW_WORDS,
} from './wasm/words.js';
import { linked } from './wasm-module.js';

/** What `wasm/reader.ts` exports. */
interface ReaderCode {
  open(
    shardsAt: number,
    shardWords: number,
    shardMask: number,
    bucketsAt: number,
    buckets: number,
    marksAt: number,
    logsEnd: number,
    rowsAt: number,
    valuesAt: number,
    valuesEnd: number,
    loadsInOrder: boolean,
  ): void;
  read(count: number, identity: number, tick: number, mark: boolean): number;
  readonly contended: { readonly value: number };
}

const code = readFileSync(new URL('./wasm/reader.wasm', import.meta.url));

export class TableReader {
  /** The value of the last hit, from 0 on, as `get` left it; private to this reader, valid until its next read. */
  readonly words: Int32Array;
  readonly bytes: Uint8Array;

  readonly #key: Key;
  readonly #code: ReaderCode;
  readonly #table: Int32Array;
  readonly #startMs: number;
  readonly #cachesAt: number;
  readonly #shardMask: number;
  readonly #rowsAt: number;
  readonly #keysAt: number;
  readonly #valuesAt: number;

  /** @param reader which of the table's scratches this one has to itself, from 0. */
  constructor(handle: TableHandle, reader: number) {
    const view = new TableView(handle);
    const { places, shape } = view;
    this.#key = new Key(view.hashKey);
    this.#table = view.words;
    this.#startMs = view.startMs;
    this.#cachesAt = places.caches;
    this.#shardMask = shape.shards - 1;
    this.#rowsAt = view.scratchAt(reader);
    this.#keysAt = this.#rowsAt + SCRATCH_KEYS_AT;
    this.#valuesAt = this.#rowsAt + SCRATCH_VALUES_AT;
    const valuesEnd = this.#rowsAt + places.scratchWords;
    this.words = view.words.subarray(this.#valuesAt, valuesEnd);
    this.bytes = view.bytes.subarray(this.#valuesAt * 4, valuesEnd * 4);
    this.#code = linked<ReaderCode>(code, handle.memory);
    this.#code.open(
      places.shards,
      places.shardWords,
      this.#shardMask,
      places.buckets,
      shape.buckets,
      places.marks,
      places.scratch,
      this.#rowsAt,
      this.#valuesAt,
      valuesEnd,
      process.arch === 'x64',
    );
  }

  /** Reads given up because a writer was always there first. */
  get contended(): number {
    return this.#code.contended.value;
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

  /** 32 bits of the keyed hash of the key. */
  get hash(): number {
    return this.#key.hashLow;
  }

  /** Copies the value of the key out to `bytes`: its length, or -1 when the table has none. Marks it as used. */
  get(nowMs: number): number {
    this.#ask(0, this.#keysAt);
    this.#code.read(1, this.#identity(this.#key.slot), this.#tick(nowMs), true);
    return this.lengthOf(0);
  }

  /** As `get`, without the mark. */
  peek(nowMs: number): number {
    this.#ask(0, this.#keysAt);
    this.#code.read(1, this.#identity(this.#key.slot), this.#tick(nowMs), false);
    return this.lengthOf(0);
  }

  /**
   * Copies the values of the ids from place `from` on out to `bytes`, as many as it can at once: how many, at least
   * one. Rows 0 and on then tell of them, until the next read. Marks them as used.
   */
  getMany(slot: number, ids: readonly string[], from: number, nowMs: number): number {
    const count = Math.min(READ_ROWS, ids.length - from);
    let keyAt = this.#keysAt;
    for (let row = 0; row < count; row++) {
      this.#key.fromString(slot, ids[from + row]!);
      keyAt = this.#ask(row, keyAt);
    }
    return this.#code.read(count, this.#identity(slot), this.#tick(nowMs), true);
  }

  /** Of the value of a row, or -1 when the table has none. */
  lengthOf(row: number): number {
    return this.#table[this.#rowsAt + row * ROW_WORDS + ROW_LENGTH]!;
  }

  /** Where in `bytes` the value of a row begins. */
  offsetOf(row: number): number {
    return (this.#table[this.#rowsAt + row * ROW_WORDS + ROW_VALUE_AT]! - this.#valuesAt) * 4;
  }

  shardOf(row: number): number {
    return this.#table[this.#rowsAt + row * ROW_WORDS + ROW_HASH_HIGH]! & this.#shardMask;
  }

  /** Writes the key into a row, and its bytes to `keyAt`: the word behind them. */
  #ask(row: number, keyAt: number): number {
    const table = this.#table;
    const { words, byteLength, wordLength, hashLow, hashHigh } = this.#key;
    const at = this.#rowsAt + row * ROW_WORDS;
    table[at + ROW_HASH_LOW] = hashLow;
    table[at + ROW_HASH_HIGH] = hashHigh;
    table[at + ROW_KEY_BYTES] = byteLength;
    table[at + ROW_KEY_AT] = keyAt;
    for (let word = 0; word < wordLength; word++) table[keyAt + word] = words[word]!;
    return keyAt + wordLength;
  }

  /** A plain load of the epoch: an aligned word is never torn, and the bucket's version orders what matters. */
  #identity(slot: number): number {
    const epoch = this.#table[this.#cachesAt + slot * LINE_WORDS + CACHE.epoch]!;
    return (slot << EPOCH_SHIFT_CACHE) | (epoch & EPOCH_MASK);
  }

  #tick(nowMs: number): number {
    return Math.max(0, (nowMs - this.#startMs) / TICK_MS) | 0;
  }
}
