import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bestOf, type Match, METRICS, type Metric, TopK } from '../../../src/caches/embeddings/top-k.js';
import { SEED } from '../../base/seeded.js';

const CHECK = { numRuns: 2_000, seed: SEED };

/** Few different scores, so that there are ties. */
const offers = fc.array(
  fc.oneof(fc.constantFrom(-1, -0, 0, 1), fc.double({ noNaN: true, noDefaultInfinity: true })),
  { maxLength: 40 },
);

const matchesOf = (scores: readonly number[]): Match[] => scores.map((score, place) => ({ place, score }));

function sorted(metric: Metric, matches: readonly Match[]): Match[] {
  const sign = metric === 'l2' ? 1 : -1;
  return matches.toSorted((a, b) => {
    if (a.score !== b.score) return a.score < b.score ? -sign : sign;
    return a.place - b.place;
  });
}

it.each(METRICS)('gives the first k of all, sorted, by %s', metric => {
  // One for all, so that nothing of a question is left for the next.
  const top = new TopK();
  const property = fc.property(offers, fc.integer({ min: 1, max: 50 }), (scores, k) => {
    top.begin(metric, k);
    scores.forEach((score, place) => {
      top.offer(score, place);
    });
    expect(top.take()).toEqual(sorted(metric, matchesOf(scores)).slice(0, k));
    expect(top.take()).toEqual([]);
  });
  fc.assert(property, CHECK);
});

it.each(METRICS)('does not depend on the order, nor on how the candidates were divided, by %s', metric => {
  const heapOf = (k: number): TopK => {
    const top = new TopK();
    top.begin(metric, k);
    return top;
  };
  const property = fc.property(
    offers,
    fc.integer({ min: 1, max: 9 }),
    fc.infiniteStream(fc.nat(2)),
    (scores, k, lanes) => {
      const parts = [0, 1, 2].map(() => heapOf(k));
      for (const { score, place } of matchesOf(scores).toReversed())
        parts[lanes.next().value ?? 0]?.offer(score, place);
      const lists = parts.map(part => part.take());
      const wanted = sorted(metric, matchesOf(scores)).slice(0, k);
      expect(bestOf(metric, k, lists)).toEqual(wanted);
      expect(bestOf(metric, k, [wanted])).toEqual(wanted);
    },
  );
  fc.assert(property, CHECK);
});
