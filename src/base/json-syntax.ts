/** What JSON is made of: bytes, kinds of values, escapes; and places in a text. */

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null';

/** A key as it is expected in a text. */
export interface JsonKey {
  readonly name: string;
  /** With its quotes, as JSON writes it without needless escapes. */
  readonly quoted: Uint8Array;
}

export function jsonKey(name: string): JsonKey {
  return { name, quoted: Buffer.from(JSON.stringify(name)) };
}

export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;
export const SPACE = 0x20;
export const TAB = 0x09;
export const LINE_FEED = 0x0a;
export const CARRIAGE_RETURN = 0x0d;

/** The kind of a value by its first byte. */
export const KINDS: readonly (JsonKind | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  if (/[-0-9]/.test(char)) return 'number';
  const kinds: Record<string, JsonKind> = { '{': 'object', '[': 'array', '"': 'string', n: 'null' };
  return kinds[char] ?? (char === 't' || char === 'f' ? 'boolean' : undefined);
});

/** 1: a byte that stands for itself in a string and is ASCII. */
export const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= SPACE && byte < 0x80 && byte !== QUOTE && byte !== BACKSLASH ? 1 : 0,
);

export const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

/** The digits of a \u escape. */
export const UNIT = /^[0-9a-fA-F]{4}$/;

/** The place of the byte at `at` in a text that starts at `start`. Columns count characters, from 1. */
export function placeOf(bytes: Uint8Array, start: number, at: number, firstLine: number): string {
  let line = firstLine;
  let column = 1;
  for (let i = start; i < at; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === LINE_FEED) {
      line++;
      column = 1;
    } else if ((byte & 0xc0) !== 0x80) column++;
  }
  return `line ${line}, column ${column}`;
}
