/**
 * Packs drafts into records and checks records; `record-layout.ts` draws them, `record-reader.ts` reads them.
 *
 * To encode is to copy the view's template, set the columns behind each other, append what is text, and hash. Records
 * are cut from slabs of 256 KiB, so that a record costs no memory allocation of its own. Encoding is deterministic:
 * equal drafts, versions and times make equal bytes.
 */
import type { Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { checksum } from './checksum.js';
import {
  aligned,
  BLOB_DATA_OFFSET,
  BLOB_TABLE_BYTES,
  blobSpace,
  stringSpace,
  writeText,
} from './flat-parts.js';
import type { RecordDraft } from './record-draft.js';
import {
  columnBytes,
  RECORD_BYTES_MAX,
  RECORD_BYTES_MIN,
  RECORD_CHECKSUM_BYTES,
  RECORD_COMPRESSED_IDENTIFIER,
  RECORD_EXPIRES_AT_OFFSET,
  RECORD_FRESH_UNTIL_OFFSET,
  RECORD_IDENTIFIER,
  RECORD_IDENTIFIER_OFFSET,
  RECORD_VERSION_OFFSET,
  RECORD_WRITTEN_AT_OFFSET,
  type RecordTemplate,
  recordTemplate,
  tombstoneTemplate,
  WITH_METADATA,
  WITH_NULLS,
  WITH_TAGS,
} from './record-layout.js';
import type { View } from './schema.js';

const SLAB_BYTES = 256 * 1024;
/** A record that may be larger is measured and gets memory of its own, so that it wastes no slab. */
const SLAB_SHARE_MAX = SLAB_BYTES / 8;

/** The version, and milliseconds since the epoch. */
export interface RecordTimes {
  readonly version: Version;
  readonly writtenAt: number;
  readonly freshUntil: number;
  readonly expiresAt: number;
}

/** The uint32 at a byte offset, however it is aligned. */
export function wordAt(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
  return (low | ((bytes[at + 3] ?? 0) << 24)) >>> 0;
}

/** The version of the record or tombstone that begins at `start`, without a reader. */
export function recordVersion(bytes: Uint8Array, start = 0): Version {
  return int64At(bytes, start + RECORD_VERSION_OFFSET) as Version;
}

/** When the record or tombstone that begins at `start` expires, without a reader. */
export function recordExpiresAt(bytes: Uint8Array, start = 0): number {
  return int64At(bytes, start + RECORD_EXPIRES_AT_OFFSET);
}

function int64At(bytes: Uint8Array, at: number): number {
  return wordAt(bytes, at) + 4294967296 * (wordAt(bytes, at + 4) | 0);
}

/** True when `bytes[start, end)` is a record, whole and unchanged. What is not must not be read. */
export function verifyRecord(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
  return isRecordOf(RECORD_IDENTIFIER, bytes, start, end);
}

/** The same of what lies in a store: in a record that is compressed, the values of bytes must not be read. */
export function verifyStored(bytes: Uint8Array): boolean {
  return verifyRecord(bytes) || isRecordOf(RECORD_COMPRESSED_IDENTIFIER, bytes, 0, bytes.length);
}

function isRecordOf(identifier: number, bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (!(start >= 0 && end <= bytes.length && length >= RECORD_BYTES_MIN && length % 4 === 0)) return false;
  if (wordAt(bytes, start + RECORD_IDENTIFIER_OFFSET) !== identifier) return false;
  const sealed = end - RECORD_CHECKSUM_BYTES;
  return wordAt(bytes, sealed) === checksum(bytes, start, sealed);
}

/** Sets a record's identifier and its checksum, which is made of it unless it is known; returns the record. */
export function sealRecord(record: Uint8Array, identifier: number, sum?: number): Uint8Array {
  const words = new DataView(record.buffer, record.byteOffset, record.length);
  const sealed = record.length - RECORD_CHECKSUM_BYTES;
  words.setUint32(RECORD_IDENTIFIER_OFFSET, identifier, true);
  words.setUint32(sealed, sum ?? checksum(record, 0, sealed), true);
  return record;
}

/** The record of a deletion. */
export function encodeTombstone(version: Version, now: number, expiresAt: number): Uint8Array {
  const memory = new RecordMemory(RECORD_BYTES_MIN);
  memory.bytes.set(TOMBSTONE);
  memory.setTimes(0, { version, writtenAt: now, freshUntil: expiresAt, expiresAt });
  return memory.seal(0, TOMBSTONE.length);
}

const TOMBSTONE = tombstoneTemplate();

/** A copy of a record or tombstone that differs in its version only. */
export function withVersion(record: Uint8Array, version: Version): Uint8Array {
  const memory = new RecordMemory(record.length);
  memory.bytes.set(record);
  memory.setInt64(RECORD_VERSION_OFFSET, version);
  return memory.seal(0, record.length - RECORD_CHECKSUM_BYTES);
}

/** Packs the drafts of one view. */
export class RecordEncoder {
  readonly #view: View;
  readonly #bytesMax: number;
  readonly #templates: (RecordTemplate | undefined)[] = [];
  #slab = new RecordMemory(0);
  #slabNext = 0;
  /** Of the record being made: the slab or memory of its own, and the write position. */
  #memory = this.#slab;
  #at = 0;

  constructor(view: View, bytesMax = RECORD_BYTES_MAX) {
    this.#view = view;
    this.#bytesMax = bytesMax;
  }

  /**
   * The draft as a record: a slice of a slab that nobody writes to again, so it can be kept.
   * @throws HeadraceError `invalid-record` when it would be larger than the limit.
   */
  encode(draft: RecordDraft, times: RecordTimes): Uint8Array {
    const template = this.#templateOf(draft);
    const start = this.#reserve(draft, template);
    const memory = this.#memory;
    memory.bytes.set(template.bytes, start);
    memory.setTimes(start, times);
    this.#at = start + template.bytes.length;
    this.#writeColumns(draft, template, start);
    if (template.strings !== 0) this.#writeTexts(start + template.strings, draft.strings);
    if (template.blobs !== 0)
      this.#writeBlobs(start + template.blobs, draft.bytes, start + template.blobVtable);
    if (template.tags !== 0) this.#writeTags(start + template.tags, draft.tags);
    if (template.metadata !== 0) this.#writeText(start + template.metadata, draft.metadata ?? '');
    if (memory === this.#slab) this.#slabNext = aligned(this.#at + RECORD_CHECKSUM_BYTES, 8);
    return memory.seal(start, this.#at);
  }

  #templateOf(draft: RecordDraft): RecordTemplate {
    const view = this.#view;
    let optional = hasNull(draft, view.columns.length) ? WITH_NULLS : 0;
    if (draft.tags.length > 0) optional |= WITH_TAGS;
    if (draft.metadata !== undefined) optional |= WITH_METADATA;
    const known = this.#templates[optional];
    if (known !== undefined) return known;
    // A template is as large as its columns: none is made of what cannot be a record.
    if (columnBytes(view) > this.#bytesMax) throw this.#tooLarge(columnBytes(view));
    const made = recordTemplate(view, optional);
    this.#templates[optional] = made;
    return made;
  }

  /** Sees to it that the record has room, and returns where it begins. */
  #reserve(draft: RecordDraft, template: RecordTemplate): number {
    const bound = template.bytes.length + RECORD_CHECKSUM_BYTES + textBytesBound(draft);
    if (bound <= SLAB_SHARE_MAX && bound <= this.#bytesMax) {
      if (bound > this.#slab.bytes.length - this.#slabNext) {
        this.#slab = new RecordMemory(SLAB_BYTES);
        this.#slabNext = 0;
      }
      this.#memory = this.#slab;
      return this.#slabNext;
    }
    const bytes = template.bytes.length + RECORD_CHECKSUM_BYTES + textBytes(draft);
    if (bytes > this.#bytesMax) throw this.#tooLarge(bytes);
    this.#memory = new RecordMemory(bytes);
    return 0;
  }

  #tooLarge(bytes: number): HeadraceError {
    const detail = `the record would take ${bytes} bytes, ${this.#bytesMax} are allowed`;
    return new HeadraceError('invalid-record', detail);
  }

  #writeColumns(draft: RecordDraft, template: RecordTemplate, start: number): void {
    const { bytes, float32s, float64s } = this.#memory;
    if (template.float32s !== 0) float32s.set(draft.float32s, (start + template.float32s) >> 2);
    if (template.float64s !== 0) float64s.set(draft.float64s, (start + template.float64s) >> 3);
    if (template.embeddings !== 0) float32s.set(draft.embeddings, (start + template.embeddings) >> 2);
    if (template.bools !== 0) bytes.set(draft.bools, start + template.bools);
    if (template.nulls !== 0) {
      const last = start + template.nulls + draft.nulls.length - 1;
      bytes.set(draft.nulls, start + template.nulls);
      // Bits past the last feature are zero, so that equal records are equal bytes.
      bytes[last] = (bytes[last] ?? 0) & lastNullBits(this.#view.columns.length);
    }
    if (template.int64s !== 0) {
      const { int64s } = draft;
      const at = start + template.int64s;
      for (let index = 0; index < int64s.length; index++) {
        this.#memory.setInt64(at + 8 * index, int64s[index] ?? 0);
      }
    }
  }

  /** Texts behind each other, and at `slot` the offset of each. Empty ones share one. */
  #writeTexts(slot: number, texts: readonly string[]): void {
    let empty = 0;
    for (let index = 0; index < texts.length; index++, slot += 4) {
      const text = texts[index] ?? '';
      if (text.length === 0 && empty !== 0) {
        this.#memory.setWord(slot, empty - slot);
        continue;
      }
      if (text.length === 0) empty = this.#at;
      this.#writeText(slot, text);
    }
  }

  #writeText(slot: number, text: string): void {
    const start = this.#at;
    this.#memory.setWord(slot, start - slot);
    const bytes = writeText(this.#memory.bytes, start + 4, text);
    this.#memory.setWord(start, bytes);
    this.#at = start + stringSpace(bytes);
  }

  #writeBlobs(slot: number, blobs: readonly Uint8Array[], vtable: number): void {
    const memory = this.#memory;
    let empty = 0;
    for (let index = 0; index < blobs.length; index++, slot += 4) {
      const blob = blobs[index];
      const length = blob?.length ?? 0;
      const shared = length === 0 && empty !== 0;
      const table = shared ? empty : this.#at;
      memory.setWord(slot, table - slot);
      if (shared) continue;
      if (length === 0) empty = table;
      memory.setWord(table, table - vtable);
      memory.setWord(table + 4, BLOB_DATA_OFFSET);
      memory.setWord(table + BLOB_TABLE_BYTES, length);
      if (blob !== undefined) memory.bytes.set(blob, table + BLOB_TABLE_BYTES + 4);
      this.#at = table + blobSpace(length);
    }
  }

  #writeTags(slot: number, tags: readonly string[]): void {
    const start = this.#at;
    this.#memory.setWord(slot, start - slot);
    this.#memory.setWord(start, tags.length);
    this.#at = start + 4 + 4 * tags.length;
    this.#writeTexts(start + 4, tags);
  }
}

/** Memory that records are written to, behind each other, once: it is all zeros, and never used again. */
class RecordMemory {
  readonly bytes: Buffer;
  readonly float32s: Float32Array;
  readonly float64s: Float64Array;
  readonly #words: Int32Array;

  constructor(bytes: number) {
    const memory = new ArrayBuffer(aligned(bytes, 8));
    this.bytes = Buffer.from(memory);
    this.float32s = new Float32Array(memory);
    this.float64s = new Float64Array(memory);
    this.#words = new Int32Array(memory);
  }

  setWord(at: number, value: number): void {
    this.#words[at >> 2] = value;
  }

  setInt64(at: number, value: number): void {
    this.#words[at >> 2] = value;
    this.#words[(at >> 2) + 1] = Math.floor(value / 4294967296);
  }

  setTimes(start: number, { version, writtenAt, freshUntil, expiresAt }: RecordTimes): void {
    this.setInt64(start + RECORD_VERSION_OFFSET, version);
    this.setInt64(start + RECORD_WRITTEN_AT_OFFSET, writtenAt);
    this.setInt64(start + RECORD_FRESH_UNTIL_OFFSET, freshUntil);
    this.setInt64(start + RECORD_EXPIRES_AT_OFFSET, expiresAt);
  }

  /** Puts the checksum behind the record and cuts it out. */
  seal(start: number, end: number): Uint8Array {
    this.setWord(end, checksum(this.bytes, start, end));
    return new Uint8Array(this.bytes.buffer, start, end + RECORD_CHECKSUM_BYTES - start);
  }
}

function lastNullBits(features: number): number {
  return 0xff >> (-features & 7);
}

function hasNull({ nulls }: RecordDraft, features: number): boolean {
  const last = nulls.length - 1;
  for (let place = 0; place < last; place++) if (nulls[place] !== 0) return true;
  return ((nulls[last] ?? 0) & lastNullBits(features)) !== 0;
}

/** Bytes beyond the template, at most: a UTF-16 unit is up to three bytes of UTF-8, and each text rounded up. */
function textBytesBound(draft: RecordDraft): number {
  let bound = 0;
  for (const text of draft.strings) bound += 3 * text.length + 8;
  for (const blob of draft.bytes) bound += blob.length + BLOB_TABLE_BYTES + 8;
  for (const tag of draft.tags) bound += 3 * tag.length + 12;
  if (draft.tags.length > 0) bound += 4;
  return draft.metadata === undefined ? bound : bound + 3 * draft.metadata.length + 8;
}

/** The same, exactly. */
function textBytes({ strings, bytes, tags, metadata }: RecordDraft): number {
  let sum = textsBytes(strings) + (tags.length > 0 ? 4 + 4 * tags.length + textsBytes(tags) : 0);
  let empty = false;
  for (const { length } of bytes) {
    if (length === 0 && empty) continue;
    if (length === 0) empty = true;
    sum += blobSpace(length);
  }
  return metadata === undefined ? sum : sum + textsBytes([metadata]);
}

function textsBytes(texts: readonly string[]): number {
  let sum = 0;
  let empty = false;
  for (const text of texts) {
    if (text === '' && empty) continue;
    if (text === '') empty = true;
    sum += stringSpace(Buffer.byteLength(text));
  }
  return sum;
}
