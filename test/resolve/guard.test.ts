import { describe, expect, it, vi } from 'vitest';
import { ManualClock, type Version } from '../../src/base/clock.js';
import { HeadraceError } from '../../src/base/errors.js';
import { storageKey } from '../../src/base/keys.js';
import { TierRefusal, type TierWrite } from '../../src/base/tier.js';
import { Breaker, breakerMemory } from '../../src/resolve/breaker.js';
import { guardTier, RETRY_DEFAULTS } from '../../src/resolve/guard.js';
import { HEDGE_DEFAULTS } from '../../src/resolve/guard-hedge.js';
import { ChaosTier } from '../tiers/chaos-tier.js';
import { tierSuite, write } from '../tiers/tier-suite.js';
import { laneOver, MapTier } from './fixture.js';
import { fakeTime } from './guard-fixture.js';

const KEY = storageKey(1, 'a');

tierSuite('a map guarded with everything', async () => {
  const breaker = new Breaker({
    tier: 'lmdb',
    memory: breakerMemory(1),
    index: 0,
    clock: new ManualClock(),
  });
  const options = { readTimeoutMs: 1_000, writeTimeoutMs: 1_000, retry: RETRY_DEFAULTS, breaker };
  return {
    tier: guardTier(new ChaosTier(new MapTier()), { ...options, hedge: HEDGE_DEFAULTS }),
    close: async () => undefined,
  };
});

const { clock, pass, watch, guarded } = fakeTime();

function breakerOf(options = {}) {
  const changes: string[] = [];
  const breaker = new Breaker({
    tier: 'lmdb',
    memory: breakerMemory(1),
    index: 0,
    clock,
    options,
    onChange: ({ to }) => changes.push(to),
  });
  return { breaker, changes };
}

describe('timeouts', () => {
  it('fail an attempt that takes too long, reads and writes apart', async () => {
    const chaos = new ChaosTier(new MapTier());
    const tier = guarded(chaos);
    chaos.isHeld = true;
    const read = watch(tier.getMany([KEY]));
    const put = watch(tier.putMany([write('a', 1)]));
    await pass(80);
    expect(read).toMatchObject({ at: 50, error: { code: 'unavailable' } });
    expect(put).toMatchObject({
      at: 80,
      error: { code: 'unavailable', message: expect.stringMatching(/yet/) },
    });
    expect([tier.timeouts, tier.failures, chaos.reads, chaos.writes]).toEqual([2, 2, 1, 1]);
    chaos.release();
    await pass(1);
  });

  it('end at the deadline for the caller, and not before the timeout for the breaker', async () => {
    const chaos = new ChaosTier(new MapTier());
    const { breaker, changes } = breakerOf({ failuresMax: 1 });
    const tier = guarded(chaos, { breaker });
    chaos.isHeld = true;
    const read = watch(tier.getMany([KEY], clock.now() + 20));
    await pass(20);
    expect(read).toMatchObject({ at: 20, error: { code: 'deadline' } });
    expect([breaker.state, tier.failures]).toEqual(['closed', 0]);
    await pass(30);
    expect([changes, tier.failures]).toEqual([['open'], 1]);
    chaos.release();
    await pass(1);
    expect(breaker.state).toBe('open');
  });

  it('do not ask a tier for somebody who waits no more', () => {
    const map = new MapTier();
    const tier = guarded(map);
    expect(() => tier.getMany([KEY], clock.now())).toThrow(expect.objectContaining({ code: 'deadline' }));
    expect(map.asked).toBe(0);
  });
});

describe('what answers at once', () => {
  it('is passed through, with no promise and no timer, and counts for the breaker', () => {
    const map = new MapTier();
    const { breaker } = breakerOf();
    const tier = guarded(map, { breaker, retry: RETRY_DEFAULTS, hedge: HEDGE_DEFAULTS });
    breaker.fail(breaker.admit());
    const answer: (Uint8Array | undefined)[] = [undefined];
    map.getMany = () => answer;
    expect(tier.getMany([KEY])).toBe(answer);
    expect(vi.getTimerCount()).toBe(0);
    const failure = new Error('a disk that cannot be read');
    map.getMany = () => {
      throw failure;
    };
    for (let n = 0; n < 5; n++) expect(() => tier.getMany([KEY])).toThrow(failure);
    expect([breaker.state, tier.failures]).toEqual(['open', 5]);
  });
});

describe('retries', () => {
  it('come after pauses that double, drawn between none and all', async () => {
    const chaos = new ChaosTier(new MapTier());
    const tier = guarded(chaos, { retry: RETRY_DEFAULTS });
    chaos.failReads = true;
    const read = watch(tier.getMany([KEY]));
    const seen: number[] = [];
    for (let ms = 0; ms <= 360; ms++) {
      if (chaos.reads > seen.length) seen.push(ms);
      await pass(1);
    }
    // Half of 100, 200 and 400 ms.
    expect(seen).toEqual([0, 50, 150, 350]);
    expect(read).toMatchObject({ error: { code: 'unavailable' } });
    expect([tier.retries, tier.failures]).toEqual([3, 4]);
  });

  it('answer with the first success', async () => {
    const map = new MapTier();
    await map.putMany([write('a', 3)]);
    const chaos = new ChaosTier(map);
    const tier = guarded(chaos, { retry: RETRY_DEFAULTS });
    chaos.failReads = true;
    const read = watch(tier.getMany([storageKey(7, 'a')]));
    await pass(49);
    chaos.failReads = false;
    await pass(1);
    expect(read).toMatchObject({ at: 50, value: [write('a', 3).value] });
  });

  it('are not begun when the longest pause would end beyond the deadline', async () => {
    const chaos = new ChaosTier(new MapTier());
    const tier = guarded(chaos, { retry: RETRY_DEFAULTS });
    chaos.failReads = true;
    const short = watch(tier.getMany([KEY], clock.now() + 100));
    await pass(1);
    expect([short.at, chaos.reads]).toEqual([0, 1]);
    const longer = watch(tier.getMany([KEY], clock.now() + 250));
    await pass(200);
    // 50 ms are drawn, then 200 more could be.
    expect([longer.at, chaos.reads]).toEqual([50, 1 + 2]);
  });

  it.each([
    ['that is refused', new TierRefusal('out of memory')],
    ['that names a full disk', new HeadraceError('disk-full', 'full')],
    ['of another kind', new TypeError('a bug')],
  ])('are not for a failure %s', async (_, failure) => {
    const chaos = new ChaosTier(new MapTier());
    const tier = guarded(chaos, { retry: { ...RETRY_DEFAULTS, writes: true } });
    let asked = 0;
    chaos.putMany = async () => {
      asked++;
      throw failure;
    };
    await expect(tier.putMany([write('a', 1)])).rejects.toBe(failure);
    expect(asked).toBe(1);
  });

  it('are for writes only when asked for', async () => {
    const chaos = new ChaosTier(new MapTier());
    chaos.failWrites = true;
    await expect(guarded(chaos, { retry: RETRY_DEFAULTS }).putMany([write('a', 1)])).rejects.toBeDefined();
    expect(chaos.writes).toBe(1);
    const tier = guarded(chaos, { retry: { ...RETRY_DEFAULTS, writes: true } });
    const put = watch(tier.putMany([write('a', 1)]));
    await pass(1);
    chaos.failWrites = false;
    await pass(50);
    expect(put).toMatchObject({ value: [null] });
    expect(chaos.writes).toBe(3);
  });

  it('say what an attempt that seemed to fail has applied', async () => {
    const map = new MapTier();
    const chaos = new ChaosTier(map);
    const tier = guarded(chaos, { retry: { ...RETRY_DEFAULTS, writes: true } });
    chaos.isHeld = true;
    const put = watch(tier.putMany([write('a', 5)]));
    await pass(50);
    chaos.release();
    await pass(10);
    chaos.putMany = async (writes: readonly TierWrite[]) => {
      if (chaos.writes++ < 2) throw new HeadraceError('unavailable', 'cut off');
      return map.putMany(writes);
    };
    const cut = watch(tier.putMany([write('b', 6)]));
    map.putMany([write('b', 6)]);
    await pass(60);
    expect([put.value, cut.value]).toEqual([[null], [6 as Version]]);
  });
});

describe('the breaker of a guarded tier', () => {
  it('counts attempts, and ends the retries of a call when it opens', async () => {
    const chaos = new ChaosTier(new MapTier());
    const { breaker, changes } = breakerOf({ failuresMax: 2 });
    const tier = guarded(chaos, { breaker, retry: RETRY_DEFAULTS });
    chaos.failReads = true;
    const read = watch(tier.getMany([KEY]));
    await pass(151);
    expect(read).toMatchObject({
      at: 150,
      error: { code: 'unavailable', message: expect.stringMatching(/open/) },
    });
    expect([chaos.reads, changes]).toEqual([2, ['open']]);
  });

  it('keeps calls from the tier while it is open, at the cost of nothing', async () => {
    const chaos = new ChaosTier(new MapTier());
    const { breaker } = breakerOf({ failuresMax: 1 });
    const tier = guarded(chaos, {
      breaker,
      retry: { ...RETRY_DEFAULTS, writes: true },
      hedge: HEDGE_DEFAULTS,
    });
    breaker.fail(breaker.admit());
    const thrown = new Set<unknown>();
    for (let n = 0; n < 3; n++) {
      try {
        tier.getMany([KEY]);
      } catch (error) {
        thrown.add(error);
      }
    }
    expect([...thrown]).toMatchObject([{ code: 'unavailable' }]);
    expect(vi.getTimerCount()).toBe(0);
    await expect(tier.putMany([write('a', 1)])).rejects.toMatchObject({ code: 'unavailable' });
    await expect(tier.deleteMany([KEY])).rejects.toMatchObject({ code: 'unavailable' });
    expect([chaos.reads, chaos.writes, tier.refused, tier.failures]).toEqual([0, 0, 5, 0]);
  });

  it('leaves a chain to the tiers below, which answers at once if they do', async () => {
    const chaos = new ChaosTier(new MapTier());
    const record = new MapTier();
    const { breaker } = breakerOf({ failuresMax: 1 });
    const { chain } = laneOver([guarded(chaos, { breaker }), record]);
    const { key, value } = write('a', 1);
    await record.putMany([write('a', 1)]);
    chaos.failReads = true;
    const asked = { nowMs: clock.now(), deadlineMs: Number.POSITIVE_INFINITY, mayKeep: () => true };
    expect(await chain.getMany([key], asked)).toEqual([value]);
    expect([breaker.state, chaos.reads]).toEqual(['open', 1]);
    expect(chain.getMany([key], asked)).toEqual([value]);
    expect([chaos.reads, chaos.writes]).toEqual([1, 0]);
    await pass(1);
  });

  it('closes after a good probe, one at a time', async () => {
    const chaos = new ChaosTier(new MapTier());
    const { breaker, changes } = breakerOf({ failuresMax: 1 });
    const [one, other] = [guarded(chaos, { breaker }), guarded(chaos, { breaker })];
    breaker.fail(breaker.admit());
    clock.advance(30_000);
    chaos.isHeld = true;
    const probe = watch(one.getMany([KEY]));
    expect(() => other.getMany([KEY])).toThrow(/open/);
    chaos.isHeld = false;
    chaos.release();
    await pass(1);
    expect(probe).toMatchObject({ value: [undefined] });
    expect(await other.getMany([KEY])).toEqual([undefined]);
    expect(changes).toEqual(['open', 'half-open', 'closed']);
  });

  it('stays closed while a tier refuses, whatever for', async () => {
    const chaos = new ChaosTier(new MapTier());
    const { breaker, changes } = breakerOf();
    const tier = guarded(chaos, { breaker });
    for (const failure of [new TierRefusal('out of memory'), new HeadraceError('disk-full', 'full')]) {
      chaos.putMany = async () => {
        throw failure;
      };
      for (let n = 0; n < 10; n++) await expect(tier.putMany([write('a', 1)])).rejects.toBe(failure);
    }
    expect([changes, tier.failures]).toEqual([[], 0]);
  });
});
