/** Guarded tiers in a time that moves only when told to: clock and timers together, by the millisecond. */
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import type { Tier } from '../../src/base/tier.js';
import { type GuardOptions, guardTier } from '../../src/resolve/guard.js';

/** What became of a promise, and after how many milliseconds. */
export interface Outcome {
  at?: number;
  value?: unknown;
  error?: unknown;
}

/** For the whole of a test file; each test must leave no timer behind. */
export function fakeTime() {
  const clock = new ManualClock();

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });

  afterEach(() => {
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  async function pass(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(0);
    for (let n = 0; n < ms; n++) {
      clock.advance(1);
      await vi.advanceTimersByTimeAsync(1);
    }
  }

  function watch(answer: unknown): Outcome {
    const outcome: Outcome = {};
    const begunMs = clock.now();
    Promise.resolve(answer).then(
      value => Object.assign(outcome, { at: clock.now() - begunMs, value }),
      error => Object.assign(outcome, { at: clock.now() - begunMs, error }),
    );
    return outcome;
  }

  /** Jitter takes half of every pause. */
  function guarded(tier: Tier, options: Partial<GuardOptions> = {}) {
    return guardTier(tier, { readTimeoutMs: 50, writeTimeoutMs: 80, clock, random: () => 0.5, ...options });
  }

  return { clock, pass, watch, guarded };
}
