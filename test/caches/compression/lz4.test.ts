/** LZ4 blocks: what is compressed comes back, and whatever a block holds, nothing else happens than it is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_BYTES_MAX, Lz4 } from '../../../src/caches/compression/lz4.js';
import { anyPayload, noise, resultOf } from './entry-record.js';
import { expandSlowly } from './lz4-reference.js';

const lz4 = new Lz4();
const compress = (bytes: Uint8Array, limit = BLOCK_BYTES_MAX) => lz4.compress(bytes, limit)?.slice();

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === undefined || other === undefined ? one === other : Buffer.compare(one, other) === 0;
}

describe('a block', () => {
  it('is what the format says it is, and comes back, whatever was compressed before it', () => {
    fc.assert(
      fc.property(anyPayload, payload => {
        const block = compress(payload);
        if (block === undefined) throw new Error('there was room for it');
        expect(isSame(expandSlowly(block, payload.length), payload)).toBe(true);
        expect(isSame(lz4.expand(block, payload.length), payload)).toBe(true);
        expect([lz4.expand(block, payload.length + 1), lz4.expand(block, payload.length - 1)]).toEqual([
          undefined,
          undefined,
        ]);
      }),
      { numRuns: 60 },
    );
  });

  it('is the same for the same bytes', () => {
    const first = compress(resultOf(10_000));
    compress(resultOf(20_000, 3));
    expect(isSame(compress(resultOf(10_000)), first)).toBe(true);
  });

  it('is smaller than a search result by half, and never larger than the limit', () => {
    const result = resultOf(16_384);
    const { length = 0 } = compress(result) ?? {};
    expect(length).toBeLessThan(8_192);
    expect(compress(result, length)?.length).toBe(length);
    for (let limit = 0; limit < length; limit += 97) expect(compress(result, limit)).toBeUndefined();
    const random = noise(4_096);
    expect(compress(random, 4_095)).toBeUndefined();
  });

  it('may be of the largest payload', () => {
    for (const bytes of [resultOf(BLOCK_BYTES_MAX), new Uint8Array(BLOCK_BYTES_MAX)]) {
      const block = compress(bytes) as Uint8Array;
      expect(isSame(lz4.expand(block, BLOCK_BYTES_MAX), bytes)).toBe(true);
      expect(lz4.expand(block, BLOCK_BYTES_MAX + 1)).toBeUndefined();
    }
    expect(() => lz4.compress(new Uint8Array(BLOCK_BYTES_MAX + 1), 9)).toThrow('room');
  });

  it('comes back also when places have begun anew, after 4 GiB', () => {
    const [large, result] = [new Uint8Array(BLOCK_BYTES_MAX), resultOf(30_000)];
    for (let calls = 0; calls < 4_200; calls++) {
      if (lz4.compress(large, BLOCK_BYTES_MAX) === undefined) throw new Error('there was room for it');
      if (calls % 7 !== 0) continue;
      const block = compress(result) as Uint8Array;
      if (!isSame(lz4.expand(block, result.length), result)) throw new Error(`call ${calls}`);
    }
  });
});

describe('what is no block', () => {
  /** Both ways say the same of it, and of a good block afterwards. */
  const judge = (bytes: Uint8Array, length: number) => {
    const expected = expandSlowly(bytes, length);
    if (!isSame(lz4.expand(bytes, length), expected))
      throw new Error(`differs: ${Buffer.from(bytes).toString('hex')}`);
    return expected;
  };

  it('is refused as the format has it, byte for byte, and never throws', () => {
    const good = resultOf(400);
    const block = compress(good) as Uint8Array;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.array(fc.tuple(fc.nat(block.length - 1), fc.nat(255)), { maxLength: 3 }),
        fc.nat({ max: 500 }),
        (garbage, changes, length) => {
          judge(garbage, length);
          const changed = block.slice();
          for (const [at, byte] of changes) changed[at] = byte;
          if (judge(changed, good.length) === undefined) refused++;
          judge(changed.subarray(0, length), good.length);
        },
      ),
      { numRuns: 2_000 },
    );
    expect(refused).toBeGreaterThan(100);
    expect(isSame(lz4.expand(block, good.length), good)).toBe(true);
  });

  it.each([
    ['empty', []],
    ['ends within a number', [0xf0, 255, 255]],
    ['ends within its literals', [0x50, 1, 2]],
    ['ends within a distance', [0x10, 1, 1]],
    ['matches before its beginning', [0x10, 1, 2, 0, 0]],
    ['matches at no distance', [0x10, 1, 0, 0, 0]],
    ['expands to far more than is expected', [0x1f, 1, 1, 0, ...new Array(4_000).fill(255), 9, 0]],
  ])('since it is %s', (_, bytes) => {
    expect(lz4.expand(Uint8Array.from(bytes), 9)).toBeUndefined();
  });
});
