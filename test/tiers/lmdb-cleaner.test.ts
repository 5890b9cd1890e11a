import { describe, expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { LmdbCleaner } from '../../src/tiers/lmdb-cleaner.js';
import { encodeTombstone, recordExpiresAt, verifyRecord } from '../../src/views/record-codec.js';
import { openTestLmdb } from './lmdb-fixture.js';

const isDead = (value: Uint8Array, nowMs: number) => verifyRecord(value) && recordExpiresAt(value) <= nowMs;

function expiring(uid: number, n: number, expiresAt: number, version = 1) {
  const value = encodeTombstone(version as Version, 0, expiresAt);
  return { key: storageKey(uid, `id-${n}`), value, version: version as Version };
}

describe('the cleaner', () => {
  it('erases all of a dropped view in bounded steps, and nothing else', async () => {
    const { environment, tier, close } = await openTestLmdb();
    const cleaner = new LmdbCleaner(environment, { isDead, stepRecords: 100 });
    for (const uid of [4, 5, 6]) {
      await tier.putMany(Array.from({ length: 250 }, (_, n) => expiring(uid, n, 10)));
    }
    const steps: number[] = [];
    do steps.push(await cleaner.eraseStep(5));
    while (steps.at(-1) !== 0);
    expect(steps).toEqual([100, 100, 50, 0]);
    expect(environment.records.getCount()).toBe(500);
    expect(tier.getMany([storageKey(5, 'id-1'), storageKey(4, 'id-1')])).toEqual([
      undefined,
      expect.anything(),
    ]);
    await close();
  });

  it('sweeps out what is dead, a few at a time, round after round', async () => {
    const { environment, tier, close } = await openTestLmdb();
    const cleaner = new LmdbCleaner(environment, { isDead, stepRecords: 100 });
    await tier.putMany(Array.from({ length: 250 }, (_, n) => expiring(1, n, n % 2 === 0 ? 10 : 1_000)));
    const steps = [await cleaner.sweepStep(500), await cleaner.sweepStep(500), await cleaner.sweepStep(500)];
    expect(steps.map(({ seen }) => seen)).toEqual([100, 100, 50]);
    expect(steps.map(({ wrapped }) => wrapped)).toEqual([false, false, true]);
    expect(steps.reduce((sum, { removed }) => sum + removed, 0)).toBe(125);
    expect(environment.records.getCount()).toBe(125);
    expect(await cleaner.sweepStep(2_000)).toMatchObject({ seen: 100, removed: 100 });
    await close();
  });

  it('leaves a record that was written anew while it looked', async () => {
    const { environment, tier, close } = await openTestLmdb();
    const cleaner = new LmdbCleaner(environment, { isDead });
    await tier.putMany([expiring(1, 1, 10, 1), expiring(1, 2, 10, 1)]);
    // The put is queued before the removal is; the removal was decided on the older version.
    const put = tier.putMany([expiring(1, 1, 1_000, 2)]);
    const sweep = cleaner.sweepStep(500);
    expect(await put).toEqual([null]);
    expect((await sweep).removed).toBe(1);
    expect(tier.getMany([storageKey(1, 'id-1'), storageKey(1, 'id-2')])).toEqual([
      expect.anything(),
      undefined,
    ]);
    await close();
  });

  it('does not touch what it cannot read', async () => {
    const { environment, tier, close } = await openTestLmdb();
    const broken = expiring(1, 1, 10);
    broken.value[20] = (broken.value[20] ?? 0) ^ 1;
    await tier.putMany([broken]);
    expect(await new LmdbCleaner(environment, { isDead }).sweepStep(500)).toEqual({
      seen: 1,
      removed: 0,
      wrapped: true,
    });
    await close();
  });
});
