/** The answer to a batch of keys of a named cache: entries are copied as they come, in any order, and written in order. */
import { isUtf8 } from 'node:buffer';
import { HeadraceError } from '../base/errors.js';
import { entryVector, isOfFormat, jsonEtag } from '../caches/embeddings/embedding.js';
import type { VectorFormat } from '../caches/embeddings/packing.js';
import { writeVector } from '../caches/embeddings/vector-json.js';
import { EntryReader } from '../caches/entry.js';
import { ageSeconds, freshnessOf } from '../caches/freshness.js';
import type { JsonWriter } from '../views/json-writer.js';
import type { Through } from './entry-store.js';
import type { RowSink } from './record-store.js';

export const ENTRY_BATCH_LIMITS = {
  keys: 1_000,
  /** Of the entries of one answer, which in JSON may be larger by a third, or by what must be escaped. */
  bytes: 32 * 1024 * 1024,
} as const;

/** JSON and text, in UTF-8. */
const TEXTUAL = /^(?:text\/[^;]+|application\/(?:[^;]+\+)?json)[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?$/i;

export class EntryBatch implements RowSink {
  readonly #rows: (Uint8Array | 'NOT_FOUND' | 'UNAVAILABLE')[];
  readonly #embedding: VectorFormat | undefined;
  readonly #entry = new EntryReader();
  #bytes = 0;
  /** Those that an origin was asked for: served whatever their times say. */
  readonly #through = new Set<number>();

  /**
   * @param embedding of the vectors, when the cache is one of embeddings.
   * @param status of those that nothing else is said of.
   */
  constructor(
    count: number,
    embedding: VectorFormat | undefined,
    status: 'NOT_FOUND' | 'UNAVAILABLE' = 'NOT_FOUND',
  ) {
    this.#rows = new Array(count).fill(status);
    this.#embedding = embedding;
  }

  /** Takes none at once. */
  gather(): number {
    return 0;
  }

  /** @throws HeadraceError `too-many-ids` when there is too much for one answer. */
  present(row: number, bytes: Uint8Array, offset: number, length: number): void {
    this.#count(length);
    this.#rows[row] = new Uint8Array(bytes.subarray(offset, offset + length));
  }

  /** Takes what an origin was asked for. @throws HeadraceError as `present`. */
  through(row: number, { record, error }: Through): void {
    this.#through.add(row);
    this.#count(record?.length ?? 0);
    this.#rows[row] = record ?? (error === undefined ? 'NOT_FOUND' : 'UNAVAILABLE');
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    const { bytes: bytesMax } = ENTRY_BATCH_LIMITS;
    if (this.#bytes > bytesMax)
      throw new HeadraceError('too-many-ids', `the entries have more than ${bytesMax} bytes: ask for fewer`);
  }

  /** The rows that an origin is to be asked for, and those that it is to make anew in the background. */
  wanted(nowMs: number): { readonly missing: readonly number[]; readonly stale: readonly number[] } {
    const entry = this.#entry;
    const missing: number[] = [];
    const stale: number[] = [];
    this.#rows.forEach((row, place) => {
      if (row === 'UNAVAILABLE') return;
      if (row !== 'NOT_FOUND') entry.reset(row);
      const isNone = row === 'NOT_FOUND' || entry.isTombstone || !isOfFormat(this.#embedding, entry);
      const freshness = isNone ? 'old' : freshnessOf(entry, nowMs);
      if (freshness === 'old') missing.push(place);
      else if (freshness === 'stale') stale.push(place);
    });
    return { missing, stale };
  }

  absent(row: number): void {
    this.#rows[row] = 'NOT_FOUND';
  }

  unavailable(row: number): void {
    this.#rows[row] = 'UNAVAILABLE';
  }

  /** Valid until the writer's next `reset`. @throws HeadraceError `too-many-ids` when it does not fit the writer. */
  json(writer: JsonWriter, cache: string, keys: readonly string[], nowMs: number): Uint8Array {
    writer.reset();
    writer.raw(CACHE);
    writer.string(cache);
    writer.raw(ENTRIES);
    this.#rows.forEach((row, place) => {
      writer.raw(place === 0 ? FIRST_KEY : NEXT_KEY);
      writer.string(keys[place] ?? '');
      writer.raw(STATUS);
      if (typeof row === 'string') writer.string(row);
      else this.#write(writer, row, place, nowMs);
      writer.raw(END_OBJECT);
    });
    writer.raw(END);
    return writer.finish();
  }

  #write(writer: JsonWriter, row: Uint8Array, place: number, nowMs: number): void {
    const isServed = this.#isServed(row, place, nowMs);
    const vector = isServed ? this.#vector() : undefined;
    if (vector !== undefined) writeVectorEntry(writer, this.#entry, vector, nowMs);
    else if (isServed && this.#embedding === undefined) writeEntry(writer, this.#entry, nowMs);
    else writer.string('NOT_FOUND');
  }

  /** All vectors as one matrix of little-endian float32s, a row a key; rows of NaN where there is none. */
  matrix(nowMs: number): Uint8Array {
    const dimensions = this.#embedding?.dimensions ?? 0;
    const matrix = new Float32Array(dimensions * this.#rows.length);
    this.#rows.forEach((row, place) => {
      const vector =
        typeof row !== 'string' && this.#isServed(row, place, nowMs) ? this.#vector() : undefined;
      const at = place * dimensions;
      if (vector === undefined) matrix.fill(Number.NaN, at, at + dimensions);
      else matrix.set(vector, at);
    });
    return new Uint8Array(matrix.buffer);
  }

  /** Sets the reader on the entry. */
  #isServed(row: Uint8Array, place: number, nowMs: number): boolean {
    const entry = this.#entry;
    entry.reset(row);
    if (entry.isTombstone || entry.isAbsent) return false;
    return this.#through.has(place) || freshnessOf(entry, nowMs) !== 'old';
  }

  #vector(): Float32Array | undefined {
    return this.#embedding && entryVector(this.#embedding, this.#entry);
  }
}

function writeHead(writer: JsonWriter, entry: EntryReader, etag: string, nowMs: number): void {
  writer.string('PRESENT');
  writer.raw(AGE);
  writer.integer(ageSeconds(entry.writtenAt, nowMs));
  writer.raw(TTL);
  writer.integer(Math.floor((entry.freshUntil - nowMs) / 1000));
  writer.raw(ETAG);
  writer.string(etag);
}

function writeVectorEntry(writer: JsonWriter, entry: EntryReader, vector: Float32Array, nowMs: number): void {
  writeHead(writer, entry, jsonEtag(entry.etag), nowMs);
  writer.raw(VECTOR);
  writeVector(writer, vector);
}

function writeEntry(writer: JsonWriter, entry: EntryReader, nowMs: number): void {
  const { contentType, payload } = entry;
  writeHead(writer, entry, entry.etag, nowMs);
  writer.raw(CONTENT_TYPE);
  writer.string(contentType);
  const data = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const isText = TEXTUAL.test(contentType) && isUtf8(payload);
  writer.raw(isText ? TEXT : BASE64);
  if (isText) writer.utf8(data, 0, payload.length);
  else writer.base64(data, 0, payload.length);
}

const CACHE = Buffer.from('{"cache":');
const ENTRIES = Buffer.from(',"entries":[');
const FIRST_KEY = Buffer.from('{"key":');
const NEXT_KEY = Buffer.from(',{"key":');
const STATUS = Buffer.from(',"status":');
const AGE = Buffer.from(',"age":');
const TTL = Buffer.from(',"ttl":');
const ETAG = Buffer.from(',"etag":');
const CONTENT_TYPE = Buffer.from(',"contentType":');
const VECTOR = Buffer.from(',"vector":');
const TEXT = Buffer.from(',"text":');
const BASE64 = Buffer.from(',"base64":');
const END_OBJECT = Buffer.from('}');
const END = Buffer.from(']}');
