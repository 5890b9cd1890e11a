import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { guardTier } from '../../src/resolve/guard.js';
import { Housekeeping } from '../../src/resolve/housekeeping.js';
import { SingleFlight } from '../../src/resolve/single-flight.js';
import { ChaosTier } from '../tiers/chaos-tier.js';
import { tierSuite, write } from '../tiers/tier-suite.js';
import { MapTier } from './fixture.js';

tierSuite('a guarded map', async () => ({
  tier: guardTier(new MapTier(), { readTimeoutMs: 1_000, writeTimeoutMs: 1_000 }),
  close: async () => undefined,
}));

describe('a guarded tier', () => {
  it('fails a call that takes too long, and answers the next', async () => {
    const chaos = new ChaosTier(new MapTier());
    const tier = guardTier(chaos, { readTimeoutMs: 1, writeTimeoutMs: 2 });
    chaos.isHeld = true;
    const timedOut = { code: 'unavailable', message: expect.stringMatching(/within [12] ms/) };
    await expect(tier.getMany([storageKey(1, 'a')])).rejects.toMatchObject(timedOut);
    await expect(tier.putMany([write('a', 1)])).rejects.toMatchObject(timedOut);
    chaos.isHeld = false;
    chaos.release();
    expect(await tier.getMany([storageKey(1, 'a')])).toEqual([undefined]);
  });
});

describe('single flight', () => {
  it('forgets flights that are over, answered or failed', async () => {
    const flights = new SingleFlight<number>(2);
    let answer: (value: number) => void = () => undefined;
    let refuse: (error: Error) => void = () => undefined;
    const first = new Promise<number>(resolve => {
      answer = resolve;
    });
    const second = new Promise<number>((_, reject) => {
      refuse = reject;
    });
    flights.begin('a', first);
    flights.begin('b', second);
    expect([flights.join('a'), flights.join('b'), flights.join('c')]).toEqual([first, second, undefined]);
    expect(flights.hasRoom(1)).toBe(false);
    answer(1);
    refuse(new Error('no'));
    await Promise.allSettled([first, second]);
    expect([flights.size, flights.join('a')]).toEqual([0, undefined]);
    expect(flights.hasRoom(2)).toBe(true);
  });
});

describe('housekeeping', () => {
  it('erases dropped views first, then sweeps, and rests longer after a round', async () => {
    const left = new Map([[4, 2]]);
    const erased: number[] = [];
    const swept: number[] = [];
    const clock = new ManualClock(1_000);
    let fails = false;
    const errors: unknown[] = [];
    const housekeeping = new Housekeeping({
      cleaner: {
        async eraseStep(uid) {
          const steps = left.get(uid) ?? 0;
          left.set(uid, Math.max(0, steps - 1));
          return steps;
        },
        async sweepStep(nowMs) {
          if (fails) throw new Error('disk');
          swept.push(nowMs);
          return { removed: 0, wrapped: swept.length === 2 };
        },
      },
      catalog: {
        dropped: async () => (erased.length === 0 ? [4] : []),
        async erased(uid) {
          erased.push(uid);
        },
      },
      clock,
      rest: async () => undefined,
      onError: error => errors.push(error),
    });
    const rests = [];
    for (let step = 0; step < 5; step++) rests.push(await housekeeping.step());
    expect([erased, swept, rests]).toEqual([[4], [1_000, 1_000], [50, 50, 50, 50, 60_000]]);
    fails = true;
    expect(await housekeeping.step()).toBe(5_000);
    expect(errors.length).toBe(1);
  });
});
