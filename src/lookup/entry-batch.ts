/** The answer to a batch of keys of a named cache: entries are copied as they come, in any order, and written in order. */
import { isUtf8 } from 'node:buffer';
import { HeadraceError } from '../base/errors.js';
import { EntryReader } from '../caches/entry.js';
import { ageSeconds, freshnessOf } from '../caches/freshness.js';
import type { JsonWriter } from '../views/json-writer.js';
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
  #bytes = 0;

  /** @param status of those that nothing else is said of. */
  constructor(count: number, status: 'NOT_FOUND' | 'UNAVAILABLE' = 'NOT_FOUND') {
    this.#rows = new Array(count).fill(status);
  }

  /** Takes none at once. */
  gather(): number {
    return 0;
  }

  /** @throws HeadraceError `too-many-ids` when there is too much for one answer. */
  present(row: number, bytes: Uint8Array, offset: number, length: number): void {
    this.#bytes += length;
    const { bytes: bytesMax } = ENTRY_BATCH_LIMITS;
    if (this.#bytes > bytesMax)
      throw new HeadraceError('too-many-ids', `the entries have more than ${bytesMax} bytes: ask for fewer`);
    this.#rows[row] = new Uint8Array(bytes.subarray(offset, offset + length));
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
    const entry = new EntryReader();
    this.#rows.forEach((row, place) => {
      writer.raw(place === 0 ? FIRST_KEY : NEXT_KEY);
      writer.string(keys[place] ?? '');
      writer.raw(STATUS);
      if (typeof row === 'string') writer.string(row);
      else {
        entry.reset(row);
        const isServed = !entry.isTombstone && freshnessOf(entry, nowMs) !== 'old';
        writer.string(isServed ? 'PRESENT' : 'NOT_FOUND');
        if (isServed) writeEntry(writer, entry, nowMs);
      }
      writer.raw(END_OBJECT);
    });
    writer.raw(END);
    return writer.finish();
  }
}

function writeEntry(writer: JsonWriter, entry: EntryReader, nowMs: number): void {
  const { contentType, payload } = entry;
  writer.raw(AGE);
  writer.integer(ageSeconds(entry.writtenAt, nowMs));
  writer.raw(TTL);
  writer.integer(Math.floor((entry.freshUntil - nowMs) / 1000));
  writer.raw(ETAG);
  writer.string(entry.etag);
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
const TEXT = Buffer.from(',"text":');
const BASE64 = Buffer.from(',"base64":');
const END_OBJECT = Buffer.from('}');
const END = Buffer.from(']}');
