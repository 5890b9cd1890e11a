/** Vectors for tests: any that a packing takes, with every magnitude down to subnormals; and ordinary ones, seeded. */
import fc from 'fast-check';
import type { Packing } from '../../../src/caches/embeddings/packing.js';
import { SCALE_MAX } from '../../../src/caches/embeddings/wasm/places.js';
import type { Seeded } from '../../base/seeded.js';

/** The largest magnitude that a packing takes. */
export const LARGEST: Readonly<Record<Packing, number>> = {
  float32: (2 - 2 ** -23) * 2 ** 127,
  float16: 65519.99609375,
  int8: 127 * SCALE_MAX,
};

export function anyVector(packing: Packing, dimensions: number): fc.Arbitrary<Float32Array> {
  const largest = LARGEST[packing];
  const element = fc.oneof(
    fc.float({ noNaN: true, min: -largest, max: largest }),
    fc.float({ noNaN: true, min: -1, max: 1 }),
    fc.float({ noNaN: true, min: -(2 ** -120), max: 2 ** -120 }),
    fc.constantFrom(0, -0, largest, -largest, 2 ** -149, -(2 ** -149), 2 ** -126, 2 ** -24, 2 ** -25),
  );
  return fc
    .array(element, { minLength: dimensions, maxLength: dimensions })
    .map(all => Float32Array.from(all));
}

/** Elements as of a normal distribution of deviation 1: the sum of twelve even ones. */
export function normalVector(random: Seeded, dimensions: number): Float32Array {
  return Float32Array.from({ length: dimensions }, () => {
    let sum = -6;
    for (let n = 0; n < 12; n++) sum += random.below(2 ** 30) / 2 ** 30;
    return sum;
  });
}
