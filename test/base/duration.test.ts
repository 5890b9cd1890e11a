import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatBytes, parseBytes } from '../../src/base/bytes.js';
import { DURATION_MS_MAX, formatDuration, parseDuration } from '../../src/base/duration.js';

test.each([
  ['0ms', 0],
  ['250ms', 250],
  ['30s', 30_000],
  ['15m', 900_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['3650d', DURATION_MS_MAX],
])('%s is %d ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(['', '1', 's', '1.5h', '-1s', '1 s', '1S', '1h30m', '٣s', '1e3s', ' 1s', '1s\n', '9'.repeat(400)])(
  'the duration %j is refused',
  text => {
    expect(parseDuration(text)).toMatch(/^must be a whole number with a unit/);
  },
);

test('bounds are inclusive and named', () => {
  expect(parseDuration('1ms', 1)).toBe(1);
  expect(parseDuration('0ms', 1)).toBe('must be between 1ms and 3650d');
  expect(parseDuration('3650d')).toBe(DURATION_MS_MAX);
  expect(parseDuration(`${DURATION_MS_MAX + 1}ms`)).toBe('must be between 0ms and 3650d');
  expect(parseDuration('61s', 0, 60_000)).toBe('must be between 0ms and 1m');
});

test('what is formatted is read back', () => {
  fc.assert(fc.property(fc.nat(DURATION_MS_MAX), ms => parseDuration(formatDuration(ms)) === ms));
  fc.assert(fc.property(fc.maxSafeNat(), bytes => parseBytes(formatBytes(bytes)) === bytes));
  expect([86_400_000, 90_000, 1001, 0].map(formatDuration)).toEqual(['1d', '90s', '1001ms', '0ms']);
  expect([2 ** 26, 1000, 0].map(formatBytes)).toEqual(['64MiB', '1000B', '0B']);
});

test('sizes have binary units or none', () => {
  expect(['64MiB', '512KiB', '1GiB', '2TiB', '10B', '10'].map(text => parseBytes(text))).toEqual([
    2 ** 26,
    2 ** 19,
    2 ** 30,
    2 ** 41,
    10,
    10,
  ]);
  for (const text of ['64MB', '1.5GiB', '-1', '', 'MiB', '1 GiB', '1e3']) {
    expect(parseBytes(text)).toMatch(/^must be a whole number of bytes/);
  }
  expect(parseBytes('1KiB', 2048, 4096)).toBe('must be between 2KiB and 4KiB');
  expect(parseBytes('999999999999999TiB')).toMatch(/^must be between 0B and/);
});
