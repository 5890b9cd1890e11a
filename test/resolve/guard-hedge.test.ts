import { describe, expect, it } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { storageKey } from '../../src/base/keys.js';
import type { Tier } from '../../src/base/tier.js';
import type { GuardOptions } from '../../src/resolve/guard.js';
import { HEDGE_DEFAULTS, Hedge } from '../../src/resolve/guard-hedge.js';
import { SEED, Seeded } from '../base/seeded.js';
import { MapTier } from './fixture.js';
import { fakeTime } from './guard-fixture.js';

const KEY = storageKey(1, 'a');
const { pass, watch, guarded } = fakeTime();

describe('hedged reads', () => {
  /** A tier that answers after so many milliseconds, by question. */
  function slowTier(delays: (question: number) => number) {
    const tier = new MapTier();
    let asked = 0;
    const slow: Tier = {
      name: 'redis',
      getMany: keys => {
        const values = tier.getMany(keys);
        const ms = delays(asked++);
        if (ms < 0) return Promise.reject(new HeadraceError('unavailable', 'cut off'));
        return new Promise(resolve => setTimeout(resolve, ms, values));
      },
      putMany: writes => tier.putMany(writes),
      deleteMany: keys => tier.deleteMany(keys),
      close: () => tier.close(),
    };
    return { slow, asked: () => asked };
  }

  /** Answered in 2 ms until it is known, and there is something in the account. */
  async function learned(delays: (question: number) => number, options: Partial<GuardOptions> = {}) {
    const FIRST = 800;
    const { slow, asked } = slowTier(question => (question < FIRST ? 2 : delays(question - FIRST)));
    const tier = guarded(slow, { hedge: HEDGE_DEFAULTS, ...options });
    for (let n = 0; n < FIRST; n++) {
      tier.getMany([KEY]);
      if (n % 50 === 49) await pass(3);
    }
    await pass(3);
    return { tier, asked: () => asked() - FIRST };
  }

  it('ask a second time after the usual latency, and take the first answer', async () => {
    const { tier, asked } = await learned(question => (question === 0 ? 40 : 1));
    const read = watch(tier.getMany([KEY]));
    await pass(10);
    expect(read).toMatchObject({ value: [undefined] });
    expect(read.at).toBeLessThan(8);
    expect([asked(), tier.hedges]).toEqual([2, 1]);
    await pass(40);
    expect([tier.failures, tier.timeouts]).toEqual([0, 0]);
  });

  it('take the first answer also when the second question fails, and fail when both do', async () => {
    const { tier } = await learned(question => [20, -1, -1][question] ?? -1);
    const read = watch(tier.getMany([KEY]));
    await pass(21);
    expect(read).toMatchObject({ at: 20, value: [undefined] });
    const failed = watch(tier.getMany([KEY]));
    await pass(1);
    expect(failed).toMatchObject({ at: 0, error: { code: 'unavailable' } });
    expect([tier.hedges, tier.failures]).toEqual([1, 1]);
  });

  it('are few, however slow the tier becomes', async () => {
    const { tier, asked } = await learned(() => 45);
    for (let n = 0; n < 400; n++) {
      tier.getMany([KEY]);
      await pass(1);
    }
    await pass(50);
    // 5 in 100 of all, 800 before among them, of which the account keeps 10.
    expect(tier.hedges).toBeGreaterThan(0);
    expect(tier.hedges).toBeLessThanOrEqual(10 + 400 * 0.05);
    expect(asked()).toBe(400 + tier.hedges);
  });

  it('follow the 95th percentile', () => {
    const random = new Seeded(SEED);
    for (const scale of [20, 3, 200]) {
      const hedge = new Hedge({ percentMax: 100 }, 1_000);
      let above = 0;
      for (let n = 0; n < 20_000; n++) {
        // Exponential, as queues are.
        const latencyMs = -Math.log(1 - random.below(1e6) / 1e6) * scale;
        if (n >= 4_000 && latencyMs > hedge.delayMs) above++;
        hedge.observe(latencyMs);
      }
      expect(above / 16_000, `scale ${scale}, seed ${SEED}`).toBeGreaterThan(0.02);
      expect(above / 16_000, `scale ${scale}, seed ${SEED}`).toBeLessThan(0.08);
    }
  });
});
