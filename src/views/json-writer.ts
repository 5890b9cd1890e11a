/**
 * JSON as bytes, into one buffer that is used again: no strings and no objects between a record and the socket.
 *
 * The buffer grows by doubling up to a limit. What was made is valid until the next `reset`. A buffer that one large
 * answer has blown up is dropped at the next `reset`.
 */
import { HeadraceError } from '../base/errors.js';
import {
  NUMBER_TEXT_BYTES_MAX,
  writeFloat32,
  writeFloat64,
  writeInteger,
  writeNull,
} from './float32-text.js';

export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const FIRST_BYTES = 16 * 1024;
const KEPT_BYTES_MAX = 4 * 1024 * 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** By byte: 0 when it stands for itself in a JSON string, else the letter behind the backslash (`u`: \u00xx). */
const ESCAPES = new Uint8Array(256);
ESCAPES.fill(0x75, 0, 0x20);
for (const [byte, letter] of [
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
  [QUOTE, '"'],
  [BACKSLASH, '\\'],
] as const) {
  ESCAPES[byte] = letter.charCodeAt(0);
}

const HEX = Buffer.from('0123456789abcdef');
const BASE64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');

export class JsonWriter {
  readonly #limit: number;
  #bytes: Buffer;
  #at = 0;

  constructor(limitBytes = ANSWER_BYTES_MAX) {
    this.#limit = limitBytes;
    this.#bytes = this.#firstBytes();
  }

  reset(): void {
    this.#at = 0;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = this.#firstBytes();
  }

  /** What was written, in place: valid until the next `reset` or write. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** One ASCII character. */
  byte(code: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = code;
  }

  /** Bytes that are JSON already. */
  raw(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#reserve(length);
    const into = this.#bytes;
    const at = this.#at;
    // Up to about this length a call into the engine costs more than the loop.
    if (length > 32) into.set(bytes, at);
    else for (let place = 0; place < length; place++) into[at + place] = bytes[place]!;
    this.#at = at + length;
  }

  null(): void {
    this.#reserve(4);
    this.#at = writeNull(this.#bytes, this.#at);
  }

  bool(value: boolean): void {
    this.raw(value ? TRUE : FALSE);
  }

  /** A safe integer. */
  integer(value: number): void {
    this.#reserve(NUMBER_TEXT_BYTES_MAX);
    this.#at = writeInteger(this.#bytes, this.#at, value);
  }

  float32(value: number): void {
    this.#reserve(NUMBER_TEXT_BYTES_MAX);
    this.#at = writeFloat32(this.#bytes, this.#at, value);
  }

  /** An array of `length` float32 that lie one behind the other. */
  float32s(data: DataView, start: number, length: number): void {
    this.byte(0x5b);
    for (let place = 0; place < length; place++) {
      if (place > 0) this.byte(0x2c);
      this.float32(data.getFloat32(start + 4 * place, true));
    }
    this.byte(0x5d);
  }

  float64(value: number): void {
    this.#reserve(NUMBER_TEXT_BYTES_MAX);
    this.#at = writeFloat64(this.#bytes, this.#at, value);
  }

  string(text: string): void {
    this.#reserve(text.length + 2);
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = QUOTE;
    for (let place = 0; place < text.length; place++) {
      const unit = text.charCodeAt(place);
      if (unit >= 0x80 || ESCAPES[unit] !== 0) {
        const quoted = JSON.stringify(text);
        this.#reserve(Buffer.byteLength(quoted));
        this.#at += this.#bytes.write(quoted, this.#at, 'utf8');
        return;
      }
      bytes[at++] = unit;
    }
    bytes[at++] = QUOTE;
    this.#at = at;
  }

  /** A string from `length` bytes of UTF-8. */
  utf8(data: DataView, start: number, length: number): void {
    this.#reserve(6 * length + 2);
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = QUOTE;
    for (let place = start; place < start + length; place++) {
      const byte = data.getUint8(place);
      const letter = ESCAPES[byte] ?? 0;
      if (letter === 0) {
        bytes[at++] = byte;
        continue;
      }
      bytes[at++] = BACKSLASH;
      bytes[at++] = letter;
      if (letter !== 0x75) continue;
      bytes[at] = bytes[at + 1] = 0x30;
      bytes[at + 2] = HEX[byte >> 4] ?? 0;
      bytes[at + 3] = HEX[byte & 15] ?? 0;
      at += 4;
    }
    bytes[at++] = QUOTE;
    this.#at = at;
  }

  /** `length` bytes as a base64 string (RFC 4648, section 4, padded). */
  base64(data: DataView, start: number, length: number): void {
    this.#reserve(Math.ceil(length / 3) * 4 + 2);
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = QUOTE;
    const end = start + length;
    for (let place = start; place < end; place += 3) {
      const left = end - place;
      const second = left > 1 ? data.getUint8(place + 1) : 0;
      const third = left > 2 ? data.getUint8(place + 2) : 0;
      const group = (data.getUint8(place) << 16) | (second << 8) | third;
      bytes[at] = BASE64[group >> 18] ?? 0;
      bytes[at + 1] = BASE64[(group >> 12) & 63] ?? 0;
      bytes[at + 2] = left > 1 ? (BASE64[(group >> 6) & 63] ?? 0) : 0x3d;
      bytes[at + 3] = left > 2 ? (BASE64[group & 63] ?? 0) : 0x3d;
      at += 4;
    }
    bytes[at++] = QUOTE;
    this.#at = at;
  }

  #firstBytes(): Buffer {
    return Buffer.allocUnsafeSlow(Math.min(FIRST_BYTES, this.#limit));
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > this.#bytes.length) this.#grow(this.#at + bytes);
  }

  #grow(bytes: number): void {
    if (bytes > this.#limit) throw answerTooLarge(this.#limit);
    const grown = Buffer.allocUnsafeSlow(Math.min(Math.max(bytes, 2 * this.#bytes.length), this.#limit));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
  }
}

/** The error of an answer over the limit, in whatever form. */
export function answerTooLarge(limitBytes: number): HeadraceError {
  const detail = `the answer would be larger than ${limitBytes} bytes: ask for fewer ids or fewer features`;
  return new HeadraceError('too-many-ids', detail);
}

const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
