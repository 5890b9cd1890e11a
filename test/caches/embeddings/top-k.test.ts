import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Match, METRICS, type Metric, TopK } from '../../../src/caches/embeddings/top-k.js';
import { SEED } from '../../base/seeded.js';

const CHECK = { numRuns: 2_000, seed: SEED };

/** Few different scores and keys, so that there are ties of both. */
const offers = fc.array(
  fc.record({
    score: fc.oneof(fc.constantFrom(-1, -0, 0, 1), fc.double({ noNaN: true, noDefaultInfinity: true })),
    key: fc.constantFrom('a', 'b', 'ab', 'é', '\u{ff5e}', '\u{1f600}'),
  }),
  { maxLength: 40 },
);

function sorted(metric: Metric, matches: readonly Match[]): Match[] {
  const sign = metric === 'l2' ? 1 : -1;
  return matches.toSorted((a, b) => {
    if (a.score !== b.score) return a.score < b.score ? -sign : sign;
    if (a.key !== b.key) return a.key < b.key ? -1 : 1;
    return a.index - b.index;
  });
}

it.each(METRICS)('gives the first k of all, sorted, by %s', metric => {
  // One for all, so that nothing of a question is left for the next.
  const top = new TopK();
  const property = fc.property(offers, fc.integer({ min: 1, max: 50 }), (all, k) => {
    const matches = all.map((offer, index) => ({ ...offer, index }));
    top.begin(metric, k);
    for (const { score, key, index } of matches) top.offer(score, key, index);
    expect(top.take()).toEqual(sorted(metric, matches).slice(0, k));
    expect(top.take()).toEqual([]);
  });
  fc.assert(property, CHECK);
});

function heapOf(k: number): TopK {
  const top = new TopK();
  top.begin('dot', k);
  return top;
}

it('does not depend on the order, nor on how the candidates were divided', () => {
  const property = fc.property(
    offers,
    fc.integer({ min: 1, max: 9 }),
    fc.infiniteStream(fc.nat(2)),
    (all, k, lanes) => {
      const matches = all.map((offer, index) => ({ ...offer, index }));
      const whole = heapOf(k);
      for (const { score, key, index } of matches) whole.offer(score, key, index);
      const parts = [0, 1, 2].map(() => heapOf(k));
      for (const { score, key, index } of matches.toReversed()) {
        parts[lanes.next().value ?? 0]?.offer(score, key, index);
      }
      const merged = heapOf(k);
      for (const { score, key, index } of parts.flatMap(part => part.take())) merged.offer(score, key, index);
      expect(merged.take()).toEqual(whole.take());
    },
  );
  fc.assert(property, CHECK);
});
