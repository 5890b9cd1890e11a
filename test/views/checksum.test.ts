import { xxh32 } from '@node-rs/xxhash';
import { expect, test } from 'vitest';
import { checksum } from '../../src/views/checksum.js';
import { SEED, seededWords } from './arbitrary-records.js';

const words = seededWords(SEED);
const bytes = Uint8Array.from({ length: 5000 }, () => words() & 0xff);

test(`is XXH32 with seed 0, for every length and alignment (seed ${SEED})`, () => {
  for (let length = 0; length < 300; length++) {
    for (const start of [0, 1, 2, 3, 4, 7]) {
      const expected = xxh32(bytes.subarray(start, start + length), 0);
      expect(checksum(bytes, start, start + length)).toBe(expected);
      expect(checksum(bytes.subarray(start), 0, length)).toBe(expected);
    }
  }
  expect(checksum(bytes, 0, 5000)).toBe(xxh32(bytes, 0));
});

test('has the published value of the empty input', () => {
  expect(checksum(new Uint8Array(0), 0, 0)).toBe(0x02cc5d05);
});

test('reads shared memory', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(64));
  shared.set(bytes.subarray(0, 64));
  expect(checksum(shared, 0, 64)).toBe(xxh32(bytes.subarray(0, 64), 0));
});
