/**
 * Where everything in a lookup's answer lies: one FlatBuffer (LookupAnswer in `headrace.fbs`), laid out before the
 * first record is read, so that columns are gathered straight into place and finishing copies nothing.
 *
 *   0   root offset, "HRLA"                        the head: the same for every answer to a selection but for the
 *   8   vtables: answer, blob, column by kind      offsets of the vectors
 *   220 the answer's table, offsets of the columns, tables of the columns, names of features and view
 *   …   vectors: versions, offsets of ids, statuses; then for every column its elements and its null bitmap
 *   …   an empty string and an empty blob, which all null places of strings and bytes point to
 *   …   strings and bytes as rows come in; ids at the end
 */
import { BLOB_VTABLE, stringSpace, writeVtable } from '../views/flat-parts.js';
import { type ColumnKind, SCALAR_TYPES } from '../views/schema.js';
import type { Selection } from '../views/selection.js';

const IDENTIFIER = 'HRLA';
const ANSWER_VTABLE_OFFSET = 8;
export const BLOB_VTABLE_OFFSET = 28;
const COLUMN_VTABLES_OFFSET = 36;
const ANSWER_TABLE_OFFSET = 220;
const COLUMNS_OFFSET = 252;

/** Words of the answer's table: the offsets of its vectors. */
export const IDS_SLOT = ANSWER_TABLE_OFFSET + 16;
export const STATUSES_SLOT = ANSWER_TABLE_OFFSET + 20;
export const VERSIONS_SLOT = ANSWER_TABLE_OFFSET + 24;
const ANSWER_FIELDS = { view: 4, schema: 8, features: 12, ids: 16, statuses: 20, versions: 24, columns: 28 };
const ANSWER_TABLE_BYTES = 32;

/** Places in a column's table, the same for every kind. */
export const COLUMN_NULL_COUNT = 4;
export const COLUMN_NULLS = 8;
export const COLUMN_VECTOR = 12;
const COLUMN_LENGTH = 16;
const COLUMN_KIND = 20;
const COLUMN_TABLE_BYTES = 24;

/** In a column's vector; of text, the offset to it. */
export const ELEMENT_BYTES: Readonly<Record<ColumnKind, number>> = {
  float64: 8,
  int64: 8,
  float32: 4,
  embedding: 4,
  string: 4,
  bytes: 4,
  bool: 1,
};

/** Fields of Column in the order of `headrace.fbs`, and the number of each kind. */
const COLUMN_FIELDS = { kind: 0, nullCount: 1, nulls: 2, length: 10 } as const;
const COLUMN_FIELD_COUNT = 11;
const COLUMN_KINDS: readonly ColumnKind[] = [...SCALAR_TYPES, 'embedding'];
const VECTOR_FIELDS: Readonly<Record<ColumnKind, number>> = {
  float32: 3,
  float64: 4,
  int64: 5,
  bool: 6,
  string: 7,
  bytes: 8,
  embedding: 9,
};
const COLUMN_VTABLE_BYTES = 4 + 2 * COLUMN_FIELD_COUNT;

/** The head of every answer to a selection. */
export interface AnswerHead {
  readonly bytes: Uint8Array;
  /** Where the table of each selected feature's column is. */
  readonly tables: readonly number[];
}

const heads = new WeakMap<Selection, AnswerHead>();

export function answerHeadOf(selection: Selection): AnswerHead {
  const known = heads.get(selection);
  if (known !== undefined) return known;
  const made = makeHead(selection);
  heads.set(selection, made);
  return made;
}

function makeHead({ view, features }: Selection): AnswerHead {
  const tablesAt = COLUMNS_OFFSET + 4 + 4 * features.length;
  const namesAt = tablesAt + COLUMN_TABLE_BYTES * features.length;
  const names = features.map(({ name }) => stringBytes(name));
  const viewName = stringBytes(view.name);
  const namesEnd = namesAt + 4 + 4 * names.length + Buffer.concat(names).length;
  const head = Buffer.alloc(namesEnd + viewName.length);
  writeVtables(head);
  const point = (slot: number, to: number): void => {
    head.writeUInt32LE(to - slot, slot);
  };

  point(0, ANSWER_TABLE_OFFSET);
  head.write(IDENTIFIER, 4, 'latin1');
  head.writeInt32LE(ANSWER_TABLE_OFFSET - ANSWER_VTABLE_OFFSET, ANSWER_TABLE_OFFSET);
  head.writeUInt32LE(view.schema, ANSWER_TABLE_OFFSET + ANSWER_FIELDS.schema);
  point(ANSWER_TABLE_OFFSET + ANSWER_FIELDS.view, namesEnd);
  point(ANSWER_TABLE_OFFSET + ANSWER_FIELDS.features, namesAt);
  point(ANSWER_TABLE_OFFSET + ANSWER_FIELDS.columns, COLUMNS_OFFSET);

  head.writeUInt32LE(features.length, COLUMNS_OFFSET);
  const tables = features.map(({ kind, length }, place) => {
    const table = tablesAt + COLUMN_TABLE_BYTES * place;
    const number = COLUMN_KINDS.indexOf(kind);
    point(COLUMNS_OFFSET + 4 + 4 * place, table);
    head.writeInt32LE(table - (COLUMN_VTABLES_OFFSET + COLUMN_VTABLE_BYTES * number), table);
    head.writeUInt32LE(length, table + COLUMN_LENGTH);
    head[table + COLUMN_KIND] = number;
    return table;
  });

  head.writeUInt32LE(names.length, namesAt);
  let at = namesAt + 4 + 4 * names.length;
  names.forEach((name, place) => {
    point(namesAt + 4 + 4 * place, at);
    head.set(name, at);
    at += name.length;
  });
  head.set(viewName, namesEnd);
  return { bytes: head, tables };
}

function writeVtables(head: Buffer): void {
  writeVtable(head, ANSWER_VTABLE_OFFSET, ANSWER_TABLE_BYTES, Object.values(ANSWER_FIELDS));
  head.set(BLOB_VTABLE, BLOB_VTABLE_OFFSET);
  COLUMN_KINDS.forEach((kind, number) => {
    const entries = new Array<number>(COLUMN_FIELD_COUNT).fill(0);
    entries[COLUMN_FIELDS.kind] = COLUMN_KIND;
    entries[COLUMN_FIELDS.nullCount] = COLUMN_NULL_COUNT;
    entries[COLUMN_FIELDS.nulls] = COLUMN_NULLS;
    entries[COLUMN_FIELDS.length] = COLUMN_LENGTH;
    entries[VECTOR_FIELDS[kind]] = COLUMN_VECTOR;
    writeVtable(head, COLUMN_VTABLES_OFFSET + COLUMN_VTABLE_BYTES * number, COLUMN_TABLE_BYTES, entries);
  });
}

function stringBytes(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const bytes = Buffer.alloc(stringSpace(length));
  bytes.writeUInt32LE(length, 0);
  bytes.write(text, 4);
  return bytes;
}
