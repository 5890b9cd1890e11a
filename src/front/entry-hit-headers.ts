/**
 * The headers of an entry's hit, put together as the bytes that go out: content type and ETag are bytes in the entry, and
 * making texts of them, to be made bytes again, would take twice as long.
 */
import type { EntryReader } from '../caches/entry.js';
import { ageSeconds } from '../caches/freshness.js';
import { hitStatus, secondsLeft } from './cache-status.js';
import type { Headers, ReadyHeaders } from './front.js';

const ETAG = bytesOf('\r\netag: ');
const AGE = bytesOf('\r\nage: ');
const [BEFORE_SECONDS = '', BEHIND_SECONDS = ''] = hitStatus(0).split('0');
const STATUS = bytesOf(`\r\ncache-status: ${BEFORE_SECONDS}`);
const REST = bytesOf(BEHIND_SECONDS);
/** RFC 9111, section 1.2.2: the largest number of seconds that need be told. */
const SECONDS_MAX = 2 ** 31 - 1;
const BYTES_MAX = 1024;

export class EntryHitHeaders implements ReadyHeaders {
  readonly #buffer = new Uint8Array(BYTES_MAX);
  /** Of the buffer, by length. */
  readonly #views: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(BYTES_MAX + 1).fill(
    undefined,
  );
  #entry: EntryReader | undefined;
  #age = 0;
  #seconds = 0;
  #length = 0;

  /** Takes the headers of an entry; false when they have no room here. Valid as long as the reader stays set on it. */
  take(entry: EntryReader, nowMs: number): boolean {
    this.#entry = entry;
    this.#age = Math.min(ageSeconds(entry.writtenAt, nowMs), SECONDS_MAX);
    this.#seconds = secondsLeft(entry.freshUntil, nowMs);
    // What is served beyond its time is rare, and so are times that are out of bounds.
    if (this.#seconds < 0 || this.#seconds > SECONDS_MAX) return false;
    const buffer = this.#buffer;
    let at = entry.copyContentType(buffer, 0);
    if (at < 0) return false;
    at = entry.copyEtag(buffer, put(buffer, at, ETAG));
    if (at < 0 || at > BYTES_MAX - SPARE) return false;
    at = putNumber(buffer, put(buffer, at, AGE), this.#age);
    at = putNumber(buffer, put(buffer, at, STATUS), this.#seconds);
    this.#length = put(buffer, at, REST);
    return true;
  }

  get bytes(): Uint8Array {
    const kept = this.#views[this.#length];
    if (kept !== undefined) return kept;
    const made = this.#buffer.subarray(0, this.#length);
    this.#views[this.#length] = made;
    return made;
  }

  get pairs(): Headers {
    const { contentType = '', etag = '' } = this.#entry ?? {};
    const status = hitStatus(this.#seconds);
    return ['content-type', contentType, 'etag', etag, 'age', String(this.#age), 'cache-status', status];
  }
}

/** What is behind the ETag, at its longest. */
const SPARE = AGE.length + STATUS.length + REST.length + 2 * String(SECONDS_MAX).length;

function put(buffer: Uint8Array, at: number, bytes: Uint8Array): number {
  for (let place = 0; place < bytes.length; place++) buffer[at + place] = bytes[place]!;
  return at + bytes.length;
}

function putNumber(buffer: Uint8Array, at: number, number: number): number {
  let digits = 1;
  for (let left = number; left >= 10; left = (left / 10) | 0) digits++;
  for (let left = number, place = at + digits - 1; place >= at; place--) {
    const rest = (left / 10) | 0;
    buffer[place] = 0x30 + (left - rest * 10);
    left = rest;
  }
  return at + digits;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
