import { describe, expect, it, vi } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { TierRefusal } from '../../src/base/tier.js';
import { Breaker, type BreakerOptions, breakerMemory } from '../../src/resolve/breaker.js';
import { ChaosTier } from '../tiers/chaos-tier.js';
import { write } from '../tiers/tier-suite.js';
import { MapTier } from './fixture.js';
import { fakeTime } from './guard-fixture.js';

const KEY = storageKey(1, 'a');
const WRITE_MS = 10_000;
/** Half of the fixture's 50 ms for a read. */
const PING_MS = 25;

const { clock, pass, watch, guarded } = fakeTime();

/** Lanes that share a breaker and a tier that can be pinged. */
function lanes(count: number, options: Partial<BreakerOptions> = {}) {
  const memory = breakerMemory(1);
  const changes: string[] = [];
  const chaos = new ChaosTier(new MapTier());
  const signals: AbortSignal[] = [];
  const pinged = {
    /** What becomes of the next ping. */
    reply: (): Promise<void> => new Promise(() => undefined),
    signals,
  };
  const tier = Object.assign(chaos, {
    ping: (signal: AbortSignal) => {
      signals.push(signal);
      return pinged.reply();
    },
  });
  const guards = Array.from({ length: count }, () => {
    const onChange = ({ to }: { to: string }) => changes.push(to);
    const breaker = new Breaker({ tier: 'lmdb', memory, index: 0, clock, options, onChange });
    return { breaker, guard: guarded(tier, { breaker, writeTimeoutMs: WRITE_MS }) };
  });
  const [first] = guards as [(typeof guards)[0]];
  return { ...first, guards, chaos, pinged, changes };
}

describe('a tier that falls silent', () => {
  it('has its breaker opened by pings, after one read', async () => {
    const { guard, breaker, chaos, pinged, changes } = lanes(1);
    chaos.isHeld = true;
    const read = watch(guard.getMany([KEY]));
    await pass(50);
    expect([read.at, pinged.signals.length, breaker.state]).toEqual([50, 1, 'closed']);
    await pass(4 * PING_MS - 1);
    expect([pinged.signals.length, breaker.state]).toEqual([4, 'closed']);
    await pass(1);
    expect([pinged.signals.length, changes, chaos.reads]).toEqual([4, ['open'], 1]);
    expect(pinged.signals.every(({ aborted }) => aborted)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has it opened long before a write is given up', async () => {
    const { guard, chaos, pinged, changes } = lanes(1);
    chaos.isHeld = true;
    const put = watch(guard.putMany([write('a', 1)]));
    await pass(50 + 5 * PING_MS - 1);
    expect(changes).toEqual([]);
    await pass(1);
    expect([pinged.signals.length, changes, put.at]).toEqual([5, ['open'], undefined]);
    chaos.release();
    await pass(1);
    // What was under way goes on.
    expect(put.value).toEqual([null]);
  });

  it('has it opened by all lanes that meet it, once', async () => {
    const { guards, chaos, pinged, changes } = lanes(3);
    chaos.isHeld = true;
    for (const { guard } of guards) void watch(guard.putMany([write('a', 1)]));
    await pass(50 + 2 * PING_MS);
    expect([changes, pinged.signals.length]).toEqual([['open'], 7]);
    chaos.release();
    await pass(PING_MS);
    expect([changes, pinged.signals.length]).toEqual([['open'], 7]);
  });

  it('is not counted faster for failing at once', async () => {
    const { guard, chaos, pinged, changes } = lanes(1);
    chaos.failReads = true;
    pinged.reply = () => Promise.reject(new Error('refused'));
    void watch(guard.getMany([KEY]));
    await pass(4 * PING_MS - 1);
    expect([pinged.signals.length, changes]).toEqual([4, []]);
    await pass(1);
    expect(changes).toEqual(['open']);
  });
});

describe('a tier that answers', () => {
  it('is not pinged, and its attempts have one timer', async () => {
    const { guard, chaos, pinged } = lanes(1);
    expect(await guard.putMany([write('a', 1)])).toEqual([null]);
    chaos.isHeld = true;
    const put = watch(guard.putMany([write('a', 2)]));
    await pass(49);
    expect(vi.getTimerCount()).toBe(1);
    chaos.release();
    await pass(1);
    expect([put.value, pinged.signals.length]).toEqual([[null], 0]);
  });

  it('may be slow for a call, again and again', async () => {
    const { guard, breaker, chaos, pinged } = lanes(1);
    pinged.reply = () => Promise.resolve();
    chaos.isHeld = true;
    for (let n = 1; n <= 10; n++) {
      const put = watch(guard.putMany([write('a', n)]));
      await pass(1_000);
      expect([pinged.signals.length, pinged.signals.at(-1)?.aborted]).toEqual([n, true]);
      chaos.release();
      await pass(1);
      expect(put.value).toEqual([null]);
    }
    expect([breaker.state, breaker.changes]).toEqual(['closed', 0]);
  });

  it('is believed when its reply is late', async () => {
    const { guard, breaker, chaos, pinged } = lanes(1);
    let reply: () => void = () => undefined;
    pinged.reply = () =>
      new Promise(resolve => {
        if (pinged.signals.length === 1) reply = resolve;
      });
    chaos.isHeld = true;
    const put = watch(guard.putMany([write('a', 1)]));
    await pass(50 + 4 * PING_MS);
    reply();
    await pass(10 * PING_MS);
    expect([pinged.signals.length, breaker.state, put.at]).toEqual([5, 'closed', undefined]);
    chaos.release();
    await pass(1);
  });

  it('may refuse to be pinged', async () => {
    const { guard, breaker, chaos, pinged } = lanes(1);
    pinged.reply = () => Promise.reject(new TierRefusal('NOPERM'));
    chaos.isHeld = true;
    void watch(guard.getMany([KEY]));
    await pass(50 + 10 * PING_MS);
    expect([pinged.signals.length, breaker.state]).toEqual([1, 'closed']);
  });

  it('only to pings has its breaker opened by the calls that fail', async () => {
    const { guard, breaker, chaos, pinged } = lanes(1);
    pinged.reply = () => Promise.resolve();
    chaos.failWrites = true;
    for (let n = 1; n <= 4; n++) {
      await expect(guard.putMany([write('a', n)])).rejects.toBeDefined();
      await pass(1_000);
      expect([breaker.state, pinged.signals.length]).toEqual(['closed', n]);
    }
    await expect(guard.putMany([write('a', 5)])).rejects.toBeDefined();
    expect([breaker.state, pinged.signals.length]).toEqual(['open', 4]);
  });

  it('to calls but not to pings is pinged no more often than opens a breaker', async () => {
    const { guard, breaker, chaos, pinged } = lanes(1);
    chaos.isHeld = true;
    void watch(guard.getMany([KEY]));
    await pass(50);
    chaos.isHeld = false;
    for (let n = 0; n < 20; n++) {
      await guard.getMany([KEY]);
      await pass(PING_MS);
    }
    expect([breaker.state, pinged.signals.length]).toEqual(['closed', 5]);
    chaos.release();
    await pass(1);
  });
});

describe('a probe of a half-open breaker', () => {
  async function probed(reply: () => Promise<void>) {
    const lane = lanes(1, { failuresMax: 1 });
    lane.breaker.fail(lane.breaker.admit());
    clock.advance(30_000);
    lane.chaos.isHeld = true;
    lane.pinged.reply = reply;
    const probe = watch(lane.guard.putMany([write('a', 1)]));
    await pass(50 + PING_MS);
    return { ...lane, probe };
  }

  it('that hangs is not waited for: one ping without a reply opens it again', async () => {
    const { changes, chaos, pinged, probe } = await probed(() => new Promise(() => undefined));
    expect([changes, pinged.signals.length, probe.at]).toEqual([['open', 'half-open', 'open'], 1, undefined]);
    chaos.release();
    await pass(1);
    expect(changes.length).toBe(3);
  });

  it('that is slow has its time, and only it closes the breaker', async () => {
    const { changes, chaos, pinged } = await probed(() => Promise.resolve());
    await pass(1_000);
    expect([changes, pinged.signals.length]).toEqual([['open', 'half-open'], 1]);
    chaos.release();
    await pass(1);
    expect(changes).toEqual(['open', 'half-open', 'closed']);
  });
});

describe('a guard that is closed', () => {
  it('asks no more, whatever fails after that', async () => {
    const { guard, breaker, chaos, pinged } = lanes(1);
    chaos.isHeld = true;
    void watch(guard.getMany([KEY]));
    await pass(50);
    expect([pinged.signals.length, vi.getTimerCount()]).toEqual([1, 1]);
    await guard.close();
    expect([pinged.signals[0]?.aborted, vi.getTimerCount()]).toEqual([true, 0]);
    void watch(guard.getMany([KEY]));
    await pass(50);
    expect([pinged.signals.length, breaker.state, vi.getTimerCount()]).toEqual([1, 'closed', 0]);
    chaos.release();
    await pass(1);
  });
});
