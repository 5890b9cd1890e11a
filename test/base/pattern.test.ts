import fc from 'fast-check';
import { expect, test } from 'vitest';
import { matchesPattern, Pattern } from '../../src/base/pattern.js';

/** Tries everything. */
function model(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*')
    return model(pattern.slice(1), text) || (text !== '' && model(pattern, text.slice(1)));
  return text !== '' && text[0] === pattern[0] && model(pattern.slice(1), text.slice(1));
}

test('it says what trying everything says', () => {
  const of = (chars: string[], maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...chars), maxLength });
  fc.assert(
    fc.property(of(['a', 'b', '*'], 9), of(['a', 'b'], 12), (pattern, text) => {
      expect(matchesPattern(pattern, text), `${pattern} on ${text}`).toBe(model(pattern, text));
    }),
    { numRuns: 5_000 },
  );
});

test.each([
  ['user:*:42', 'user:7:42', true],
  ['user:*:42', 'user::42', true],
  ['user:*:42', 'user:42', false],
  ['*', '', true],
  ['', '', true],
  ['', 'a', false],
  ['a*a', 'a', false],
  ['**', 'x', true],
  ['a.c', 'abc', false],
  ['[a-z]?', '[a-z]?', true],
  ['*é*', 'caf\u00e9s', true],
  ['*\u0000*', 'a\u0000b', true],
  ['docs/*/😀', 'docs/a/b/😀', true],
])('%j on %j: %s', (pattern, text, matches) => {
  expect(matchesPattern(pattern, text)).toBe(matches);
});

test('a part of a larger array is matched in place', () => {
  expect(new Pattern('b*d').matches(Buffer.from('abcde'), 1, 4)).toBe(true);
  expect(new Pattern('b*d').matches(Buffer.from('abcde'))).toBe(false);
});

test('the steps grow with the text, not with the text times the pattern', () => {
  let reads = 0;
  const counted = (length: number): Uint8Array =>
    new Proxy(new Uint8Array(length).fill(0x61), {
      get(target, key) {
        if (typeof key === 'string' && /^[0-9]+$/.test(key)) reads++;
        return Reflect.get(target, key, target);
      },
    });
  const length = 20_000;
  expect(new Pattern(`*${'a'.repeat(500)}b*${'a'.repeat(500)}b*`).matches(counted(length))).toBe(false);
  expect(reads).toBeLessThan(5 * length);
});
