import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FLOAT16_OVERFLOW, float16Bits, float16Value } from '../../../src/caches/embeddings/float16.js';
import { PACKINGS, pack, packedBytes, unpack } from '../../../src/caches/embeddings/packing.js';
import { SCALE_MAX } from '../../../src/caches/embeddings/wasm/places.js';
import { SEED, Seeded } from '../../base/seeded.js';
import { anyVector, LARGEST, normalVector } from './vectors.js';

const CHECK = { numRuns: 2_000, seed: SEED };
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const sized = (packing: (typeof PACKINGS)[number]) =>
  fc.integer({ min: 1, max: 24 }).chain(dimensions => anyVector(packing, dimensions));

describe('packing', () => {
  it('is little-endian, with the scale of int8 first', () => {
    const vector = [1, -2, 0.5, 0];
    const packed = (packing: (typeof PACKINGS)[number]) => hex(pack({ packing, dimensions: 4 }, vector));
    expect(packed('float32')).toBe('0000803f000000c00000003f00000000');
    expect(packed('float16')).toBe('003c00c000380000');
    // 2 / 127 is 0x3c810204 and a little; of 17 bits, 0x3c810280 is next. 1 is 63.496 of those, 0.5 is 31.7.
    expect(packed('int8')).toBe('8002813c3f812000');
  });

  it('has no sign of zero, also where a number is rounded to zero', () => {
    for (const packing of PACKINGS) {
      const format = { packing, dimensions: 3 };
      expect(hex(pack(format, [1, -0, 0]))).toBe(hex(pack(format, [1, 0, 0])));
    }
    expect(hex(pack({ packing: 'float16', dimensions: 1 }, [-(2 ** -26)]))).toBe('0000');
  });

  it.each(PACKINGS)('gives the same bytes again for what was unpacked of %s', packing => {
    fc.assert(
      fc.property(sized(packing), vector => {
        const format = { packing, dimensions: vector.length };
        const packed = pack(format, vector);
        expect(packed.length).toBe(packedBytes(format));
        expect(hex(pack(format, unpack(format, packed)))).toBe(hex(packed));
      }),
      CHECK,
    );
  });

  it('loses nothing as float32', () => {
    fc.assert(
      fc.property(sized('float32'), vector => {
        const format = { packing: 'float32', dimensions: vector.length } as const;
        const back = unpack(format, pack(format, vector));
        for (let n = 0; n < vector.length; n++) expect(back[n] === vector[n]).toBe(true);
      }),
      CHECK,
    );
  });

  it('rounds an element of float16 to 11 bits', () => {
    fc.assert(
      fc.property(sized('float16'), vector => {
        const format = { packing: 'float16', dimensions: vector.length } as const;
        const back = unpack(format, pack(format, vector));
        vector.forEach((element, n) => {
          const bound = Math.max(2 ** -11 * Math.abs(element), 2 ** -25);
          expect(Math.abs(element - (back[n] ?? 0))).toBeLessThanOrEqual(bound);
        });
      }),
      CHECK,
    );
  });

  it('moves an element of int8 by half the scale at most, which is little above m / 127', () => {
    fc.assert(
      fc.property(sized('int8'), vector => {
        const format = { packing: 'int8', dimensions: vector.length } as const;
        const packed = pack(format, vector);
        const scale = new DataView(packed.buffer).getFloat32(0, true);
        const largest = Math.max(...vector.map(Math.abs));
        expect(scale).toBeGreaterThanOrEqual(largest / 127);
        expect(scale).toBeLessThanOrEqual(Math.max(2 ** -126, (largest / 127) * (1 + 2 ** -16)));
        const back = unpack(format, packed);
        vector.forEach((element, n) => {
          // A quotient within a rounding of one half may go either way.
          expect(Math.abs(element - (back[n] ?? 0))).toBeLessThanOrEqual((scale / 2) * (1 + 2 ** -45));
        });
        const opposite = pack(
          format,
          vector.map(element => -element),
        );
        expect(unpack(format, opposite).map(element => -element + 0)).toEqual(
          back.map(element => element + 0),
        );
      }),
      CHECK,
    );
  });
});

describe('float16', () => {
  it('reads every finite pattern and writes it again', () => {
    for (let half = 0; half < 2 ** 16; half++) {
      const value = float16Value(half);
      if ((half & 0x7c00) === 0x7c00) expect(value).toBeNaN();
      // -0 is written as 0.
      else expect(float16Bits(value)).toBe(half === 0x8000 ? 0 : half);
    }
    expect([0x3c00, 0x0001, 0x7bff, 0xc000].map(float16Value)).toEqual([1, 2 ** -24, 65504, -2]);
  });

  it('rounds to the nearest, ties to even, between all neighbours', () => {
    const above = new Float32Array(1);
    const bits = new Int32Array(above.buffer);
    for (let half = 0; half < 0x7c00; half++) {
      const low = float16Value(half);
      const high = half === 0x7bff ? 65536 : float16Value(half + 1);
      const middle = (low + high) / 2;
      above[0] = middle;
      bits[0] = (bits[0] ?? 0) - 1;
      expect(float16Bits(above[0])).toBe(half);
      if (middle === FLOAT16_OVERFLOW) continue;
      expect(float16Bits(middle)).toBe(half + (half & 1));
      bits[0] += 2;
      expect(float16Bits(above[0])).toBe(half + 1);
      expect(float16Bits(-above[0])).toBe(0x8000 | (half + 1));
    }
  });
});

describe('what packing refuses', () => {
  const refused = (act: () => unknown) =>
    expect(act).toThrow(expect.objectContaining({ code: 'invalid-vector' }));

  it.each(PACKINGS)('vectors that %s cannot hold', packing => {
    const format = { packing, dimensions: 3 };
    for (const element of [Number.NaN, Infinity, -Infinity, 1e39, -1e39])
      refused(() => pack(format, [0, element, 0]));
    for (const vector of [[], [1, 2], [1, 2, 3, 4]]) refused(() => pack(format, vector));
    expect(pack(format, [0, LARGEST[packing], 0])).toHaveLength(packedBytes(format));
  });

  it('magnitudes above the largest', () => {
    refused(() => pack({ packing: 'float16', dimensions: 1 }, [-FLOAT16_OVERFLOW]));
    refused(() => pack({ packing: 'int8', dimensions: 1 }, [LARGEST.int8 * (1 + 2 ** -23)]));
  });

  it.each(PACKINGS)('bytes of another length than %s has', packing => {
    const format = { packing, dimensions: 5 };
    const bytes = packedBytes(format);
    for (const length of [0, bytes - 1, bytes + 1, 2 * bytes])
      refused(() => unpack(format, new Uint8Array(length)));
    expect(unpack(format, new Uint8Array(bytes))).toEqual(new Float32Array(5));
  });

  it('bytes with numbers that are not finite, and scales that may not be', () => {
    const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
    for (const text of ['0000807f', '000080ff', '0000c07f', '010080ff']) {
      refused(() => unpack({ packing: 'float32', dimensions: 1 }, bytesOf(text)));
      refused(() => unpack({ packing: 'int8', dimensions: 1 }, bytesOf(`${text}01`)));
    }
    for (const text of ['007c', '00fc', '017c', 'ffff']) {
      refused(() => unpack({ packing: 'float16', dimensions: 1 }, bytesOf(text)));
    }
    const scaled = (scale: number) => {
      const bytes = new Uint8Array(5);
      new DataView(bytes.buffer).setFloat32(0, scale, true);
      bytes[4] = 0x80;
      return unpack({ packing: 'int8', dimensions: 1 }, bytes);
    };
    refused(() => scaled(-1));
    refused(() => scaled(SCALE_MAX * (1 + 2 ** -23)));
    expect(scaled(SCALE_MAX)).toEqual(Float32Array.of(-128 * SCALE_MAX));
  });
});

describe('the loss of a dot product', () => {
  const DIMENSIONS = 384;
  const ROUNDS = 2_000;
  const elementsOf = {
    // Magnitudes even over the logarithm, as the figure stated for float16 presumes.
    float16: (random: Seeded) =>
      normalVector(random, DIMENSIONS).map(sign => Math.sign(sign) * 2 ** (random.below(2 ** 30) / 2 ** 28)),
    int8: (random: Seeded) => normalVector(random, DIMENSIONS),
  };

  it.each(['float16', 'int8'] as const)(
    'of %s is never above the worst, and typically what is stated',
    packing => {
      const random = new Seeded(SEED);
      const format = { packing, dimensions: DIMENSIONS };
      let squares = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const [query, vector] = [normalVector(random, DIMENSIONS), elementsOf[packing](random)];
        const packed = pack(format, vector);
        const back = unpack(format, packed);
        const scale = packing === 'int8' ? new DataView(packed.buffer).getFloat32(0, true) : 0;
        let [loss, worst, typical] = [0, 0, 0];
        query.forEach((q, n) => {
          const x = vector[n] ?? 0;
          loss += q * ((back[n] ?? 0) - x);
          worst += Math.abs(q) * (packing === 'int8' ? scale / 2 : 2 ** -11 * Math.abs(x) + 2 ** -25);
          typical += packing === 'int8' ? (q * scale) ** 2 / 12 : (q * x * 1.92e-4) ** 2;
        });
        expect(Math.abs(loss)).toBeLessThanOrEqual(worst);
        squares += loss ** 2 / typical;
      }
      // The deviation of this mean is 1 / √(2 × ROUNDS) = 1.6 %.
      expect(Math.sqrt(squares / ROUNDS)).toBeGreaterThan(0.95);
      expect(Math.sqrt(squares / ROUNDS)).toBeLessThan(1.05);
    },
  );

  it('of float16 and int8 is reached at worst, but for little', () => {
    // Elements half a step beyond what can be held: all errors have one sign.
    const half = Float32Array.from({ length: DIMENSIONS }, () => 1 + 2 ** -11);
    const format16 = { packing: 'float16', dimensions: DIMENSIONS } as const;
    const back16 = unpack(format16, pack(format16, half));
    const loss16 = half.reduce((sum, x, n) => sum + x - (back16[n] ?? 0), 0);
    expect(loss16 / (2 ** -11 * half.reduce((sum, x) => sum + x, 0))).toBeGreaterThan(0.99);

    const format8 = { packing: 'int8', dimensions: DIMENSIONS } as const;
    const steps = Float32Array.from({ length: DIMENSIONS }, (_, n) => (n === 0 ? 127 : 1.499));
    const back8 = unpack(format8, pack(format8, steps));
    const loss8 = steps.reduce((sum, x, n) => sum + x - (back8[n] ?? 0), 0);
    expect(loss8 / (0.5 * DIMENSIONS)).toBeGreaterThan(0.99);
  });
});
