import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { ChaosTier } from './chaos-tier.js';
import { openTestLmdb } from './lmdb-fixture.js';
import { tierSuite, write } from './tier-suite.js';

tierSuite('LMDB', openTestLmdb);
tierSuite('LMDB that answers through promises', async () => {
  const opened = await openTestLmdb();
  return { tier: new ChaosTier(opened.tier), close: opened.close };
});

describe('LMDB', () => {
  it('has after a restart what it had before', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'headrace-lmdb-'));
    const first = await openTestLmdb(directory);
    await first.tier.putMany([write('a', 3, 100)]);
    await first.environment.close();
    const second = await openTestLmdb(directory);
    expect(await second.tier.putMany([write('a', 2)])).toEqual([3]);
    expect(second.tier.getMany([storageKey(7, 'a')])[0]).toEqual(write('a', 3, 100).value);
    await second.close();
  });

  it('writes nothing of a call when the disk is nearly full', async () => {
    let free = 2 ** 50;
    const { tier, close } = await openTestLmdb(undefined, () => free);
    await tier.putMany([write('a', 1)]);
    free = 255 * 1024 * 1024;
    // What is known of the disk may be a quarter of a second old, or so many bytes.
    await expect(tier.putMany([write('a', 2, 20 * 1024 * 1024), write('b', 1)])).rejects.toMatchObject({
      code: 'disk-full',
      message: expect.stringMatching(/255 MiB are free .* 256 MiB are needed/),
    });
    await expect(tier.putMany([write('b', 1)])).rejects.toMatchObject({ code: 'disk-full' });
    expect(tier.getMany([storageKey(7, 'a'), storageKey(7, 'b')])).toEqual([expect.anything(), undefined]);
    expect(tier.pendingCount).toBe(0);
    free = 2 ** 50;
    expect(await tier.putMany([write('b', 1)])).toEqual([null]);
    await close();
  });

  it('is written by several threads at once while it grows', async () => {
    const { directory, tier, close } = await openTestLmdb();
    const writers = [0, 1].map(
      thread =>
        new Worker(new URL('./lmdb-writer.js', import.meta.url), {
          workerData: { directory, thread, batches: 16, batchRecords: 500, valueBytes: 1_000 },
        }),
    );
    const done = Promise.all(
      writers.map(worker => new Promise<number>(resolve => worker.once('exit', resolve))),
    );
    // Written from here as well, and read: the map is grown under all of them.
    for (let n = 0; n < 20; n++) {
      expect(await tier.putMany([write(`here-${n}`, n + 1)])).toEqual([null]);
      expect(tier.getMany([storageKey(7, `here-${n}`)])[0]).toBeDefined();
    }
    expect(await done).toEqual([0, 0]);
    const keys = [0, 1].flatMap(thread =>
      Array.from({ length: 8_000 }, (_, n) => storageKey(7, `t${thread}-${n}`)),
    );
    const values = tier.getMany(keys);
    expect(values.filter(value => value !== undefined).length).toBe(16_000);
    await close();
  });
});
