/**
 * Reads records in place: one reader is set on record after record and makes no object.
 *
 * It trusts nothing but the range it is given: every offset that the bytes hold is checked against it, so that bytes
 * which pass `verifyRecord` by accident read as null or nonsense, and never throw, loop or reach outside.
 *
 * Columns are found first and read then, straight from `data`: `column('float32')` says how many elements there are
 * and sets `at` to the first. An index past the end is a feature that the record's schema did not have: null.
 */
import {
  RECORD_EXPIRES_AT_OFFSET,
  RECORD_FRESH_UNTIL_OFFSET,
  RECORD_SCHEMA_OFFSET,
  RECORD_TABLE_OFFSET,
  RECORD_VERSION_OFFSET,
  RECORD_WRITTEN_AT_OFFSET,
  RecordField,
} from './record-layout.js';
import type { ColumnKind } from './schema.js';

const COLUMNS = {
  bool: { field: RecordField.bools, elementBytes: 1 },
  int64: { field: RecordField.int64s, elementBytes: 8 },
  float32: { field: RecordField.float32s, elementBytes: 4 },
  float64: { field: RecordField.float64s, elementBytes: 8 },
  string: { field: RecordField.strings, elementBytes: 4 },
  bytes: { field: RecordField.bytes, elementBytes: 4 },
  embedding: { field: RecordField.embeddings, elementBytes: 4 },
} as const satisfies Record<ColumnKind, { field: number; elementBytes: number }>;

export class RecordReader {
  /** All of the buffer that the record lies in; offsets below count from its first byte. */
  data: DataView = new DataView(new ArrayBuffer(0));
  /** The same as 32-bit words, for loops over columns that lie on a multiple of 4. */
  words: Int32Array = new Int32Array(0);
  /** What was last found by `column`, `locateString` or `locateBytes`: its first byte, and its length. */
  at = 0;
  length = 0;

  #buffer: ArrayBufferLike = this.data.buffer;
  #bytes: Uint8Array | undefined;
  /** Made when first a string is read. */
  #text: Buffer | undefined;
  #start = 0;
  #end = 0;
  /** 0 when the record has none. */
  #table = 0;
  #vtable = 0;
  #vtableEnd = 0;
  #nullsAt = 0;
  #nullsEnd = 0;

  /** Sets the reader on the `length` bytes at `offset`, which must outlive its use and stay as they are. */
  reset(bytes: Uint8Array, offset = 0, length = bytes.length - offset): void {
    // The arrays are compared, not their buffers: asking an array for its buffer is a call into the engine.
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#openBuffer(bytes.buffer);
    }
    this.#start = bytes.byteOffset + offset;
    this.#end = this.#start + length;
    this.#vtableEnd = 0;
    this.#findTable();
    this.#nullsEnd = 0;
    const nulls = this.#vector(RecordField.nulls, 1);
    this.#nullsAt = this.at;
    this.#nullsEnd = this.at + nulls;
  }

  /** Arrays of one buffer, as those of shared memory are, need nothing new. */
  #openBuffer(buffer: ArrayBufferLike): void {
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    this.data = new DataView(buffer);
    this.words = new Int32Array(buffer, 0, buffer.byteLength >> 2);
    this.#text = undefined;
  }

  get version(): number {
    return this.#int64(RECORD_VERSION_OFFSET);
  }

  get writtenAt(): number {
    return this.#int64(RECORD_WRITTEN_AT_OFFSET);
  }

  get freshUntil(): number {
    return this.#int64(RECORD_FRESH_UNTIL_OFFSET);
  }

  get expiresAt(): number {
    return this.#int64(RECORD_EXPIRES_AT_OFFSET);
  }

  get schema(): number {
    const at = this.#start + RECORD_SCHEMA_OFFSET;
    return at + 4 <= this.#end ? this.data.getUint32(at, true) : 0;
  }

  get tombstone(): boolean {
    const at = this.#fieldAt(RecordField.tombstone, 1);
    return at !== 0 && this.data.getUint8(at) !== 0;
  }

  /** False: `isNull` is false for every feature. */
  get hasNulls(): boolean {
    return this.#nullsEnd > this.#nullsAt;
  }

  /** Whether a feature that the record's schema has is null. A feature it does not have lies past its column. */
  isNull(position: number): boolean {
    const at = this.#nullsAt + (position >> 3);
    return at < this.#nullsEnd && (this.data.getUint8(at) & (1 << (position & 7))) !== 0;
  }

  /** How many elements the record's column has; `at` is then its first (of strings and bytes: see `locate…`). */
  column(kind: ColumnKind): number {
    const { field, elementBytes } = COLUMNS[kind];
    return this.#vector(field, elementBytes);
  }

  float32(index: number): number | null {
    return index < this.column('float32') ? this.data.getFloat32(this.at + 4 * index, true) : null;
  }

  float64(index: number): number | null {
    return index < this.column('float64') ? this.data.getFloat64(this.at + 8 * index, true) : null;
  }

  int64(index: number): number | null {
    return index < this.column('int64') ? this.int64At(this.at + 8 * index) : null;
  }

  bool(index: number): boolean | null {
    return index < this.column('bool') ? this.data.getUint8(this.at + index) !== 0 : null;
  }

  string(index: number): string | null {
    return this.locateString(index) ? this.#textAt(this.at, this.length) : null;
  }

  /** Copies a string as UTF-8 to `into` from `at` on: the place behind it, or -1 when it has no room. Null: nothing. */
  copyString(index: number, into: Uint8Array, at: number): number {
    if (!this.locateString(index)) return at;
    const { at: from, length } = this;
    if (at + length > into.length) return -1;
    this.#text ??= Buffer.from(this.#buffer);
    const text = this.#text;
    for (let place = 0; place < length; place++) into[at + place] = text[from + place]!;
    return at + length;
  }

  /** The bytes where they lie: a copy must be made of what is to be kept. */
  bytes(index: number): Uint8Array | null {
    return this.locateBytes(index) ? new Uint8Array(this.#buffer, this.at, this.length) : null;
  }

  /** Copies `length` floats of the embedding that begins at float `index`; false when the record has none. */
  embedding(index: number, length: number, into: Float32Array): boolean {
    if (index + length > this.column('embedding')) return false;
    for (let place = 0; place < length; place++) {
      into[place] = this.data.getFloat32(this.at + 4 * (index + place), true);
    }
    return true;
  }

  tags(): string[] {
    const count = this.#vector(RecordField.tags, 4);
    const first = this.at;
    const tags: string[] = [];
    // Tags lie behind each other: more text than record means that garbage points at one place many times.
    let left = this.#end - this.#start;
    for (let index = 0; index < count && left > 0; index++) {
      if (!this.#follow(first + 4 * index) || !this.#span(1)) continue;
      left -= this.length;
      tags.push(this.#textAt(this.at, this.length));
    }
    return tags;
  }

  /** The text of a JSON object. */
  metadata(): string | null {
    const slot = this.#fieldAt(RecordField.metadata, 4);
    return slot !== 0 && this.#follow(slot) && this.#span(1) ? this.#textAt(this.at, this.length) : null;
  }

  /** Sets `at` and `length` to the UTF-8 of a string; false when the record does not have it. */
  locateString(index: number): boolean {
    return index < this.column('string') && this.#follow(this.at + 4 * index) && this.#span(1);
  }

  /** Sets `at` and `length` to the bytes of a feature of that type; false when the record does not have it. */
  locateBytes(index: number): boolean {
    if (index >= this.column('bytes') || !this.#follow(this.at + 4 * index)) return false;
    const table = this.at;
    const vtable = table - this.data.getInt32(table, true);
    if (vtable < this.#start || vtable + 6 > this.#end || this.data.getUint16(vtable, true) < 6) return false;
    const place = this.data.getUint16(vtable + 4, true);
    return place !== 0 && table + place + 4 <= this.#end && this.#follow(table + place) && this.#span(1);
  }

  /** The int64 at an offset into `data`, exact when it is a safe integer. */
  int64At(at: number): number {
    return this.data.getUint32(at, true) + 4294967296 * this.data.getInt32(at + 4, true);
  }

  #int64(offset: number): number {
    const at = this.#start + offset;
    return at + 8 <= this.#end ? this.int64At(at) : 0;
  }

  #textAt(at: number, length: number): string {
    this.#text ??= Buffer.from(this.#buffer);
    return this.#text.toString('utf8', at, at + length);
  }

  /** The table has its fixed place; its vtable lies anywhere within the record. */
  #findTable(): void {
    this.#table = this.#start + RECORD_TABLE_OFFSET;
    if (this.#table + 4 > this.#end) return;
    const vtable = this.#table - this.data.getInt32(this.#table, true);
    if (vtable < this.#start || vtable + 4 > this.#end) return;
    this.#vtable = vtable;
    this.#vtableEnd = Math.min(vtable + this.data.getUint16(vtable, true), this.#end);
  }

  /** Where a field of the table lies; 0: absent, or not wholly within the record. */
  #fieldAt(field: number, bytes: number): number {
    const entry = this.#vtable + 4 + 2 * field;
    if (entry + 2 > this.#vtableEnd) return 0;
    const place = this.data.getUint16(entry, true);
    const at = this.#table + place;
    return place !== 0 && at + bytes <= this.#end ? at : 0;
  }

  /** Sets `at` to the first element of a vector field and returns how many there are; 0 when it is absent. */
  #vector(field: number, elementBytes: number): number {
    const slot = this.#fieldAt(field, 4);
    return slot !== 0 && this.#follow(slot) && this.#span(elementBytes) ? this.length : 0;
  }

  /** Sets `at` to where the offset at `slot` points; there are at least four bytes. */
  #follow(slot: number): boolean {
    this.at = slot + this.data.getUint32(slot, true);
    return this.at + 4 <= this.#end;
  }

  /** From a vector's length at `at`, sets `at` to its first element and `length` to how many there are. */
  #span(elementBytes: number): boolean {
    this.length = this.data.getUint32(this.at, true);
    this.at += 4;
    return this.at + this.length * elementBytes <= this.#end;
  }
}
