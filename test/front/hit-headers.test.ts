/** The headers of hits: bytes and pairs say the same, whatever was asked for before. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HitHeaders } from '../../src/front/hit-headers.js';
import { SEED } from '../base/seeded.js';

const SECONDS = fc.oneof(
  fc.integer({ min: -2, max: 100_000 }),
  fc.integer({ min: 0, max: 12 }).map(digits => 10 ** digits),
  fc.integer({ min: 0, max: 12 }).map(digits => 10 ** digits - 1),
  fc.maxSafeNat(),
);

it('say of each hit how long it is fresh', () => {
  fc.assert(
    fc.property(fc.array(SECONDS, { minLength: 1, maxLength: 20 }), all => {
      const headers = new HitHeaders('a/b');
      for (const seconds of all) {
        const status = `headrace; hit; ttl=${seconds}; detail=L1`;
        const text = Buffer.from(headers.of(seconds).bytes).toString('latin1');
        expect(text).toBe(`a/b\r\ncache-status: ${status}`);
        expect(headers.pairs).toEqual(['content-type', 'a/b', 'cache-status', status]);
      }
    }),
    { seed: SEED },
  );
});

it('are written into the same bytes again and again', () => {
  const headers = new HitHeaders('a/b');
  const { bytes } = headers.of(71);
  expect(headers.of(99).bytes).toBe(bytes);
  expect(headers.of(5).of(10).bytes).toBe(bytes);
});
