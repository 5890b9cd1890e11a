import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import type { TierWrite } from '../../src/base/tier.js';
import { COPY_BYTES_MAX_MIN, copyEras, type LmdbCopyTier } from '../../src/tiers/lmdb-copy.js';
import type { LmdbEnvironment } from '../../src/tiers/lmdb-environment.js';
import { recordVersion, verifyRecord } from '../../src/views/record-codec.js';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { type CopyTestOptions, type OpenCopies, openCopies } from './lmdb-copy-fixture.js';
import type { CopyWriterData } from './lmdb-copy-writer.js';
import { tierSuite, write } from './tier-suite.js';

tierSuite('LMDB as a local copy', openCopies);

/** Closed when the test ends, however it does. */
async function opened(options: CopyTestOptions = {}): Promise<OpenCopies> {
  const copies = await openCopies(options);
  onTestFinished(copies.close);
  return copies;
}

const A = storageKey(7, 'a');

function versions(tier: LmdbCopyTier, ...keys: Uint8Array[]): (number | undefined)[] {
  return tier.getMany(keys).map(value => value && recordVersion(value));
}

/** Each entry of the index leads to its copy, and no copy is lost: whatever is not in the index goes in its turn. */
function expectWhole({ copies, copyIndex }: LmdbEnvironment): void {
  const keys = new Map(
    [...copies.getRange()].map(({ key, value }) => [
      hex(key),
      hex(value.subarray(-2 - (value.at(-2) ?? 0) - 256 * (value.at(-1) ?? 0), -2)),
    ]),
  );
  for (const { key, value } of copyIndex.getRange()) {
    expect(keys.get(hex(value.subarray(0, 16))), `the copy of ${hex(key)}`).toBe(hex(key));
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('the era of copies', () => {
  it('ends for all lanes at once, and nothing made before it is served', async () => {
    const { tier, lane } = await opened();
    const other = lane();
    await Promise.all([tier.putMany([write('a', 5)]), other.putMany([write('b', 5)])]);
    other.newEra();
    expect(versions(tier, A)).toEqual([undefined]);
    expect(versions(other, storageKey(7, 'b'))).toEqual([undefined]);
    // What is not served has no say either: the store may have lost it.
    expect(await tier.putMany([write('a', 3)])).toEqual([null]);
    expect(versions(tier, A)).toEqual([3]);
  });

  it('ends with the lane: its successor, and the next process, serve nothing it left', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'headrace-copy-'));
    const eras = copyEras();
    const first = await opened({ directory, eras });
    await first.tier.putMany([write('a', 5)]);
    expect(versions(first.lane(), A)).toEqual([undefined]);
    expect(versions(first.tier, A)).toEqual([5]);
    await first.environment.close();
    const second = await opened({ directory });
    expect(versions(second.tier, A)).toEqual([undefined]);
    expect(await second.tier.putMany([write('a', 4)])).toEqual([null]);
    expect(versions(second.tier, A)).toEqual([4]);
    expectWhole(second.environment);
  });

  it('does not take what was asked for before it began, and drops what that would have replaced', async () => {
    const { tier } = await opened();
    const { era } = tier;
    tier.newEra();
    expect(await tier.putMany([{ ...write('a', 5), era }])).toEqual([null]);
    expect(versions(tier, A)).toEqual([undefined]);
    await tier.putMany([{ ...write('a', 5), era: tier.era }]);
    expect(versions(tier, A)).toEqual([5]);
    expect(await tier.putMany([{ ...write('a', 4), era }])).toEqual([5]);
    expect(versions(tier, A)).toEqual([5]);
    const late = tier.putMany([{ ...write('a', 6), era }]);
    expect(versions(tier, A)).toEqual([undefined]);
    await late;
    expect(versions(tier, A)).toEqual([undefined]);
  });

  it('is not waited for: what is queued is seen at once, what is dropped is not', async () => {
    const { tier } = await opened();
    await tier.putMany([write('a', 1)]);
    const put = tier.putMany([write('a', 2)]);
    expect(versions(tier, A)).toEqual([2]);
    const dropped = tier.deleteMany([A]);
    expect(versions(tier, A)).toEqual([undefined]);
    const again = tier.putMany([write('a', 1)]);
    expect(versions(tier, A)).toEqual([1]);
    expect(await again).toEqual([null]);
    await Promise.all([put, dropped]);
    expect(versions(tier, A)).toEqual([1]);
    tier.putMany([write('a', 9)]);
    tier.newEra();
    expect(versions(tier, A)).toEqual([undefined]);
    await tier.putMany([write('b', 1)]);
    expect([tier.queuedCount, versions(tier, A)]).toEqual([0, [undefined]]);
  });
});

describe('a copy that cannot be kept', () => {
  it('leaves none that is older', async () => {
    const { tier, environment } = await opened({ bytesMax: COPY_BYTES_MAX_MIN });
    await tier.putMany([write('a', 1)]);
    expect(await tier.putMany([write('a', 2, 200_000)])).toEqual([null]);
    expect(versions(tier, A)).toEqual([undefined]);
    expect([environment.copies.getCount(), environment.copyIndex.getCount()]).toEqual([0, 0]);
  });

  it('ends the era when the disk is full, if an older one is there', async () => {
    let free = 2 ** 50;
    const { tier } = await opened({ freeBytes: () => free });
    await tier.putMany([write('a', 1), write('b', 1)]);
    free = 0;
    const { era } = tier;
    const tooMuch = write('c', 1, 20 * 1024 * 1024);
    await expect(tier.putMany([tooMuch])).rejects.toMatchObject({ code: 'disk-full' });
    expect([tier.era - era, versions(tier, A)]).toEqual([0, [1]]);
    await expect(tier.putMany([write('a', 2), tooMuch])).rejects.toMatchObject({ code: 'disk-full' });
    expect([tier.era - era, versions(tier, A)]).toEqual([1, [undefined]]);
    free = 2 ** 50;
    await tier.putMany([write('a', 3)]);
    free = 0;
    await tier.deleteMany([A]);
    expect(versions(tier, A)).toEqual([undefined]);
  });

  it('ends the era when the commit fails', async () => {
    let fails = false;
    const { tier } = await opened({
      wrap: environment => ({
        ...environment,
        copies: new Proxy(environment.copies, {
          get(target, name) {
            // As lmdb fails: with the reason in a second promise.
            const failure = () =>
              Object.assign(new Error('commit failed'), {
                commitError: Promise.reject(new Error('I/O error')),
              });
            if (name === 'put' && fails) return () => Promise.reject(failure());
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        }),
      }),
    });
    await tier.putMany([write('a', 1), write('b', 1)]);
    fails = true;
    await expect(tier.putMany([write('c', 2)])).rejects.toMatchObject({ code: 'unavailable' });
    expect(versions(tier, A)).toEqual([undefined]);
    expect(tier.queuedCount).toBe(0);
  });

  it('is passed over when too much is queued', async () => {
    const { tier } = await opened({ bytesMax: 512 * 1024 * 1024 });
    await tier.putMany([write('n0', 1)]);
    const puts = Array.from({ length: 24 }, (_, n) => tier.putMany([write(`n${n}`, 2, 1024 * 1024)]));
    puts.push(tier.putMany([write('n0', 3, 1024 * 1024)]));
    expect(versions(tier, storageKey(7, 'n1'), storageKey(7, 'n23'), storageKey(7, 'n0'))).toEqual([
      2,
      undefined,
      undefined,
    ]);
    await Promise.all(puts);
    expect(versions(tier, storageKey(7, 'n1'), storageKey(7, 'n23'), storageKey(7, 'n0'))).toEqual([
      2,
      undefined,
      undefined,
    ]);
  });
});

describe('copies that were damaged on disk', () => {
  it('are a miss or what their own check finds out, never another record, and go in their turn', async () => {
    const { tier, environment } = await opened({ bytesMax: COPY_BYTES_MAX_MIN });
    const { copies, copyIndex } = environment;
    const random = new Seeded(SEED);
    const ids = Array.from({ length: 400 }, (_, n) => `id-${n}`);
    const flip = (bytes: Uint8Array) => {
      const copy = Buffer.from(bytes);
      const at = random.below(copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
      return copy;
    };
    for (let round = 1; round <= 5; round++) {
      await tier.putMany(ids.map((id, n) => write(id, round * 1_000 + n, 50)));
      // Versions as well: lmdb keeps them beside the entry.
      const flipped = [...copyIndex.getRange({ versions: true })].map(({ key, value, version = 0 }, n) =>
        n % 3 === 0
          ? copyIndex.put(key, flip(value), version)
          : n % 3 === 1 && copyIndex.put(key, value, version + 2 ** random.below(52)),
      );
      const broken = [...copies.getRange()].map(
        ({ key, value }) => random.below(2) === 0 && copies.put(key, flip(value)),
      );
      await Promise.all([...flipped, ...broken]);
      for (const [n, id] of ids.entries()) {
        const [value] = tier.getMany([storageKey(7, id)]);
        if (value === undefined || !verifyRecord(value.subarray(0, value.length - 50))) continue;
        expect(recordVersion(value), `${id}, seed ${SEED}`).toBe(round * 1_000 + n);
      }
      // Nor does a version that was raised keep newer copies out.
      expect(await tier.putMany(ids.map((id, n) => write(id, round * 1_000 + n + 1, 50)))).toEqual(
        ids.map(() => null),
      );
    }
    await copies.put(Buffer.alloc(16), Buffer.alloc(0));
    await copies.put(Buffer.alloc(16, 1), Buffer.alloc(4_000, 0xff));
    for (let n = 0; n < 40; n++) await tier.putMany([write(`big-${n}`, 1, 100_000)]);
    expect(tier.bytesUsed).toBeLessThanOrEqual(COPY_BYTES_MAX_MIN);
    expect(copies.getBinary(Buffer.alloc(16))).toBeUndefined();
  });
});

describe('the bound of copies', () => {
  const MIB = 1024 * 1024;

  it('holds whatever is written, and the newest are there', async () => {
    const batch = fc.array(fc.tuple(fc.nat(400), fc.constantFrom(0, 100, 900, 3_000, 9_000, 60_000)), {
      minLength: 1,
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 20, maxLength: 60 }), async batches => {
        const { tier, lane, environment, close } = await openCopies({ bytesMax: MIB });
        try {
          const lanes = [tier, lane()];
          let version = 0;
          for (const writes of batches) {
            version++;
            for (const [index, one] of lanes.entries()) {
              const mine = writes.filter(([n]) => n % 2 === index);
              await one.putMany(mine.map(([n, size]) => write(`id-${n}`, version, size)));
              expect(one.bytesUsed).toBeLessThanOrEqual(MIB);
              const [last] = mine.at(-1) ?? [];
              if (last !== undefined) expect(versions(one, storageKey(7, `id-${last}`))).toEqual([version]);
            }
          }
          expectWhole(environment);
        } finally {
          await close();
        }
      }),
      { numRuns: FULL ? 200 : 6, endOnFailure: true },
    );
  });

  it('removes the oldest, and keeps most of the room in use', async () => {
    const { tier, environment } = await opened({ bytesMax: 4 * MIB });
    const random = new Seeded(SEED);
    const written: string[] = [];
    for (let batch = 0; batch < 100; batch++) {
      const writes: TierWrite[] = [];
      for (let n = 0; n < 200; n++) {
        const id = `id-${random.below(2 ** 30)}`;
        written.push(id);
        writes.push(write(id, batch + 1, 300));
      }
      await tier.putMany(writes);
    }
    expect(tier.bytesUsed).toBeLessThanOrEqual(4 * MIB);
    const kept = written
      .map((id, at) => (tier.getMany([storageKey(7, id)])[0] ? at : -1))
      .filter(at => at >= 0);
    // Without a gap: the last so many.
    expect(kept).toEqual(written.slice(-kept.length).map((_, n) => written.length - kept.length + n));
    const { key, value } = write('id-1234567890', 1, 300);
    // With its key twice, its place twice, and what else the entry has.
    const bytes = kept.length * (value.length + 2 * key.length + 2 * 16 + 8);
    console.log(
      `copies: ${kept.length} of 4 MiB, ${Math.round((100 * bytes) / (4 * MIB))} % in use, seed ${SEED}`,
    );
    expect(bytes).toBeGreaterThan(4 * MIB * 0.6);
    expect(environment.copyIndex.getCount()).toBe(environment.copies.getCount());
  });

  it('is reached step by step when it is lowered', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'headrace-copy-'));
    const first = await opened({ directory, bytesMax: 64 * MIB });
    for (let batch = 0; batch < 20; batch++) {
      await first.tier.putMany(Array.from({ length: 500 }, (_, n) => write(`${batch}-${n}`, 1, 300)));
    }
    expect(first.tier.bytesUsed).toBeGreaterThan(4 * MIB);
    await first.environment.close();
    const second = await opened({ directory, bytesMax: MIB });
    let calls = 0;
    while (second.tier.bytesUsed > MIB && calls < 100) {
      await second.tier.putMany([write(`new-${calls++}`, 1)]);
    }
    expect(calls).toBeLessThan(30);
  });

  it('holds with two threads, of which one dies in the middle of it', async () => {
    const { directory, tier, lane, environment } = await opened({ bytesMax: 4 * MIB });
    const eras = copyEras();
    const start = (number: number) => {
      const workerData: CopyWriterData = { directory, eras, lane: number, bytesMax: 4 * MIB };
      return new Worker(new URL('./lmdb-copy-writer.js', import.meta.url), { workerData });
    };
    const workers = [start(0), start(1)];
    const reach = async (worker: Worker, batches: number) => {
      for (let batch = 0; batch < batches; ) [batch] = (await once(worker, 'message')) as [number];
    };
    try {
      for (let round = 0; round < 3; round++) {
        await Promise.all(workers.map(worker => reach(worker, 10)));
        await workers[0]?.terminate();
        // The other goes on, and so do we.
        await reach(workers[1] as Worker, 1);
        await tier.putMany([write(`here-${round}`, 1, 500)]);
        workers[0] = start(0);
      }
      // A thread is not ended while it opens the store.
      await Promise.all(workers.map(worker => reach(worker, 1)));
    } finally {
      await Promise.all(workers.map(worker => worker.terminate()));
    }
    // Within what the lanes had queued.
    expect(tier.bytesUsed).toBeLessThanOrEqual(8 * MIB);
    await lane().putMany([write('last', 1)]);
    await tier.putMany([write('more', 1)]);
    expect(tier.bytesUsed).toBeLessThanOrEqual(4 * MIB);
    expectWhole(environment);
  });
});
