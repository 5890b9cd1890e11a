import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { JSON_DEPTH_MAX, JsonReader } from '../../src/base/json.js';
import { type JsonValue, readText, skipValue } from '../../src/base/json-value.js';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from './seeded.js';

const RUNS = FULL ? 100_000 : 3_000;

function read(text: string | Uint8Array): JsonValue {
  return readText(new JsonReader(), typeof text === 'string' ? Buffer.from(text) : text);
}

/** The error's detail, without the place, or `undefined` when the text is read. */
function problem(text: string | Uint8Array): HeadraceError | undefined {
  try {
    read(text);
    return undefined;
  } catch (error) {
    if (error instanceof HeadraceError) return error;
    throw error;
  }
}

/** Equal in every bit, keys as own keys in any order (objects reorder keys like "1"). */
function same(ours: JsonValue, theirs: unknown): boolean {
  if (ours instanceof Map) {
    if (typeof theirs !== 'object' || theirs === null || Array.isArray(theirs)) return false;
    const entries = Object.entries(theirs);
    return (
      entries.length === ours.size &&
      entries.every(([key, value]) => ours.has(key) && same(ours.get(key) ?? null, value))
    );
  }
  if (Array.isArray(ours)) {
    return (
      Array.isArray(theirs) &&
      theirs.length === ours.length &&
      ours.every((value, index) => same(value, theirs[index]))
    );
  }
  return Object.is(ours, theirs);
}

/** The value as JSON with random white space, and random characters escaped. */
function write(value: unknown, random: Seeded): string {
  const space = () => random.pick(['', '', '', ' ', '\n', '\t\r ']);
  const between = (parts: string[]) => parts.map(part => space() + part + space()).join(',') + space();
  if (typeof value === 'string') return writeString(value, random);
  if (Array.isArray(value)) return `[${between(value.map(element => write(element, random)))}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value);
    const texts = members.map(
      ([key, member]) => `${writeString(key, random)}${space()}:${space()}${write(member, random)}`,
    );
    return `{${between(texts)}}`;
  }
  return Object.is(value, -0) ? '-0' : JSON.stringify(value);
}

function writeString(text: string, random: Seeded): string {
  const asUnit = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  let out = '';
  for (const char of text) {
    if (random.below(8) === 0) out += [...Array(char.length).keys()].map(i => asUnit(char[i] ?? '')).join('');
    else out += JSON.stringify(char).slice(1, -1);
  }
  return `"${out}"`;
}

/** Written without point or exponent beyond 2^53 - 1, a number is refused. */
const number = fc
  .oneof(fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true }))
  .filter(value => !Number.isInteger(value) || Number.isSafeInteger(value) || String(value).includes('e'));
const key = fc.oneof(
  fc.string(),
  fc.constantFrom('__proto__', 'constructor', '1', '2', '10', '', 'a"b', 'é'),
);
const { value: values } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, '', {}, []),
    number,
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(key, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

describe('against JSON.parse', () => {
  test('every text it makes is read as the same value', FULL_TIMEOUT, () => {
    fc.assert(
      fc.property(values, fc.nat(), (value, seed) => {
        const text = write(value, new Seeded(seed));
        expect(same(read(text), JSON.parse(text)), text).toBe(true);
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });

  const INSERTS = [
    ...'{}[]",:\\/0123456789-+.eEtfnul \n\u0000',
    '\\u',
    '\\ud83d',
    '\\ude00',
    '"a":1,',
    '1e999',
    'null',
  ];
  const bytes = [
    ...INSERTS.map(text => Buffer.from(text)),
    Buffer.from([0xff]),
    Buffer.from([0xc3]),
    Buffer.from([0xed, 0xa0, 0x80]),
  ];
  const STRICTER =
    /is there twice|half of a surrogate pair|beyond 2\^53|beyond the range|nested deeper than|byte order mark/;

  function mutate(text: Buffer, random: Seeded): Buffer {
    const at = random.below(text.length + 1);
    const cut = random.pick([0, 0, 1, 1, 2, 5]);
    const insert = cut > 0 && random.below(2) === 0 ? Buffer.alloc(0) : random.pick(bytes);
    return Buffer.concat([text.subarray(0, at), insert, text.subarray(at + cut)]);
  }

  function parseStrictUtf8(text: Uint8Array): { value: unknown } | undefined {
    try {
      return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text)) };
    } catch {
      return undefined;
    }
  }

  test(
    'of damaged texts, none is read that it refuses, and few more are refused, for listed reasons',
    FULL_TIMEOUT,
    () => {
      let accepted = 0;
      let refused = 0;
      fc.assert(
        fc.property(values, fc.nat(), (value, seed) => {
          const random = new Seeded(seed);
          let text: Buffer = Buffer.from(write(value, random));
          for (let i = 1 + random.below(3); i > 0; i--) text = mutate(text, random);
          const theirs = parseStrictUtf8(text);
          const error = problem(text);
          if (error === undefined) {
            accepted++;
            expect(theirs !== undefined && same(read(text), theirs.value), text.toString()).toBe(true);
          } else {
            refused++;
            expect(error.code).toBe('bad-json');
            if (theirs !== undefined) expect(error.message, text.toString()).toMatch(STRICTER);
          }
        }),
        { numRuns: 4 * RUNS, seed: SEED },
      );
      expect(Math.min(accepted, refused)).toBeGreaterThan(RUNS / 10);
    },
  );
});

test('the cut-off texts of a text are all refused', () => {
  const text = '{"a":[1,-2.5e3,"x\\u00e9é",true,null],"b":{"c":"😀"}}';
  const bytes = Buffer.from(text);
  for (let end = 0; end < bytes.length; end++) expect(problem(bytes.subarray(0, end))?.code).toBe('bad-json');
  expect(problem(bytes)).toBeUndefined();
});

test('keys keep their order, and __proto__ is one of them', () => {
  const value = read('{"b":1,"10":2,"__proto__":{"x":3},"9":4,"a":5}');
  expect(value instanceof Map && [...value.keys()]).toEqual(['b', '10', '__proto__', '9', 'a']);
  expect(Object.hasOwn(Object.prototype, 'x')).toBe(false);
});

test.each([
  ['{"a":1,\n "é😀":nul}', 'null is wanted (line 2, column 7, é😀)'],
  ['', 'a value is wanted, not the end of the text (line 1, column 1)'],
  ['\ufeff{}', 'the text starts with a byte order mark; send plain UTF-8 without one (line 1, column 1)'],
  ['[1,2,]', 'a value is wanted, not ] (line 1, column 6, [2])'],
  ['{"a":1,}', 'a key in double quotes is wanted, not } (line 1, column 8, a)'],
  ["{'a':1}", "a key in double quotes is wanted, not ' (line 1, column 2)"],
  ['{"a" 1}', ': is wanted, not 1 (line 1, column 6, a)'],
  ['{"a":1 "b":2}', ', or } is wanted, not " (line 1, column 8, a)'],
  ['[1 2]', ', or ] is wanted, not 2 (line 1, column 4, [0])'],
  ['{"a":{"b":[0,{"c":01}]}}', 'a number must not start with 0 (line 1, column 20, a.b[1].c)'],
  ['[1.]', 'a digit is wanted (line 1, column 4, [0])'],
  ['{"a":NaN}', 'a value is wanted, not N (line 1, column 6, a)'],
  ['[Infinity]', 'a value is wanted, not I (line 1, column 2, [0])'],
  ['[-Infinity]', 'a digit is wanted (line 1, column 3, [0])'],
  ['[1e999]', 'the number is beyond the range of float64 (line 1, column 2, [0])'],
  ['[9007199254740992]', 'the integer is beyond 2^53 - 1 and would be rounded (line 1, column 2, [0])'],
  ['{"a":1,"\\u0061":2}', 'the key "a" is there twice (line 1, column 8, a)'],
  ['{"__proto__":1,"__proto__":2}', 'the key "__proto__" is there twice (line 1, column 16, __proto__)'],
  ['"a\nb"', 'a control character in a string must be escaped (line 1, column 3)'],
  ['"abc', 'the string is not closed (line 1, column 1)'],
  ['"a\\', 'the escape is none of JSON (line 1, column 3)'],
  ['"\\x41"', 'the escape is none of JSON (line 1, column 2)'],
  ['"\\u12g4"', '\\u wants four hexadecimal digits (line 1, column 2)'],
  ['"\\ud83d"', 'the escape is half of a surrogate pair (line 1, column 2)'],
  ['"\\ude00\\ud83d"', 'the escape is half of a surrogate pair (line 1, column 2)'],
  ['{} {}', 'nothing may follow the value, { does (line 1, column 4)'],
  ['\u00a01', 'a value is wanted, not \u00a0 (line 1, column 1)'],
  ['\u0000', 'a value is wanted, not the byte 0x00 (line 1, column 1)'],
])('%j says what is wrong where', (text, message) => {
  const error = problem(text);
  expect(error?.message).toBe(message);
  expect(error?.errors).toHaveLength(1);
});

test.each([
  ['a lone continuation byte', [0x80]],
  ['a start without its rest', [0xc3]],
  ['an overlong slash', [0xc0, 0xaf]],
  ['an overlong three', [0xe0, 0x80, 0xaf]],
  ['an overlong four', [0xf0, 0x80, 0x80, 0xaf]],
  ['a surrogate', [0xed, 0xa0, 0x80]],
  ['beyond U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
  ['0xff', [0xff]],
])('a string with %s is refused', (_, bad) => {
  const text = Buffer.concat([Buffer.from('"é'), Buffer.from(bad), Buffer.from('"')]);
  expect(problem(text)?.message).toBe('the string is not valid UTF-8 (line 1, column 3)');
});

test('nesting is allowed to the limit and not one deeper', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  expect(problem(nested(JSON_DEPTH_MAX))).toBeUndefined();
  expect(problem(objects(JSON_DEPTH_MAX))).toBeUndefined();
  expect(problem(nested(JSON_DEPTH_MAX + 1))?.message).toMatch('nested deeper than 32 (line 1, column 33');
  expect(problem(objects(JSON_DEPTH_MAX + 1))?.message).toMatch('nested deeper than 32');
  expect(problem('['.repeat(10_000_000))?.message).toMatch('nested deeper than 32');
});

test('a reader is good again after an error, and counts lines from where it is told', () => {
  const reader = new JsonReader();
  const bytes = Buffer.from('xx[{"a":[1,}] tail [2]');
  expect(() => skipValue(reader.open(bytes, 2, 13, 7))).toThrow('(line 7, column 10, [0].a[1])');
  expect(readText(reader, Buffer.from('[3]'))).toEqual([3]);
  reader.open(bytes, 19);
  expect(reader.kind()).toBe('array');
  skipValue(reader);
  reader.finish();
});
