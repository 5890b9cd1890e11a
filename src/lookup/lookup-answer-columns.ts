/**
 * Gathers a lookup's answer: rows come in any order, as each tier delivers them, and go into columns at once, since a
 * record's bytes are valid only during the call. `lookup-answer-layout.ts` draws the buffer, which is a FlatBuffer all
 * the time; `lookup-answer-json.ts` prints it.
 *
 * One lookup at a time has an instance; its buffer is used again by the next. Bytes that `finishFlatBuffer` returns
 * are valid until then. Rows of a dense float32 lookup cost no allocation; those that come from the shared table are
 * gathered by WebAssembly, where the answer fits a buffer beside the table.
 */
import { assert, unreachable } from '../base/assert.js';
import type { TableReader } from '../l1/table-reader.js';
import {
  aligned,
  BLOB_DATA_OFFSET,
  BLOB_TABLE_BYTES,
  blobSpace,
  stringSpace,
  writeText,
} from '../views/flat-parts.js';
import { ANSWER_BYTES_MAX } from '../views/json-writer.js';
import { RecordReader } from '../views/record-reader.js';
import type { ColumnKind } from '../views/schema.js';
import type { Selection } from '../views/selection.js';
import { AnswerMemory } from './answer-memory.js';
import type { ColumnGatherer } from './column-gatherer.js';
import {
  answerHeadOf,
  BLOB_VTABLE_OFFSET,
  COLUMN_NULL_COUNT,
  COLUMN_NULLS,
  COLUMN_VECTOR,
  ELEMENT_BYTES,
  IDS_SLOT,
  STATUSES_SLOT,
  VERSIONS_SLOT,
} from './lookup-answer-layout.js';
import { scatter } from './scatter.js';

/** As in `headrace.fbs`. */
export const RowStatus = { present: 0, notFound: 1, unavailable: 2 } as const;
const PENDING = 0xff;

/** Up to here a loop copies faster than a call into the engine. */
const SHORT_COPY = 64;

export class LookupAnswer extends AnswerMemory {
  selection!: Selection;
  ids: readonly string[] = [];
  /** Offsets: of the first status and version, and of each column's first element and null bitmap. */
  statusesAt = 0;
  versionsAt = 0;
  columnsAt: Int32Array = new Int32Array(0);
  nullsAt: Int32Array = new Int32Array(0);
  /** Nulls of each column so far. */
  nullCounts: Int32Array = new Int32Array(0);

  readonly #record = new RecordReader();
  /** Word of the first row of each float32 column. */
  #float32sAt: Int32Array = new Int32Array(0);
  #idsAt = 0;
  /** What null places of strings and bytes point to. */
  #emptyAt = 0;
  #end = 0;
  #pending = 0;

  constructor(limitBytes = ANSWER_BYTES_MAX, gatherer?: ColumnGatherer) {
    super(limitBytes, gatherer);
  }

  /** Rows that are not reported yet. */
  get pending(): number {
    return this.#pending;
  }

  /**
   * Starts an answer: a row for every id, in that order. Each row is then to be reported once, in any order.
   * @throws HeadraceError `too-many-ids` when the columns alone would pass the limit.
   */
  begin(selection: Selection, ids: readonly string[]): void {
    const head = answerHeadOf(selection);
    const features = selection.features.length;
    this.selection = selection;
    this.ids = ids;
    this.#pending = ids.length;
    if (this.columnsAt.length < features) {
      this.columnsAt = new Int32Array(features);
      this.nullsAt = new Int32Array(features);
      this.nullCounts = new Int32Array(features);
      this.#float32sAt = new Int32Array(features);
    }
    this.nullCounts.fill(0, 0, features);
    const rowsAt = head.bytes.length;
    this.#place(rowsAt);
    selection.byKind.float32.forEach((column, n) => {
      this.#float32sAt[n] = (this.columnsAt[column] ?? 0) >> 2;
    });
    this.reserve(this.#end);
    this.bytes.set(head.bytes);
    this.#clear(rowsAt);
    this.bytes.fill(PENDING, this.statusesAt, this.statusesAt + ids.length);
    this.words.fill(-1, this.versionsAt >> 2, (this.versionsAt >> 2) + 2 * ids.length);
    this.#link(head.tables);
    this.gatherer?.begin(selection, this);
  }

  /**
   * The same as `present` for those of the `count` rows of the reader's that have a plain record: they become the rows
   * `first` and on. A bit for each row that is reported; the others are for the caller.
   */
  gather(reader: TableReader, count: number, first: number): number {
    const { kinds, float32Indexes } = this.selection;
    const { gatherer } = this;
    if (gatherer === undefined || float32Indexes.length === 0) return 0;
    const done = gatherer.gather(count, first);
    for (let left = done; left !== 0; left &= left - 1) {
      this.#pending--;
      if (kinds.length === 1) continue;
      const row = 31 - Math.clz32(left & -left);
      this.#record.reset(reader.bytes, reader.offsetOf(row), reader.lengthOf(row));
      for (const kind of kinds) if (kind !== 'float32') this.#gather(kind, first + row, reader.bytes);
    }
    return done;
  }

  /**
   * The row has this record: `length` bytes at `offset`, which verified and are only read during the call. A tombstone
   * is an absent row.
   * @throws HeadraceError `too-many-ids` when its strings and bytes pass the limit.
   */
  present(row: number, bytes: Uint8Array, offset = 0, length = bytes.length - offset): void {
    const record = this.#record;
    record.reset(bytes, offset, length);
    if (record.tombstone) {
      this.absent(row);
      return;
    }
    this.#report(row, RowStatus.present);
    const version = record.version;
    const place = (this.versionsAt >> 2) + 2 * row;
    this.words[place] = version;
    this.words[place + 1] = Math.floor(version / 4294967296);
    for (const kind of this.selection.kinds) {
      if (kind === 'float32') this.#gatherFloat32s(row);
      else this.#gather(kind, row, bytes);
    }
  }

  /** There is no record of that id. */
  absent(row: number): void {
    this.#report(row, RowStatus.notFound);
    this.#setAllNull(row);
  }

  /** Whether there is one could not be found out. */
  unavailable(row: number): void {
    this.#report(row, RowStatus.unavailable);
    this.#setAllNull(row);
  }

  /** Rows that nobody reported become unavailable. */
  settle(): void {
    if (this.#pending === 0) return;
    for (let row = 0; row < this.ids.length; row++) {
      if (this.bytes[this.statusesAt + row] === PENDING) this.unavailable(row);
    }
  }

  /**
   * The answer as a LookupAnswer, in place: valid until the next `begin`.
   * @throws HeadraceError `too-many-ids` when the ids pass the limit.
   */
  finishFlatBuffer(): Uint8Array {
    this.settle();
    const { tables } = answerHeadOf(this.selection);
    tables.forEach((table, column) => {
      this.words[(table + COLUMN_NULL_COUNT) >> 2] = this.nullCounts[column] ?? 0;
    });
    for (let row = 0; row < this.ids.length; row++)
      this.#appendText(this.#idsAt + 4 * row, this.ids[row] ?? '');
    return this.bytes.subarray(0, this.#end);
  }

  isNull(column: number, row: number): boolean {
    return ((this.bytes[(this.nullsAt[column] ?? 0) + (row >> 3)] ?? 0) & (1 << (row & 7))) !== 0;
  }

  /** Gives every vector its place behind the head; the end may lie past the limit, and offsets are then no good. */
  #place(headEnd: number): void {
    const { features } = this.selection;
    const rows = this.ids.length;
    let at = headEnd;
    const vector = (elementBytes: number, elements: number): number => {
      const start = aligned(at + 4, Math.max(4, elementBytes));
      at = aligned(start + elementBytes * elements, 4);
      return start;
    };
    this.versionsAt = vector(8, rows);
    this.#idsAt = vector(4, rows);
    this.statusesAt = vector(1, rows);
    for (let column = 0; column < features.length; column++) {
      const feature = features[column];
      if (feature === undefined) break;
      this.columnsAt[column] = vector(ELEMENT_BYTES[feature.kind], rows * feature.length);
      this.nullsAt[column] = vector(1, Math.ceil(rows / 8));
    }
    this.#emptyAt = at;
    this.#end = at + EMPTY_BYTES;
  }

  /**
   * Zeros all that no row is sure to write: what lies between the vectors, and the null bitmaps. An element is written
   * by its row, be it null, so that columns, which are nearly all of an answer, are not written twice.
   */
  #clear(rowsAt: number): void {
    const { features } = this.selection;
    const first = this.columnsAt[0] ?? 0;
    this.bytes.fill(0, rowsAt, features.length === 0 ? this.#end : first);
    for (let column = 0; column < features.length; column++) {
      const { kind, length } = features[column] ?? { kind: 'bool', length: 1 };
      const columnEnd = (this.columnsAt[column] ?? 0) + ELEMENT_BYTES[kind] * length * this.ids.length;
      const next = column + 1 < features.length ? (this.columnsAt[column + 1] ?? 0) : this.#end;
      this.bytes.fill(0, columnEnd, next);
    }
  }

  /** Sets the vectors' lengths and the offsets to them. */
  #link(tables: readonly number[]): void {
    const rows = this.ids.length;
    const { features } = this.selection;
    const link = (slot: number, start: number, elements: number): void => {
      this.words[slot >> 2] = start - 4 - slot;
      this.words[(start - 4) >> 2] = elements;
    };
    link(VERSIONS_SLOT, this.versionsAt, rows);
    link(IDS_SLOT, this.#idsAt, rows);
    link(STATUSES_SLOT, this.statusesAt, rows);
    this.words[(this.#emptyAt + EMPTY_BLOB) >> 2] = this.#emptyAt + EMPTY_BLOB - BLOB_VTABLE_OFFSET;
    this.words[(this.#emptyAt + EMPTY_BLOB + 4) >> 2] = BLOB_DATA_OFFSET;
    for (let column = 0; column < features.length; column++) {
      const { kind, length } = features[column] ?? { kind: 'bool', length: 1 };
      const table = tables[column] ?? 0;
      const start = this.columnsAt[column] ?? 0;
      link(table + COLUMN_VECTOR, start, rows * length);
      link(table + COLUMN_NULLS, this.nullsAt[column] ?? 0, Math.ceil(rows / 8));
      if (kind !== 'string' && kind !== 'bytes') continue;
      const empty = kind === 'string' ? this.#emptyAt : this.#emptyAt + EMPTY_BLOB;
      for (let slot = start; slot < start + 4 * rows; slot += 4) this.words[slot >> 2] = empty - slot;
    }
  }

  #report(row: number, status: number): void {
    const pending = row < this.ids.length && this.bytes[this.statusesAt + row] === PENDING;
    assert(pending, 'a row of the lookup is reported once');
    this.bytes[this.statusesAt + row] = status;
    this.#pending--;
  }

  #setNull(column: number, row: number): void {
    const at = (this.nullsAt[column] ?? 0) + (row >> 3);
    this.bytes[at] = (this.bytes[at] ?? 0) | (1 << (row & 7));
    this.nullCounts[column] = (this.nullCounts[column] ?? 0) + 1;
    const { kind, length } = this.selection.features[column] ?? { kind: 'string', length: 1 };
    // Those of text point to the empty one already.
    if (kind === 'string' || kind === 'bytes') return;
    const elementBytes = ELEMENT_BYTES[kind] * length;
    const element = (this.columnsAt[column] ?? 0) + elementBytes * row;
    if (kind === 'float32') this.words[element >> 2] = 0;
    else this.bytes.fill(0, element, element + elementBytes);
  }

  #setAllNull(row: number): void {
    for (let column = 0; column < this.selection.features.length; column++) this.#setNull(column, row);
  }

  /** Copies the float32 features from the record to their columns: the hot loop, so all it needs is at hand. */
  #gatherFloat32s(row: number): void {
    const record = this.#record;
    const elements = record.column('float32');
    const start = record.at;
    const { data, hasNulls } = record;
    const { words, columnsAt } = this;
    const { byKind, indexes, positions, float32Indexes, float32IndexMax } = this.selection;
    if (!hasNulls && float32IndexMax < elements && (start & 3) === 0) {
      scatter(record.words, start >> 2, float32Indexes, words, this.#float32sAt, row);
      return;
    }
    const columns = byKind.float32;
    for (let n = 0; n < columns.length; n++) {
      const column = columns[n] ?? 0;
      const index = indexes[column] ?? 0;
      if (index >= elements || (hasNulls && record.isNull(positions[column] ?? 0)))
        this.#setNull(column, row);
      else words[((columnsAt[column] ?? 0) >> 2) + row] = data.getInt32(start + 4 * index, true);
    }
  }

  /** Copies the features of one other kind. */
  #gather(kind: Exclude<ColumnKind, 'float32'>, row: number, bytes: Uint8Array): void {
    const record = this.#record;
    const { features, byKind } = this.selection;
    const columns = byKind[kind];
    const elements = record.column(kind);
    const start = record.at;
    const { data, hasNulls } = record;
    for (let n = 0; n < columns.length; n++) {
      const column = columns[n] ?? 0;
      const feature = features[column];
      if (feature === undefined) break;
      const { index, length, position } = feature;
      if (index + length > elements || (hasNulls && record.isNull(position))) {
        this.#setNull(column, row);
        continue;
      }
      const into = this.columnsAt[column] ?? 0;
      switch (kind) {
        case 'float64':
        case 'int64':
          this.words[(into >> 2) + 2 * row] = data.getInt32(start + 8 * index, true);
          this.words[(into >> 2) + 2 * row + 1] = data.getInt32(start + 8 * index + 4, true);
          break;
        case 'bool':
          this.bytes[into + row] = data.getUint8(start + index) === 0 ? 0 : 1;
          break;
        case 'embedding':
          this.bytes.set(new Uint8Array(data.buffer, start + 4 * index, 4 * length), into + 4 * length * row);
          break;
        case 'string':
          if (record.locateString(index)) this.#appendString(into + 4 * row, bytes);
          else this.#setNull(column, row);
          break;
        case 'bytes':
          if (record.locateBytes(index)) this.#appendBlob(into + 4 * row, bytes);
          else this.#setNull(column, row);
          break;
        default:
          unreachable(kind);
      }
    }
  }

  /** The string that the record's reader has located. */
  #appendString(slot: number, bytes: Uint8Array): void {
    const { length } = this.#record;
    const at = this.#append(stringSpace(length));
    this.words[slot >> 2] = at - slot;
    this.words[at >> 2] = length;
    this.#copyLocated(at + 4, bytes);
  }

  /** The same for bytes: a table of its own, with the vector behind it. */
  #appendBlob(slot: number, bytes: Uint8Array): void {
    const { length } = this.#record;
    const at = this.#append(blobSpace(length));
    this.words[slot >> 2] = at - slot;
    this.words[at >> 2] = at - BLOB_VTABLE_OFFSET;
    this.words[(at + 4) >> 2] = BLOB_DATA_OFFSET;
    this.words[(at + BLOB_TABLE_BYTES) >> 2] = length;
    this.#copyLocated(at + BLOB_TABLE_BYTES + 4, bytes);
  }

  #copyLocated(into: number, bytes: Uint8Array): void {
    const { at, length, data } = this.#record;
    if (length > SHORT_COPY) {
      this.bytes.set(new Uint8Array(data.buffer, at, length), into);
      return;
    }
    const from = at - bytes.byteOffset;
    for (let place = 0; place < length; place++) this.bytes[into + place] = bytes[from + place] ?? 0;
  }

  #appendText(slot: number, text: string): void {
    const at = this.#append(stringSpace(3 * text.length));
    const length = writeText(this.bytes, at + 4, text);
    this.words[slot >> 2] = at - slot;
    this.words[at >> 2] = length;
    this.#end = at + stringSpace(length);
    for (let place = at + 4 + length; place < this.#end; place++) this.bytes[place] = 0;
  }

  /** Room for `bytes` more, a multiple of 4, whose last word is zero: the end and padding of a string. */
  #append(bytes: number): number {
    const at = this.#end;
    const end = at + bytes;
    if (end > this.bytes.length) this.grow(end, at);
    this.words[(end >> 2) - 1] = 0;
    this.#end = end;
    return at;
  }
}

/** The empty string (its length, a zero byte, padding), then the empty blob (its table, its vector's length). */
const EMPTY_BLOB = 8;
const EMPTY_BYTES = EMPTY_BLOB + BLOB_TABLE_BYTES + 4;
