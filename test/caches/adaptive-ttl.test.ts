/** How long a value is fresh by how long it has stayed the same: for any history of asking and changing. */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { adaptedTtlMs } from '../../src/caches/adaptive-ttl.js';
import { SEED, Seeded } from '../base/seeded.js';

const HISTORIES = 400;
const STEPS = 30;

test(`of ${HISTORIES} histories, none leaves the bounds, grows beyond what was seen, or outlives a change`, () => {
  console.log(`adaptive ttl: seed ${SEED}`);
  const random = new Seeded(SEED);
  let atCeiling = 0;
  for (let history = 0; history < HISTORIES; history++) {
    const clock = new ManualClock();
    const ttlMs = 1 + random.below(10_000);
    const ttlMaxMs = ttlMs + random.below(100_000);
    let entry: { writtenAt: number; freshUntil: number } | undefined;
    for (let step = 0; step < STEPS; step++) {
      const isSame = entry !== undefined && random.below(6) > 0;
      const nowMs = clock.now();
      const freshMs = adaptedTtlMs({ ttlMs, ttlMaxMs }, isSame ? entry : undefined, nowMs);
      expect(freshMs).toBeGreaterThanOrEqual(ttlMs);
      expect(freshMs).toBeLessThanOrEqual(ttlMaxMs);
      if (isSame && entry !== undefined) {
        const lastMs = entry.freshUntil - entry.writtenAt;
        const seenMs = nowMs - entry.writtenAt;
        expect(freshMs).toBeGreaterThanOrEqual(lastMs);
        expect(freshMs).toBeLessThanOrEqual(Math.max(lastMs, 2 * Math.min(lastMs, seenMs)));
        // Asked when its time was over, it has earned as much again.
        if (seenMs >= lastMs) expect(freshMs).toBe(Math.min(ttlMaxMs, 2 * lastMs));
      } else expect(freshMs).toBe(ttlMs);
      if (freshMs === ttlMaxMs) atCeiling++;
      entry = { writtenAt: nowMs, freshUntil: nowMs + freshMs };
      // Ahead of the end, at it, or long after.
      clock.advance(random.below(3 * freshMs));
    }
  }
  expect(atCeiling).toBeGreaterThan(HISTORIES);
});

test('clocks that differ, and times that a client gave, do not leave the bounds either', () => {
  const cache = { ttlMs: 1_000, ttlMaxMs: 8_000 };
  const of = (writtenAt: number, freshUntil: number) =>
    adaptedTtlMs(cache, { writtenAt, freshUntil }, 100_000);
  expect([of(200_000, 201_000), of(200_000, 199_000)]).toEqual([1_000, 1_000]);
  expect([of(0, 1e9), of(99_000, 99_100), of(0, 0)]).toEqual([8_000, 1_000, 1_000]);
  expect(adaptedTtlMs({ ttlMs: 5, ttlMaxMs: undefined }, { writtenAt: 0, freshUntil: 9 }, 10)).toBe(5);
});
