/** Counts of invalidations: by name and cause, and no more names than there may be. */
import { expect, test } from 'vitest';
import { InvalidationCounts } from '../../src/observe/invalidation-counts.js';

test('are by name and cause', () => {
  const counts = new InvalidationCounts(() => true);
  counts.add('a', undefined, 2);
  counts.add('a', 'changed', 1);
  counts.add('a', 'changed', 3);
  counts.add('b', '__proto__', 1);
  expect(counts.of('a')).toEqual({ api: 2, events: { changed: 4 } });
  expect(JSON.stringify(counts.of('b'))).toBe('{"api":0,"events":{"__proto__":1}}');
  expect(counts.of('c')).toBeUndefined();
});

test('of what is not there any more are forgotten in time', () => {
  const counts = new InvalidationCounts(name => name === 'n0' || name === 'n1025');
  for (let n = 0; n <= 1_025; n++) counts.add(`n${n}`, undefined, 1);
  const held = Array.from({ length: 1_026 }, (_, n) => n).filter(n => counts.of(`n${n}`) !== undefined);
  expect(held).toEqual([0, 1_024, 1_025]);
});
