/**
 * A strict JSON reader: a cursor over UTF-8 bytes, without a tree of values between the text and its user.
 *
 * Request bodies are never given to `JSON.parse`: it hides duplicate keys, rounds integers beyond 2^53 without a word
 * and cannot tell where in the body something was wrong. What is read here is RFC 8259 and no more: no byte order mark,
 * no NaN, no leading zeros, no trailing commas, no control characters in strings, UTF-8 well-formed, no escapes that
 * leave half a surrogate pair, nothing behind the value, containers nested up to a limit.
 *
 * A user looks at `kind()` and calls the method for it; objects and arrays are loops:
 *
 *     for (let more = reader.beginObject(); more; more = reader.nextMember()) {
 *       const key = reader.readKey();
 *       …read or skip the value…
 *     }
 *     reader.finish();
 *
 * Keys can be compared in place (`matchKey`), so that a record with the expected keys costs no string a key. Duplicate
 * keys are for the user of `readKey` to find; `KeyTable` and `readValue` do.
 */
import { assert } from './assert.js';
import { HeadraceError } from './errors.js';
import { integerOfText, NumberScanner } from './json-number.js';
import {
  BACKSLASH,
  CARRIAGE_RETURN,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  ESCAPES,
  type JsonKey,
  type JsonKind,
  KINDS,
  LINE_FEED,
  OPEN_BRACE,
  OPEN_BRACKET,
  PLAIN,
  placeOf,
  QUOTE,
  SPACE,
  TAB,
  UNIT,
} from './json-syntax.js';
import { shown } from './problem-list.js';
import { utf8Length } from './utf8.js';

export const JSON_DEPTH_MAX = 32;

const EMPTY = Buffer.alloc(0);

export class JsonReader {
  readonly #depthMax: number;
  readonly #numbers = new NumberScanner();
  /** By depth, the key or the index that is being read; longer than `#depth` once something was deeper. */
  readonly #path: (string | number)[] = [];
  #depth = 0;
  #given: Uint8Array = EMPTY;
  /** Always a Buffer, so that the loops over it stay monomorphic. */
  #bytes: Buffer = EMPTY;
  #start = 0;
  #at = 0;
  #end = 0;
  #firstLine = 1;
  /** The text, a character a byte, when strings are to be slices of it. */
  #whole: string | undefined;

  constructor(depthMax = JSON_DEPTH_MAX) {
    this.#depthMax = depthMax;
  }

  /** Where the cursor is, as an offset into the bytes. */
  get at(): number {
    return this.#at;
  }

  /** Starts on a text. `firstLine` is its first line's number, for the places in errors. */
  open(bytes: Uint8Array, start = 0, end = bytes.length, firstLine = 1): this {
    assert(start >= 0 && start <= end && end <= bytes.length, 'the text lies within the bytes');
    if (bytes !== this.#given) {
      this.#given = bytes;
      this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.#start = start;
    this.#at = start;
    this.#end = end;
    this.#depth = 0;
    this.#firstLine = firstLine;
    this.#whole = undefined;
    if (bytes[start] === 0xef && end - start >= 3 && bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf) {
      this.fail('the text starts with a byte order mark; send plain UTF-8 without one');
    }
    return this;
  }

  /**
   * From here to the end of the text, plain strings are slices of one string. Of many that is a multiple faster, and
   * each keeps the whole text in memory: for strings that go when the text goes.
   */
  sliceStrings(): this {
    this.#whole = this.#bytes.toString('latin1', this.#start, this.#end);
    return this;
  }

  /** Nothing but white space may follow. */
  finish(): void {
    if (this.#skipSpace() !== -1) this.fail(`nothing may follow the value, ${this.#found()} does`);
  }

  /** The kind of the value that comes next; it is not consumed. */
  kind(): JsonKind {
    const kind = KINDS[this.#skipSpace()];
    return kind ?? this.fail(`a value is wanted, not ${this.#found()}`);
  }

  /** Enters an object. True when there is a member, whose key comes next. */
  beginObject(): boolean {
    this.#enter(OPEN_BRACE, 'an object');
    if (this.#skipSpace() !== CLOSE_BRACE) return this.#atKey();
    return this.#leave();
  }

  /** Behind a member's value: true when another member follows, false when the object is closed. */
  nextMember(): boolean {
    const byte = this.#skipSpace();
    if (byte === COMMA) {
      this.#at++;
      return this.#skipSpace() === QUOTE || this.#atKey();
    }
    if (byte !== CLOSE_BRACE) this.fail(`, or } is wanted, not ${this.#found()}`);
    return this.#leave();
  }

  /** Enters an array. True when there is an element. */
  beginArray(): boolean {
    this.#enter(OPEN_BRACKET, 'an array');
    this.#path[this.#depth - 1] = 0;
    if (this.#skipSpace() !== CLOSE_BRACKET) return true;
    return this.#leave();
  }

  /** Behind an element: true when another one follows, false when the array is closed. */
  nextElement(): boolean {
    const byte = this.#skipSpace();
    if (byte === COMMA) {
      this.#at++;
      (this.#path[this.#depth - 1] as number)++;
      return true;
    }
    if (byte !== CLOSE_BRACKET) this.fail(`, or ] is wanted, not ${this.#found()}`);
    return this.#leave();
  }

  /** Consumes the next key and its colon if it is this one, spelled this way. */
  matchKey(key: JsonKey): boolean {
    const { quoted } = key;
    const bytes = this.#bytes;
    const from = this.#at;
    const { length } = quoted;
    if (length > this.#end - from) return false;
    // From 1: the quote is there. The closing quote ends the comparison of a key that only starts alike.
    for (let i = 1; i < length; i++) if (bytes[from + i] !== quoted[i]) return false;
    this.#path[this.#depth - 1] = key.name;
    this.#at = from + length;
    this.#readColon();
    return true;
  }

  /** The next key; its colon is consumed. */
  readKey(): string {
    const key = this.readString();
    this.#path[this.#depth - 1] = key;
    this.#readColon();
    return key;
  }

  readString(): string {
    const plainEnd = this.#plainEnd();
    const from = this.#at + 1;
    if (this.#bytes[plainEnd] !== QUOTE || plainEnd === this.#end)
      return this.#readHardString(from, plainEnd);
    this.#at = plainEnd + 1;
    if (this.#whole !== undefined) return this.#whole.slice(from - this.#start, plainEnd - this.#start);
    return this.#bytes.toString('latin1', from, plainEnd);
  }

  /** Checks a string and makes nothing of it. */
  skipString(): void {
    const plainEnd = this.#plainEnd();
    if (this.#bytes[plainEnd] !== QUOTE || plainEnd === this.#end)
      this.#readHardString(this.#at + 1, plainEnd);
    else this.#at = plainEnd + 1;
  }

  /** The nearest double; an infinity when the number is beyond all of them. */
  readFloat64(): number {
    const start = this.#at;
    const value = this.#scanNumber();
    return this.#numbers.exact ? value : Number(this.text(start, this.#at));
  }

  /**
   * The nearest double, rounded to float32; an infinity when that is beyond all float32s.
   *
   * Rounded twice, it can miss the nearest float32 when the double lies within 2^-53 of the middle between two float32s:
   * a miss of one part in 2^29 of a step, which no text of up to 9 digits can meet (each float32's own shortest text
   * is at most that long), and what every reader that goes by doubles answers.
   */
  readFloat32(): number {
    return Math.fround(this.readFloat64());
  }

  /** The integer a number stands for (`1.0` is one); NaN when it is none, an infinity beyond ±(2^53 - 1). */
  readInteger(): number {
    const start = this.#at;
    const value = this.#scanNumber();
    // A fraction of digits this short never rounds to an integer; a longer one may.
    if (!this.#numbers.short) return integerOfText(this.text(start, this.#at));
    if (Number.isSafeInteger(value)) return value + 0;
    return Number.isInteger(value) ? value * Number.POSITIVE_INFINITY : Number.NaN;
  }

  /** Checks a number and makes nothing of it. */
  skipNumber(): void {
    this.#scanNumber();
  }

  readBoolean(): boolean {
    const value = this.#bytes[this.#at] === 0x74;
    this.#readWord(value ? 'true' : 'false');
    return value;
  }

  readNull(): void {
    this.#readWord('null');
  }

  /** The bytes from one offset to another, as a string. */
  text(start: number, end: number): string {
    return this.#bytes.toString('utf8', start, end);
  }

  /** What is being read: `features.hostrank`, `ids[3]`; '' at the top. */
  path(): string {
    let path = '';
    for (const step of this.#path.slice(0, this.#depth)) {
      if (typeof step === 'number') path += `[${step}]`;
      else path += (path === '' ? '' : '.') + shown(step);
    }
    return path;
  }

  /** @throws HeadraceError `bad-json` that names the place as line and column, and the path when there is one. */
  fail(detail: string, at = this.#at): never {
    const place = placeOf(this.#bytes, this.#start, at, this.#firstLine);
    const path = this.path();
    throw new HeadraceError('bad-json', `${detail} (${path === '' ? place : `${place}, ${path}`})`, [
      { at: place, detail },
    ]);
  }

  /** The next byte that is no white space, not consumed; -1 at the end. */
  #skipSpace(): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#at;
    while (at < end) {
      const byte = bytes[at] ?? 0;
      if (
        byte > SPACE ||
        (byte !== SPACE && byte !== LINE_FEED && byte !== CARRIAGE_RETURN && byte !== TAB)
      ) {
        this.#at = at;
        return byte;
      }
      at++;
    }
    this.#at = at;
    return -1;
  }

  /** Names the byte at the cursor, for an error. */
  #found(): string {
    const byte = this.#at < this.#end ? (this.#bytes[this.#at] ?? 0) : -1;
    if (byte === -1) return 'the end of the text';
    if (byte <= SPACE || byte === 0x7f) return `the byte 0x${byte.toString(16).padStart(2, '0')}`;
    const length = utf8Length(this.#bytes, this.#at, this.#end);
    return length === 0 ? 'a byte that is no UTF-8' : this.text(this.#at, this.#at + length);
  }

  #enter(opening: number, wanted: string): void {
    if (this.#skipSpace() !== opening) this.fail(`${wanted} is wanted, not ${this.#found()}`);
    if (this.#depth === this.#depthMax) this.fail(`values are nested deeper than ${this.#depthMax}`);
    this.#at++;
    this.#path[this.#depth] = '';
    this.#depth++;
  }

  #leave(): false {
    this.#at++;
    this.#depth--;
    return false;
  }

  #atKey(): true {
    if (this.#skipSpace() !== QUOTE) this.fail(`a key in double quotes is wanted, not ${this.#found()}`);
    return true;
  }

  #readColon(): void {
    if (this.#skipSpace() !== COLON) this.fail(`: is wanted, not ${this.#found()}`);
    this.#at++;
  }

  #readWord(word: string): void {
    this.#skipSpace();
    for (let i = 0; i < word.length; i++) {
      if (this.#at + i >= this.#end || this.#bytes[this.#at + i] !== word.charCodeAt(i)) {
        this.fail(`${word} is wanted`);
      }
    }
    this.#at += word.length;
  }

  /** Where the string at the cursor stops being plain ASCII. */
  #plainEnd(): number {
    if (this.#skipSpace() !== QUOTE) this.fail(`a string is wanted, not ${this.#found()}`);
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#at + 1;
    while (at < end && PLAIN[bytes[at] ?? 0] === 1) at++;
    return at;
  }

  #scanNumber(): number {
    const value = this.#numbers.scan(this.#bytes, this.#at, this.#end);
    const { end } = this.#numbers;
    if (!Number.isNaN(value)) {
      this.#at = end;
      return value;
    }
    const next = end < this.#end ? KINDS[this.#bytes[end] ?? 0] : undefined;
    this.fail(next === 'number' ? 'a number must not start with 0' : 'a digit is wanted', end);
  }

  /** A string with something other than plain ASCII in it; the bytes between `from` and `at` are plain. */
  #readHardString(from: number, at: number): string {
    const bytes = this.#bytes;
    const end = this.#end;
    let done = '';
    let run = from;
    for (let i = at; i < end; ) {
      const byte = bytes[i] ?? 0;
      if (PLAIN[byte] === 1) i++;
      else if (byte === QUOTE) {
        this.#at = i + 1;
        return done + bytes.toString('utf8', run, i);
      } else if (byte === BACKSLASH) {
        done += bytes.toString('utf8', run, i) + this.#readEscape(i);
        i = this.#at;
        run = i;
      } else if (byte < SPACE) {
        this.fail('a control character in a string must be escaped', i);
      } else {
        const length = utf8Length(bytes, i, end);
        if (length === 0) this.fail('the string is not valid UTF-8', i);
        i += length;
      }
    }
    this.fail('the string is not closed', from - 1);
  }

  /** What the escape at `start` stands for; the cursor is set behind it. */
  #readEscape(start: number): string {
    const letter = start + 1 < this.#end ? String.fromCharCode(this.#bytes[start + 1] ?? 0) : '';
    if (letter !== 'u') {
      this.#at = start + 2;
      return ESCAPES.get(letter) ?? this.fail('the escape is none of JSON', start);
    }
    const unit = this.#unit(start);
    this.#at = start + 6;
    if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
    const paired = unit < 0xdc00 && this.#bytes[start + 6] === BACKSLASH && this.#bytes[start + 7] === 0x75;
    const low = paired ? this.#unit(start + 6) : 0;
    if (low < 0xdc00 || low > 0xdfff) this.fail('the escape is half of a surrogate pair', start);
    this.#at = start + 12;
    return String.fromCharCode(unit, low);
  }

  #unit(start: number): number {
    const text = this.#bytes.toString('latin1', start + 2, Math.min(start + 6, this.#end));
    return UNIT.test(text)
      ? Number.parseInt(text, 16)
      : this.fail('\\u wants four hexadecimal digits', start);
  }
}
