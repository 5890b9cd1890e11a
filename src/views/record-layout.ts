/**
 * Where everything in a feature record lies: FlatBuffers (`headrace.fbs`) in one canonical layout, made to be written
 * forward, in place.
 *
 *   0  root offset (12)      16  version          48  schema
 *   4  "HRFR"                24  written at       52  a word for each vector: its offset (a tombstone: one byte)
 *   8  0                     32  fresh until          the vtable, behind its table so that all above stays put
 *  12  to the vtable (< 0)   40  expires at
 *
 *   then the vectors of the view: float64s, int64s, float32s, embeddings, offsets of strings, offsets of bytes, bools,
 *   nulls; then what varies in size: strings, bytes, tags, metadata; zeros to a multiple of 4; XXH32 of all of it.
 *
 * Everything before the first string is alike in all records of a view but for its values, and for nulls, tags and
 * metadata, which are left out where there are none: that makes eight templates a view. 50 float32 take 284 bytes.
 * Every scalar is aligned to its size, counted from the record's first byte.
 */
import { assert } from '../base/assert.js';
import { aligned, BLOB_VTABLE, writeVtable } from './flat-parts.js';
import type { View } from './schema.js';

assert(
  new Uint8Array(new Uint32Array([1]).buffer)[0] === 1,
  'records are little-endian, as the CPU has to be',
);

export const RECORD_IDENTIFIER = 0x52465248; // "HRFR"
/** Of an entry whose payload is compressed (`caches/compression`): whoever cannot read it takes it for no record. */
export const RECORD_COMPRESSED_IDENTIFIER = 0x315a5248; // "HRZ1"
export const RECORD_IDENTIFIER_OFFSET = 4;
export const RECORD_TABLE_OFFSET = 12;
export const RECORD_VERSION_OFFSET = 16;
export const RECORD_WRITTEN_AT_OFFSET = 24;
export const RECORD_FRESH_UNTIL_OFFSET = 32;
export const RECORD_EXPIRES_AT_OFFSET = 40;
export const RECORD_SCHEMA_OFFSET = 48;
const RECORD_SLOTS_OFFSET = 52;
export const RECORD_CHECKSUM_BYTES = 4;

/** A tombstone: the smallest record there is. */
export const RECORD_BYTES_MIN = 76;
/** A record with its key and header fits 1 MiB. */
export const RECORD_BYTES_MAX = 2 ** 20 - 1024;

/** Fields of FeatureRecord, by their order in `headrace.fbs`; before them the five numbers above. */
export const RecordField = {
  tombstone: 5,
  nulls: 6,
  float32s: 7,
  float64s: 8,
  int64s: 9,
  bools: 10,
  strings: 11,
  bytes: 12,
  embeddings: 13,
  tags: 14,
  metadata: 15,
} as const;
const SCALARS = [
  RECORD_VERSION_OFFSET,
  RECORD_WRITTEN_AT_OFFSET,
  RECORD_FRESH_UNTIL_OFFSET,
  RECORD_EXPIRES_AT_OFFSET,
  RECORD_SCHEMA_OFFSET,
] as const;

/** Which optional fields a record has: bits of its template's number. */
export const WITH_NULLS = 1;
export const WITH_TAGS = 2;
export const WITH_METADATA = 4;

/** The part of a record that is alike for all with the same optional fields, and the byte offsets of its places. */
export interface RecordTemplate {
  readonly bytes: Uint8Array;
  /** Where each vector's elements begin; 0 where there is none. */
  readonly float64s: number;
  readonly int64s: number;
  readonly float32s: number;
  readonly embeddings: number;
  readonly strings: number;
  readonly blobs: number;
  readonly bools: number;
  readonly nulls: number;
  /** The words for the offsets of tags and metadata; 0 where there is none. */
  readonly tags: number;
  readonly metadata: number;
  readonly blobVtable: number;
}

interface Vector {
  readonly field: number;
  readonly elements: number;
  readonly elementBytes: number;
}

function vectorsOf({ columns, widths }: View, optional: number): readonly Vector[] {
  const nullBytes = (optional & WITH_NULLS) !== 0 ? Math.ceil(columns.length / 8) : 0;
  const vectors = [
    { field: RecordField.float64s, elements: widths.float64, elementBytes: 8 },
    { field: RecordField.int64s, elements: widths.int64, elementBytes: 8 },
    { field: RecordField.float32s, elements: widths.float32, elementBytes: 4 },
    { field: RecordField.embeddings, elements: widths.embedding, elementBytes: 4 },
    { field: RecordField.strings, elements: widths.string, elementBytes: 4 },
    { field: RecordField.bytes, elements: widths.bytes, elementBytes: 4 },
    { field: RecordField.bools, elements: widths.bool, elementBytes: 1 },
    { field: RecordField.nulls, elements: nullBytes, elementBytes: 1 },
  ];
  return vectors.filter(({ elements }) => elements > 0);
}

/** Bytes that the columns of every record of a view take, without text. A view over `RECORD_BYTES_MAX` holds none. */
export function columnBytes({ widths }: View): number {
  const { bool, int64, float32, float64, string, bytes, embedding } = widths;
  return bool + 8 * (int64 + float64) + 4 * (float32 + embedding + string + bytes);
}

export function recordTemplate(view: View, optional: number): RecordTemplate {
  const vectors = vectorsOf(view, optional);
  const fields = vectors.map(({ field }): number => field);
  if ((optional & WITH_TAGS) !== 0) fields.push(RecordField.tags);
  if ((optional & WITH_METADATA) !== 0) fields.push(RecordField.metadata);
  const slots = new Map(fields.map((field, place) => [field, RECORD_SLOTS_OFFSET + 4 * place]));

  const vtable = RECORD_SLOTS_OFFSET + 4 * fields.length;
  const fieldCount = 1 + Math.max(SCALARS.length - 1, ...fields);
  const blobVtable = vtable + 4 + 2 * fieldCount;
  let end = aligned(blobVtable + (view.widths.bytes > 0 ? BLOB_VTABLE.length : 0), 4);
  const starts = new Map<number, number>();
  for (const { field, elements, elementBytes } of vectors) {
    const start = aligned(end + 4, Math.max(elementBytes, 4));
    starts.set(field, start);
    end = aligned(start + elements * elementBytes, 4);
  }

  const bytes = recordHead(end, vtable, fieldCount, slots);
  bytes.writeUInt32LE(view.schema, RECORD_SCHEMA_OFFSET);
  for (const { field, elements } of vectors) {
    const slot = slots.get(field) ?? 0;
    const start = starts.get(field) ?? 0;
    bytes.writeUInt32LE(start - 4 - slot, slot);
    bytes.writeUInt32LE(elements, start - 4);
  }
  if (view.widths.bytes > 0) bytes.set(BLOB_VTABLE, blobVtable);
  return {
    bytes,
    float64s: starts.get(RecordField.float64s) ?? 0,
    int64s: starts.get(RecordField.int64s) ?? 0,
    float32s: starts.get(RecordField.float32s) ?? 0,
    embeddings: starts.get(RecordField.embeddings) ?? 0,
    strings: starts.get(RecordField.strings) ?? 0,
    blobs: starts.get(RecordField.bytes) ?? 0,
    bools: starts.get(RecordField.bools) ?? 0,
    nulls: starts.get(RecordField.nulls) ?? 0,
    tags: slots.get(RecordField.tags) ?? 0,
    metadata: slots.get(RecordField.metadata) ?? 0,
    blobVtable,
  };
}

/** A tombstone without version, times and checksum. */
export function tombstoneTemplate(): Buffer {
  const vtable = RECORD_SLOTS_OFFSET + 4;
  const slots = new Map([[RecordField.tombstone as number, RECORD_SLOTS_OFFSET]]);
  const bytes = recordHead(RECORD_BYTES_MIN - RECORD_CHECKSUM_BYTES, vtable, SCALARS.length + 1, slots);
  bytes[RECORD_SLOTS_OFFSET] = 1;
  return bytes;
}

/** Root, identifier and vtable; `slots` is where each field lies that is not a scalar in its fixed place. */
function recordHead(
  length: number,
  vtable: number,
  fieldCount: number,
  slots: ReadonlyMap<number, number>,
): Buffer {
  const entries = Array.from({ length: fieldCount }, (_, field) => {
    const place = SCALARS[field] ?? slots.get(field);
    return place === undefined ? 0 : place - RECORD_TABLE_OFFSET;
  });
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(RECORD_TABLE_OFFSET, 0);
  bytes.writeUInt32LE(RECORD_IDENTIFIER, 4);
  bytes.writeInt32LE(RECORD_TABLE_OFFSET - vtable, RECORD_TABLE_OFFSET);
  writeVtable(bytes, vtable, vtable - RECORD_TABLE_OFFSET, entries);
  return bytes;
}
