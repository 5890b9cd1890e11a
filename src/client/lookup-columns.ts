/**
 * A lookup's answer in FlatBuffers as typed columns: vectors of floats are looked at where they lie, nothing is made per
 * row. Answers have no checksum; what does not fit together is `bad-answer`.
 */
import { ByteBuffer, Encoding } from 'flatbuffers';
import { Column as ColumnTable, LookupAnswer } from '../views/generated/headrace.js';
import { type ColumnKind, SCALAR_TYPES } from '../views/schema.js';
import { ClientError, localError } from './client-error.js';
import type { ColumnValues, Features, FeatureType, FeatureValue } from './feature-types.js';

export type RowStatus = 'PRESENT' | 'NOT_FOUND' | 'UNAVAILABLE';
const STATUSES: readonly RowStatus[] = ['PRESENT', 'NOT_FOUND', 'UNAVAILABLE'];
/** As `headrace.fbs` numbers them. */
const KINDS: readonly ColumnKind[] = ['bool', 'int64', 'float32', 'float64', 'string', 'bytes', 'embedding'];
const IDENTIFIER = 'HRLA';

type AnyValues = Float32Array | Float64Array | Uint8Array | readonly string[] | readonly Uint8Array[];

/** One feature of all rows. */
export class LookupColumn<T extends FeatureType = FeatureType> {
  readonly kind: ColumnKind;
  /** `length` numbers a row of an embedding, else one value a row. */
  readonly values: ColumnValues<T>;
  /** 1, or the embedding's length. */
  readonly length: number;
  readonly nullCount: number;
  readonly #nulls: Uint8Array;

  constructor(kind: ColumnKind, values: AnyValues, length: number, nullCount: number, nulls: Uint8Array) {
    this.kind = kind;
    this.values = values as ColumnValues<T>;
    this.length = length;
    this.nullCount = nullCount;
    this.#nulls = nulls;
  }

  isNull(row: number): boolean {
    return this.nullCount > 0 && ((this.#nulls[row >> 3] ?? 0) & (1 << (row & 7))) !== 0;
  }

  /** The value of a row; an embedding where it lies. */
  at(row: number): FeatureValue<T> | null {
    if (this.isNull(row)) return null;
    const values = this.values as AnyValues;
    if (this.kind === 'embedding')
      return (values as Float32Array).subarray(row * this.length, (row + 1) * this.length) as FeatureValue<T>;
    const value = values[row];
    if (value === undefined) return null;
    return (this.kind === 'bool' ? value !== 0 : value) as FeatureValue<T>;
  }
}

export interface LookupColumns<F extends Features = Features> {
  readonly ids: readonly string[];
  readonly statuses: readonly RowStatus[];
  /** Null where there is no record. */
  readonly versions: readonly (number | null)[];
  readonly columns: { readonly [K in keyof F]: LookupColumn<F[K]> };
}

/**
 * @param ids as they were asked for.
 * @throws ClientError `bad-answer` when the bytes are no answer for these ids.
 */
export function readLookupColumns(bytes: Uint8Array, ids: readonly string[]): LookupColumns {
  try {
    return columnsOf(bytes, ids);
  } catch (error) {
    if (error instanceof ClientError) throw error;
    throw localError('bad-answer', 'the columns of a lookup cannot be read', error);
  }
}

function columnsOf(bytes: Uint8Array, ids: readonly string[]): LookupColumns {
  const buffer = new ByteBuffer(bytes);
  const isAnswer = bytes.length >= 8 && buffer.__has_identifier(IDENTIFIER);
  check(isAnswer, 'it is no LookupAnswer');
  const answer = LookupAnswer.getRootAsLookupAnswer(buffer);
  const rows = ids.length;
  const statuses = answer.statusesArray();
  const places = answer.columnsLength();
  check(statuses?.length === rows && answer.versionsLength() === rows, 'it is not for the ids asked for');
  check(
    answer.idsLength() === rows && (rows === 0 || textOf(answer.ids(0, UTF8)) === ids[0]),
    'it is for other ids',
  );
  check(places === answer.featuresLength() && places * 4 <= bytes.length, 'its columns have no names');
  const columns = new Map<string, LookupColumn>();
  const table = new ColumnTable();
  for (let place = 0; place < places; place++) {
    check(answer.columns(place, table) !== null, 'a column is missing');
    columns.set(textOf(answer.features(place, UTF8)), columnOf(table, rows));
  }
  const names = Array.from(statuses, status => {
    const name = STATUSES[status];
    check(name !== undefined, 'a row has no status');
    return name;
  });
  return {
    ids,
    statuses: names,
    versions: names.map((name, row) => (name === 'PRESENT' ? Number(answer.versions(row)) : null)),
    columns: Object.fromEntries(columns),
  };
}

function columnOf(table: ColumnTable, rows: number): LookupColumn {
  const kind = KINDS[table.kind()];
  check(kind !== undefined, 'a column is of no known kind');
  const length = kind === 'embedding' ? table.length() : 1;
  const values = valuesOf(table, kind, rows);
  check(values !== undefined && values.length === rows * length, `a column of ${kind} has not all its rows`);
  const nulls = table.nullsArray() ?? NO_NULLS;
  const nullCount = table.nullCount();
  check(nullCount === 0 || nulls.length === Math.ceil(rows / 8), 'a column does not say what is null');
  return new LookupColumn(kind, values, length, nullCount, nulls);
}

function valuesOf(table: ColumnTable, kind: ColumnKind, rows: number): AnyValues | undefined {
  switch (kind) {
    case 'float32':
      return table.float32sArray() ?? undefined;
    case 'float64':
      return table.float64sArray() ?? undefined;
    case 'embedding':
      return table.embeddingsArray() ?? undefined;
    case 'bool':
      return table.boolsArray() ?? undefined;
    case 'int64':
      if (table.int64sLength() !== rows) return undefined;
      return Float64Array.from({ length: rows }, (_, row) => Number(table.int64s(row)));
    case 'string':
      if (table.stringsLength() !== rows) return undefined;
      return Array.from({ length: rows }, (_, row) => textOf(table.strings(row, UTF8)));
    case 'bytes':
      if (table.bytesLength() !== rows) return undefined;
      return Array.from({ length: rows }, (_, row) => table.bytes(row)?.dataArray() ?? NO_NULLS);
  }
}

const NO_NULLS = new Uint8Array(0);

/** The decoder of the library takes a byte order mark at the front of a text away. */
const UTF8 = Encoding.UTF8_BYTES;
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function textOf(bytes: string | Uint8Array | null): string {
  return bytes instanceof Uint8Array ? decoder.decode(bytes) : String(bytes);
}

/** Whether a column holds what was declared. */
export function isOfType({ kind, length }: LookupColumn, type: FeatureType): boolean {
  const scalar = SCALAR_TYPES.find(name => name === type);
  return scalar === undefined ? kind === 'embedding' && type === `float32[${length}]` : kind === scalar;
}

function check(holds: boolean, detail: string): asserts holds {
  if (!holds) throw localError('bad-answer', detail);
}
