import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { Caches } from '../../src/l1/caches.js';
import { claimLane, releaseLane } from '../../src/l1/lane-owner.js';
import { type TableHandle, TableView } from '../../src/l1/layout.js';
import { oddBuckets, references } from '../../src/l1/repair.js';
import { TableReader } from '../../src/l1/table-reader.js';
import { CRASH_FAILPOINTS } from './crash-failpoints.js';
import type { CrashWork } from './crash-worker.js';
import { checkValue, isFull, makeValue, newTable, openTable, openWriter, seeded } from './table-fixture.js';

const KILLS = isFull ? 1000 : 26;
const SEED = 99;
const KEYS = 500;
const SHAPE = {
  shards: 2,
  lanes: 1,
  caches: 2,
  buckets: 16,
  segments: 8,
  segmentBytes: 4096,
  readers: 1,
  buffers: 0,
};

/** Reads while the writer works, dies and is dead: every value must check. Returns the hits. */
async function readUntilExit(worker: Worker, reader: TableReader, random: (limit: number) => number) {
  const result = { hasExited: false, exitCode: 0, hits: 0 };
  worker.once('exit', code => {
    result.hasExited = true;
    result.exitCode = code;
  });
  worker.on('message', () => void worker.terminate());
  worker.on('error', () => undefined);
  try {
    while (!result.hasExited) {
      for (let read = 0; read < 50; read++) result.hits += readOne(reader, random(2), `key-${random(KEYS)}`);
      await new Promise(resolve => setImmediate(resolve));
    }
  } finally {
    await worker.terminate();
  }
  return result;
}

function readOne(reader: TableReader, cache: number, id: string): number {
  reader.key(cache, id);
  const length = reader.get(systemClock.now());
  if (length < 0) return 0;
  expect(checkValue(id, reader.words, length), `the value of ${id} is whole`).toBeGreaterThanOrEqual(0);
  return 1;
}

function expectWholeAfterRepair(handle: TableHandle, reader: TableReader, round: number): void {
  const view = new TableView(handle);
  const caches = new Caches(handle);
  const writer = openWriter(handle, 0, systemClock);
  expect(oddBuckets(view)).toBe(0);
  let used = 0;
  for (let shard = 0; shard < SHAPE.shards; shard++) {
    used += caches.shardFigures(shard).slotsUsed;
    expect(caches.shardFigures(shard).segmentsFree).toBeGreaterThanOrEqual(1);
  }
  expect(references(view)).toBe(used);
  const served = new Set<number>();
  for (let key = 0; served.size < SHAPE.shards; key++) {
    const id = `fresh-${round}-${key}`;
    expect(writer.put(0, id, makeValue(id, 1, 20), Infinity)).toBe('stored');
    expect(readOne(reader, 0, id)).toBe(1);
    served.add(reader.shard);
  }
  for (let key = 0; key < KEYS; key++) for (const cache of [0, 1]) readOne(reader, cache, `key-${key}`);
  releaseLane(handle, 0);
}

describe('a writer killed at a failpoint', () => {
  it(`leaves nothing torn and no shard stuck, ${KILLS} kills, seed ${SEED}`, async () => {
    const random = seeded(SEED);
    const handle = newTable(SHAPE, systemClock);
    const reader = new TableReader(handle, 0);
    const ended = new Map<string, number>();
    let hits = 0;
    let kills = 0;
    for (let kill = 0; kills < KILLS; kill++) {
      expect(kill, 'most threads come to their failpoint').toBeLessThan(KILLS * 1.5 + 10);
      const failpoint = CRASH_FAILPOINTS[kill % CRASH_FAILPOINTS.length]!;
      const passing = failpoint.startsWith('repair') ? 1 : 1 + random(300);
      const end = (['exit', 'throw', 'terminate'] as const)[kill % 3]!;
      const work: CrashWork = { handle, seed: SEED + kill, failpoint, passing, end };
      const worker = new Worker(new URL('./crash-worker.js', import.meta.url), { workerData: work });
      const result = await readUntilExit(worker, reader, random);
      hits += result.hits;
      if (result.exitCode !== 0) {
        kills++;
        ended.set(failpoint, (ended.get(failpoint) ?? 0) + 1);
      }
      // No release, no writer: the dead thread's claim still stands.
      expect(claimLane(handle, 0)).toBeUndefined();
      releaseLane(handle, 0);
      // Every other time the next worker is the one who repairs, and may die at that.
      if (kill % 2 === 1 || kills === KILLS) expectWholeAfterRepair(handle, reader, kill);
    }
    console.log(`crash: ${kills} kills at ${ended.size} failpoints, ${hits} hits meanwhile`);
    expect(hits).toBeGreaterThan(KILLS);
    expect([...ended.keys()].sort()).toEqual([...CRASH_FAILPOINTS].sort());
  }, 600_000);

  it('is repaired to what it was, wherever in a single thread it stops', () => {
    const random = seeded(SEED + 1);
    let stops = 0;
    for (let run = 0; run < (isFull ? 20_000 : 500); run++) {
      let left = 1 + random(4000);
      const table = openTable({ ...SHAPE, segments: 4, segmentBytes: 1024 }, () => {
        if (--left === 0) throw new Error('stopped');
      });
      const newest = new Map<string, number>();
      try {
        for (let put = 1; put < 400; put++) {
          const id = `key-${random(60)}`;
          // A put that is cut short may or may not have happened.
          newest.set(id, put);
          table.writer.put(0, id, makeValue(id, put, 2 + random(30)), Infinity);
        }
      } catch {
        stops++;
      }
      releaseLane(table.handle, 0);
      const writer = openWriter(table.handle, 0, table.clock);
      expect(oddBuckets(new TableView(table.handle))).toBe(0);
      for (let key = 0; key < 60; key++) {
        const id = `key-${key}`;
        table.reader.key(0, id);
        const length = table.reader.get(table.clock.now());
        if (length < 0) continue;
        expect(checkValue(id, table.reader.words, length)).toBeGreaterThan(0);
        expect(checkValue(id, table.reader.words, length)).toBeLessThanOrEqual(newest.get(id) ?? 0);
      }
      for (let put = 0; put < 100; put++) {
        expect(writer.put(0, `after-${put}`, makeValue(`after-${put}`, 1, 30), Infinity)).toBe('stored');
      }
    }
    expect(stops).toBeGreaterThan(isFull ? 4000 : 100);
  }, 600_000);
});
