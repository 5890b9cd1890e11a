/** What is fetched ahead: only what is likely, missing and within the rate; and nothing where it does not pay. */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { Prefetcher } from '../../src/caches/prefetcher.js';
import { SEED, Seeded } from '../base/seeded.js';

function open(rate = 10_000, ttlMs = 3_600_000) {
  const clock = new ManualClock();
  const held = new Set<string>();
  const fetched: string[] = [];
  const soon: (() => void)[] = [];
  const prefetcher = new Prefetcher({
    ...{ definition: { rate, keysMax: 4_096 }, ttlMs, clock, seed: 1 },
    isHeld: id => held.has(id),
    fetch: id => {
      fetched.push(id);
      held.add(id);
    },
    soon: run => soon.push(run),
  });
  /** Reads a key; what is missing is in memory then. */
  const read = (session: string, id: string) => {
    const hash = Number(id.slice(1)) * 0x9e3779b1;
    prefetcher.saw(session, hash | 1, id, held.has(id), clock.now());
    held.add(id);
    for (const run of soon.splice(0)) run();
    clock.advance(10);
  };
  return { clock, held, fetched, read, prefetcher, figures: () => prefetcher.figures() };
}

test('what followed twice is fetched when it is not in memory, once, and counts as used when it is read', () => {
  const { read, held, fetched, figures, clock } = open();
  for (const session of ['s1', 's2']) for (const id of ['k1', 'k2', 'k3']) read(session, id);
  expect(fetched).toEqual([]);
  held.delete('k2');
  clock.advance(1_000);
  read('s3', 'k1');
  read('s4', 'k1');
  expect(fetched).toEqual(['k2']);
  expect(figures()).toMatchObject({ isOn: true, prefetched: 1, used: 0, wasted: 0 });
  read('s3', 'k2');
  expect(figures()).toMatchObject({ keys: 3, prefetched: 1, used: 1, wasted: 0, late: 0 });
});

test('nothing is learned of who does not say which reads are one session', () => {
  const { read, held, fetched, figures } = open();
  for (const session of ['', 'x'.repeat(129)])
    for (let time = 0; time < 5; time++) {
      for (const id of ['k1', 'k2']) read(session, id);
      held.clear();
    }
  expect(fetched).toEqual([]);
  expect(figures()).toMatchObject({ keys: 0 });
});

test('what nobody reads in its time is wasted, and what comes before it is there is neither', () => {
  const { read, held, clock, figures, prefetcher } = open(10_000, 5_000);
  for (const session of ['s1', 's2']) for (const id of ['k1', 'k2']) read(session, id);
  held.delete('k2');
  read('s3', 'k1');
  clock.advance(5_000);
  read('s3', 'k2');
  expect(figures()).toMatchObject({ prefetched: 1, used: 0, wasted: 1 });
  clock.advance(1_000);
  held.delete('k2');
  read('s4', 'k1');
  prefetcher.saw('s4', (2 * 0x9e3779b1) | 1, 'k2', false, clock.now());
  expect(figures()).toMatchObject({ prefetched: 2, used: 0, wasted: 1, late: 1 });
});

test('no more is fetched in any second than the rate and what may be made up for', () => {
  const rate = 20;
  const { read, held, fetched, clock } = open(rate);
  const pairs = 500;
  for (const session of ['s1', 's2'])
    for (let pair = 0; pair < pairs; pair++)
      for (const id of [`k${2 * pair}`, `k${2 * pair + 1}`]) read(`${session}/${pair}`, id);
  held.clear();
  const began = clock.now();
  for (let pair = 0; pair < pairs; pair++) read(`s3/${pair}`, `k${2 * pair}`);
  const seconds = (clock.now() - began) / 1000;
  expect(fetched.length).toBeGreaterThan(0.8 * rate * seconds);
  expect(fetched.length).toBeLessThanOrEqual(rate * seconds + 2);
});

test('is off where it wastes more than it saves, fetches nothing then, and is on again when it would pay', () => {
  console.log(`prefetcher: seed ${SEED}`);
  const random = new Seeded(SEED);
  const { read, held, fetched, clock, figures } = open();
  const pairs = 400;
  let number = 0;
  /** Everybody has gone from the first of each pair to the second before; of 100 that come now, so many do. */
  const visits = (count: number, percent: number) => {
    for (let visit = 0; visit < count; visit++) {
      const pair = number++ % pairs;
      const session = `s${number}`;
      held.delete(`k${2 * pair + 1}`);
      read(session, `k${2 * pair}`);
      if (random.below(100) < percent) read(session, `k${2 * pair + 1}`);
      clock.advance(200);
    }
  };
  visits(3 * pairs, 100);
  const good = figures();
  expect(good).toMatchObject({ isOn: true, wasted: 0, late: 0, switchedOff: 0 });
  expect(good['used']).toBe(fetched.length);
  visits(2 * pairs, 20);
  const bad = figures();
  expect(bad).toMatchObject({ isOn: false, switchedOff: 1 });
  expect(Number(bad['wasted'])).toBeGreaterThan(30);
  // What it cost until it was noticed is bounded by the time it takes to know.
  expect(Number(bad['wasted'])).toBeLessThan(64 + 60_000 / 200);
  const before = fetched.length;
  visits(pairs, 20);
  expect([fetched.length, figures()]).toEqual([before, { ...bad, keys: figures()['keys'] }]);
  visits(3 * pairs, 100);
  expect(figures()).toMatchObject({ isOn: true, switchedOff: 1, wasted: bad['wasted'] });
  expect(fetched.length).toBeGreaterThan(before + pairs);
});

test('does not go to and fro at the border', () => {
  const random = new Seeded(SEED);
  const { read, held, clock, figures } = open();
  for (let visit = 0; visit < 20_000; visit++) {
    const session = `s${visit}`;
    const pair = visit % 400;
    held.delete(`k${2 * pair + 1}`);
    read(session, `k${2 * pair}`);
    if (visit < 1_200 || random.below(100) < 45) read(session, `k${2 * pair + 1}`);
    clock.advance(200);
  }
  expect(Number(figures()['switchedOff'])).toBeLessThanOrEqual(3);
});
