/** Scores in whole numbers, for comparison: each float32 is a multiple of 2^-149, so all sums are exact until the last step. */
import type { Metric } from '../../../src/caches/embeddings/top-k.js';

const UNIT = 2 ** 149;
const UNIT_SQUARED = 2 ** 298;
const EPSILON = 2 ** -53;

export interface ExactScore {
  readonly score: number;
  /** How far from it a score may be, as `scorer.ts` states; and the few roundings of this one. */
  readonly tolerance: number;
}

/** Of two vectors of float32s. */
export function exactScore(metric: Metric, query: Float32Array, vector: Float32Array): ExactScore {
  const [q, x] = [units(query), units(vector)];
  if (metric === 'l2') {
    const differences = q.map((element, n) => element - (x[n] ?? 0n));
    const score = Math.sqrt(Number(dot(differences, differences))) / UNIT;
    return { score, tolerance: (query.length + 6 + 2) * EPSILON * score };
  }
  const product = Number(dot(q, x));
  if (metric === 'dot') {
    const magnitude = Number(dot(q.map(absolute), x.map(absolute))) / UNIT_SQUARED;
    return { score: product / UNIT_SQUARED, tolerance: (query.length + 2 + 1) * EPSILON * magnitude };
  }
  const [squaresOfQuery, squares] = [Number(dot(q, q)), Number(dot(x, x))];
  const isZero = squaresOfQuery === 0 || squares === 0;
  const score = isZero ? 0 : product / Math.sqrt(squaresOfQuery) / Math.sqrt(squares);
  return { score, tolerance: (2 * query.length + 8 + 6) * EPSILON };
}

const absolute = (n: bigint) => (n < 0n ? -n : n);

function units(vector: Float32Array): bigint[] {
  return Array.from(vector, element => BigInt(element * UNIT));
}

function dot(left: readonly bigint[], right: readonly bigint[]): bigint {
  return left.reduce((total, element, n) => total + element * (right[n] ?? 0n), 0n);
}
