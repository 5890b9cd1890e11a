/**
 * Finds a record's id without reading the record: the front routes each NDJSON line by it, and a lane reads the line.
 *
 * Only as much is looked at as it takes to find the top-level `id` (of a cache's entry: `key`). Values before it are stepped over by their brackets
 * and quotes; whether they are JSON is for the lane to say. A text that is JSON and has one string `id` gives that id.
 */
import { HeadraceError } from '../base/errors.js';
import { JsonReader } from '../base/json.js';
import {
  BACKSLASH,
  CARRIAGE_RETURN,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  LINE_FEED,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  SPACE,
  TAB,
} from '../base/json-syntax.js';

/** Used within one call only. */
const strings = new JsonReader();

/**
 * The top-level `id` of the object between `start` and `end`, or another member, which is a string; `undefined` when there
 * is none, it is no string, or what is before it is broken. The id is not checked against the rules for ids.
 */
export function readRecordId(bytes: Uint8Array, start: number, end: number, name = 'id'): string | undefined {
  let at = skipSpace(bytes, start, end);
  if (bytes[at] !== OPEN_BRACE) return undefined;
  do {
    const key = skipSpace(bytes, at + 1, end);
    const keyEnd = skipString(bytes, key, end);
    const colon = skipSpace(bytes, keyEnd, end);
    if (colon >= end || bytes[colon] !== COLON) return undefined;
    const value = skipSpace(bytes, colon + 1, end);
    if (isNamed(bytes, key, keyEnd, name)) return stringAt(bytes, value, end);
    at = skipValue(bytes, value, end);
  } while (at < end && bytes[at] === COMMA);
  return undefined;
}

/** Whether the key from its quote on is the name, which is of plain letters. */
function isNamed(bytes: Uint8Array, key: number, end: number, name: string): boolean {
  const { length } = name;
  if (end - key !== length + 2) {
    // Spelled with escapes, it is longer: at most six bytes a letter.
    return end - key <= 6 * length + 2 && hasBackslash(bytes, key, end) && stringAt(bytes, key, end) === name;
  }
  for (let n = 0; n < length; n++) if (bytes[key + 1 + n] !== name.charCodeAt(n)) return false;
  return true;
}

/** Not by `indexOf`, which would look through all that is behind the key as well. */
function hasBackslash(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === BACKSLASH) return true;
  return false;
}

function stringAt(bytes: Uint8Array, at: number, end: number): string | undefined {
  try {
    return strings.open(bytes, at, end).readString();
  } catch (error) {
    if (error instanceof HeadraceError) return undefined;
    throw error;
  }
}

/** The offset of the comma or the bracket that ends the value at `at`, or `end`. */
function skipValue(bytes: Uint8Array, at: number, end: number): number {
  let depth = 0;
  while (at < end) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = skipString(bytes, at, end);
      continue;
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if (depth === 0 && byte === COMMA) return at;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (depth === 0) return at;
      depth--;
    }
    at++;
  }
  return end;
}

/** The offset behind the string that starts at `at`, or `end` when there is none or it is not closed. */
function skipString(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end || bytes[at] !== QUOTE) return end;
  for (let i = at + 1; i < end; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) return i + 1;
    if (byte === BACKSLASH) i++;
  }
  return end;
}

function skipSpace(bytes: Uint8Array, at: number, end: number): number {
  while (at < end) {
    const byte = bytes[at];
    if (byte !== SPACE && byte !== LINE_FEED && byte !== CARRIAGE_RETURN && byte !== TAB) break;
    at++;
  }
  return at;
}
