/** Random numbers, Zipf ranks, records and queries against theory and against themselves. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { queryKey, readQueries, typed } from '../../native-free-bench/data/queries.js';
import { Random } from '../../native-free-bench/data/random.js';
import { RecordMaker } from '../../native-free-bench/data/records.js';
import { Zipf } from '../../native-free-bench/data/zipf.js';

const SEED = 20_251_120;

test('the same seed gives the same numbers, another seed or stream others', () => {
  const draw = (seed: number, stream?: string) => {
    const random = new Random(seed, stream);
    return Array.from({ length: 20 }, () => random.next());
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1, 'a')).toEqual(draw(1, 'a'));
  expect(draw(1)).not.toEqual(draw(2));
  expect(draw(1, 'a')).not.toEqual(draw(1, 'b'));
  expect(draw(1)).not.toEqual(draw(1 + 2 ** 32));
});

test('numbers are even over their range', () => {
  const random = new Random(SEED);
  const counts = new Array<number>(100).fill(0);
  for (let i = 0; i < 1_000_000; i++) {
    const bin = random.below(100);
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  // Chi-squared with 99 degrees of freedom: over 160 less than once in ten thousand times.
  const chiSquared = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  expect(chiSquared, `seed ${SEED}`).toBeLessThan(160);
});

test('a permutation has every number once', () => {
  const order = new Random(SEED).permutation(10_000);
  expect(new Set(order).size).toBe(10_000);
  expect([...order]).not.toEqual([...order].toSorted((a, b) => a - b));
});

test.each([
  { count: 1, exponent: 0.99 },
  { count: 1_000, exponent: 0.99 },
  { count: 50_000, exponent: 0.99 },
  { count: 1_000, exponent: 1.5 },
])('Zipf $exponent over $count ranks has the frequencies of theory', ({ count, exponent }) => {
  const draws = 400_000;
  const zipf = new Zipf(count, exponent, new Random(SEED, 'zipf'));
  const seen = new Uint32Array(count);
  for (let i = 0; i < draws; i++) {
    const rank = zipf.next();
    seen[rank] = (seen[rank] ?? 0) + 1;
  }
  // A rank out of range would be lost here.
  expect(seen.reduce((sum, times) => sum + times, 0)).toBe(draws);

  let harmonic = 0;
  for (let rank = 1; rank <= count; rank++) harmonic += rank ** -exponent;
  let cumulative = 0;
  let cumulativeSeen = 0;
  let worst = 0;
  for (let rank = 0; rank < count; rank++) {
    cumulative += (rank + 1) ** -exponent / harmonic;
    cumulativeSeen += seen[rank] ?? 0;
    const deviation = Math.sqrt((cumulative * Math.max(0, 1 - cumulative)) / draws) + 1e-9;
    worst = Math.max(worst, Math.abs(cumulativeSeen / draws - cumulative) / deviation);
  }
  expect(worst, `standard deviations of a binomial, seed ${SEED}`).toBeLessThan(5);
  for (const rank of [0, 1, count - 1].filter(each => each < count)) {
    expect(zipf.probability(rank)).toBeCloseTo((rank + 1) ** -exponent / harmonic, 12);
  }
});

test('a million Zipf ranks are drawn within bounds', () => {
  const zipf = new Zipf(1_000_000, 0.99, new Random(SEED));
  let highest = 0;
  for (let i = 0; i < 100_000; i++) highest = Math.max(highest, zipf.next());
  expect(highest).toBeLessThan(1_000_000);
  expect(highest).toBeGreaterThan(900_000);
});

test('the length of NDJSON is known before it is made', () => {
  const maker = new RecordMaker(20, SEED);
  for (const [from, to] of [
    [0, 0],
    [0, 1],
    [0, 1_234],
    [95, 105],
    [99_990, 100_010],
  ] as const) {
    let text = '';
    for (let document = from; document < to; document++) text += maker.ndjsonLine(document);
    expect(maker.ndjsonBytes(from, to)).toBe(Buffer.byteLength(text));
  }
});

test('records are JSON with every feature, the same for the same seed', () => {
  const maker = new RecordMaker(50, SEED);
  const line: unknown = JSON.parse(maker.ndjsonLine(7));
  expect(line).toMatchObject({ id: 'doc-7', features: { f0: expect.any(Number), f49: expect.any(Number) } });
  expect(new RecordMaker(50, SEED).ndjsonLine(7)).toBe(maker.ndjsonLine(7));
  expect(new RecordMaker(50, SEED + 1).ndjsonLine(7)).not.toBe(maker.ndjsonLine(7));
  expect(JSON.parse(maker.recordBody(7, 1))).not.toEqual(JSON.parse(maker.recordBody(7, 2)));
});

test('queries are the names of the packages that ship, and one however they are typed', () => {
  const queries = readQueries();
  expect(queries).toHaveLength(5_000);
  expect(new Set(queries.map(queryKey)).size).toBe(5_000);
  const random = new Random(SEED);
  const texts = new Set(Array.from({ length: 1_000 }, () => typed('libssl3', random)));
  expect(texts.size).toBe(5);
  expect(new Set([...texts].map(queryKey)).size).toBe(1);
});

test.each([
  ['/nonexistent', /cannot be read/],
  [fileURLToPath(import.meta.url), /cannot be read/],
])('queries of %s are told to be none', (file, message) => {
  expect(() => readQueries(file)).toThrow(message);
});
