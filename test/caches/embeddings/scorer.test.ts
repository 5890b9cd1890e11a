import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PACKINGS, type Packing, pack, packedBytes, unpack } from '../../../src/caches/embeddings/packing.js';
import { EmbeddingScorer, type ScoreRequest } from '../../../src/caches/embeddings/scorer.js';
import { type Match, METRICS, type Metric } from '../../../src/caches/embeddings/top-k.js';
import { DIMENSIONS_MAX } from '../../../src/caches/embeddings/wasm/places.js';
import { SEED, Seeded } from '../../base/seeded.js';
import { exactScore } from './exact-scores.js';
import { anyVector, normalVector } from './vectors.js';

const CHECK = { numRuns: 500, seed: SEED };
const scorer = new EmbeddingScorer();
const ways = PACKINGS.flatMap(packing => METRICS.map(metric => ({ packing, metric })));

/** What it makes of all of them; and how many have no score. */
function best(
  request: ScoreRequest,
  payloads: readonly Uint8Array[],
): { readonly matches: readonly Match[]; readonly malformed: number } {
  scorer.begin(request);
  const malformed = payloads.filter((payload, place) => !scorer.offer(payload, place)).length;
  return { matches: scorer.take(), malformed };
}

/** A copy that begins `offset` bytes behind an address that is a multiple of 16, with other bytes on both sides. */
function placed(payload: Uint8Array, offset: number): Uint8Array {
  const isShared = offset % 2 === 1;
  const memory = isShared ? new SharedArrayBuffer(payload.length + 48) : new ArrayBuffer(payload.length + 48);
  new Uint8Array(memory).fill(0xff);
  const view = new Uint8Array(memory, offset, payload.length);
  view.set(payload);
  return view;
}

/** Scores all, and compares each with the exact score of what its payload holds. */
function compare(
  packing: Packing,
  metric: Metric,
  query: Float32Array,
  vectors: readonly Float32Array[],
): void {
  const format = { packing, dimensions: query.length };
  const payloads = vectors.map((vector, n) => placed(pack(format, vector), n % 16));
  const { matches, malformed } = best({ format, metric, query, k: payloads.length }, payloads);
  expect(malformed).toBe(0);
  expect(matches.map(({ place }) => place).toSorted((a, b) => a - b)).toEqual([...payloads.keys()]);
  for (const { place, score } of matches) {
    const exact = exactScore(metric, query, unpack(format, payloads[place] ?? new Uint8Array()));
    expect(Math.abs(score - exact.score)).toBeLessThanOrEqual(exact.tolerance);
    if (metric === 'cosine') expect(Math.abs(score)).toBeLessThanOrEqual(1);
  }
}

describe.each(ways)('$metric of $packing', ({ packing, metric }) => {
  it('is that of whole numbers within the stated error, whatever the magnitudes', () => {
    const property = fc.property(
      fc.integer({ min: 1, max: 33 }).chain(dimensions =>
        fc.record({
          query: anyVector('float32', dimensions),
          vectors: fc.array(anyVector(packing, dimensions), { minLength: 1, maxLength: 20 }),
        }),
      ),
      ({ query, vectors }) => compare(packing, metric, query, vectors),
    );
    fc.assert(property, CHECK);
  });

  it.each([383, 384, 385, 1536, DIMENSIONS_MAX])('is so for ordinary vectors of %i', dimensions => {
    const random = new Seeded(SEED + dimensions);
    const vectors = Array.from({ length: 18 }, () => normalVector(random, dimensions));
    compare(packing, metric, normalVector(random, dimensions), vectors);
  });

  it('has a score for exactly the payloads that can be unpacked, and none is NaN', () => {
    const property = fc.property(
      fc.integer({ min: 1, max: 12 }).chain(dimensions => {
        const bytes = packedBytes({ packing, dimensions });
        // Bytes of numbers that are not finite, often.
        const byte = fc.oneof(fc.nat(255), fc.constantFrom(0x7c, 0x7f, 0x80, 0xff, 0xfc));
        const payload = fc.array(byte, { minLength: bytes - 1, maxLength: bytes + 1 });
        return fc.record({ query: anyVector('float32', dimensions), payload });
      }),
      ({ query, payload }) => {
        const format = { packing, dimensions: query.length };
        const payloads = [placed(Uint8Array.from(payload), payload[0]! % 16)];
        const { matches, malformed } = best({ format, metric, query, k: 1 }, payloads);
        expect(matches.length + malformed).toBe(1);
        expect(matches.length === 1).toBe(canBeUnpacked(format, payloads[0]!));
        for (const { score } of matches) expect(score).toSatisfy(Number.isFinite);
      },
    );
    fc.assert(property, { ...CHECK, numRuns: 3_000 });
  });
});

function canBeUnpacked(format: Parameters<typeof unpack>[0], payload: Uint8Array): boolean {
  try {
    unpack(format, payload);
    return true;
  } catch {
    return false;
  }
}

describe('a scorer', () => {
  const format = { packing: 'float32', dimensions: 2 } as const;
  const payloadsOf = (...vectors: readonly (readonly number[])[]) =>
    vectors.map(vector => pack(format, vector));

  it('takes the cosine with a vector of zeros for 0', () => {
    for (const packing of PACKINGS) {
      const request = { format: { packing, dimensions: 2 }, metric: 'cosine', k: 9 } as const;
      const payloads = [
        [0, 0],
        [-1, 0],
        [1, 0],
      ].map(vector => pack(request.format, vector));
      const scores = (query: readonly number[]) =>
        best({ ...request, query }, payloads).matches.map(({ place, score }) => [place, score + 0]);
      expect(scores([2, 0])).toEqual([
        [2, 1],
        [0, 0],
        [1, -1],
      ]);
      expect(scores([0, 0])).toEqual([
        [0, 0],
        [1, 0],
        [2, 0],
      ]);
    }
    const withoutScale = Uint8Array.of(0, 0, 0, 0, 5, 5);
    const request = {
      format: { packing: 'int8', dimensions: 2 },
      metric: 'cosine',
      query: [1, 1],
      k: 1,
    } as const;
    expect(best(request, [withoutScale]).matches).toEqual([{ place: 0, score: 0 }]);
  });

  it('has no cosine beyond 1, however sums are rounded', () => {
    const random = new Seeded(SEED);
    for (let round = 0; round < 200; round++) {
      const query = normalVector(random, 100);
      const payloads = [query, query.map(element => -element)].map(vector =>
        pack({ packing: 'float32', dimensions: 100 }, vector),
      );
      const request = {
        format: { packing: 'float32', dimensions: 100 },
        metric: 'cosine',
        query,
        k: 2,
      } as const;
      const { matches } = best(request, payloads);
      expect(matches.map(({ place }) => place)).toEqual([0, 1]);
      for (const { score } of matches) expect(Math.abs(score)).toBeLessThanOrEqual(1);
    }
  });

  it('gives the nearest first, of equal ones that which was named first', () => {
    const payloads = payloadsOf([0, 3], [30, 40], [3, 0], [1, 0]);
    const { matches } = best({ format, metric: 'l2', query: [0, 0], k: 3 }, payloads);
    expect(matches).toEqual([
      { place: 3, score: 1 },
      { place: 0, score: 3 },
      { place: 2, score: 3 },
    ]);
  });

  it('keeps what is far beyond float32, and what cancels out', () => {
    const largest = 3.4028234663852886e38;
    const payloads = payloadsOf([largest, largest], [largest, -largest]);
    const { matches } = best({ format, metric: 'dot', query: [largest, largest], k: 2 }, payloads);
    expect(matches.map(({ score }) => score)).toEqual([2 * largest * largest, 0]);
  });

  it('has no score for candidates that are malformed, and needs none', () => {
    const request = { format, metric: 'dot', query: [1, 1], k: 5 } as const;
    const infinite = Uint8Array.of(0, 0, 0x80, 0x7f, 0, 0, 0, 0);
    const payloads = [...payloadsOf([1, 2]), new Uint8Array(), new Uint8Array(9), infinite];
    expect(best(request, payloads)).toEqual({ matches: [{ place: 0, score: 3 }], malformed: 3 });
    expect(best(request, [])).toEqual({ matches: [], malformed: 0 });
  });

  it('refuses a query of other dimensions, or with an element that is not finite', () => {
    for (const query of [[1], [1, 2, 3], [Number.NaN, 1], [1, Infinity], [1e39, 1]]) {
      const ask = () => scorer.begin({ format, metric: 'dot', query, k: 1 });
      expect(ask).toThrow(expect.objectContaining({ code: 'invalid-vector' }));
    }
  });
});
