import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { Caches } from '../../src/l1/caches.js';
import { POLICIES } from '../../src/l1/eviction.js';
import { claimLane, releaseLane } from '../../src/l1/lane-owner.js';
import {
  CACHE,
  createTable,
  EPOCH_MASK,
  placesOf,
  shapeOf,
  TABLE_BYTES_MAX,
  TableView,
} from '../../src/l1/layout.js';
import { TableReader } from '../../src/l1/table-reader.js';
import { TableWriter } from '../../src/l1/table-writer.js';
import {
  checkValue,
  makeValue,
  newTable,
  type Opened,
  openTable,
  openWriter,
  SMALL_SHAPE,
  seeded,
  versionOf,
} from './table-fixture.js';

const ONE_SHARD = {
  shards: 1,
  lanes: 1,
  caches: 3,
  buckets: 200,
  segments: 33,
  segmentBytes: 4096,
  readers: 1,
  buffers: 0,
};

function fill(table: Opened, cache: number, prefix: string, count: number): void {
  for (let key = 0; key < count; key++) {
    const id = `${prefix}${key}`;
    table.writer.put(cache, id, makeValue(id, 1, 60), Infinity);
  }
}

function version(table: Opened, cache: number, id: string): number {
  table.reader.key(cache, id);
  const length = table.reader.peek(table.clock.now());
  return length < 0 ? -1 : checkValue(id, table.reader.words, length);
}

describe('put', () => {
  it('keeps the larger version and takes an equal one', () => {
    const table = openTable();
    expect(table.writer.put(0, 'a', makeValue('a', 5, 4), Infinity)).toBe('stored');
    expect(table.writer.put(0, 'a', makeValue('a', 4, 4), Infinity)).toBe('older');
    expect(version(table, 0, 'a')).toBe(5);
    expect(table.writer.put(0, 'a', makeValue('a', 5, 8), Infinity)).toBe('stored');
    expect(table.reader.peek(table.clock.now())).toBe(32);
    expect(version(table, 1, 'a')).toBe(-1);
  });

  it('forgets what it cannot replace', () => {
    const table = openTable();
    const now = table.clock.now();
    table.writer.put(0, 'a', makeValue('a', 1, 4), Infinity);
    expect(table.writer.put(0, 'a', makeValue('a', 2, 1000), Infinity)).toBe('too-large');
    expect(version(table, 0, 'a')).toBe(-1);
    table.writer.put(0, 'a', makeValue('a', 1, 4), Infinity);
    expect(table.writer.put(0, 'a', makeValue('a', 2, 4), now)).toBe('expired');
    expect(version(table, 0, 'a')).toBe(-1);
  });

  it('takes the largest record a segment holds, an empty value, an empty key; refuses half a word', () => {
    const table = openTable();
    const words = SMALL_SHAPE.segmentBytes / 4 - 3 - 1;
    expect(table.writer.put(0, 'abcd', makeValue('abcd', 1, words), Infinity)).toBe('stored');
    expect(version(table, 0, 'abcd')).toBe(1);
    expect(table.writer.put(0, 'abcd', makeValue('abcd', 2, words + 1), Infinity)).toBe('too-large');
    expect(table.writer.put(0, '', new Uint8Array(0), Infinity)).toBe('stored');
    table.reader.key(0, '');
    expect(table.reader.get(table.clock.now())).toBe(0);
  });

  it('refuses a value of half a word', () => {
    const table = openTable();
    expect(() => table.writer.put(0, 'a', new Uint8Array(6), Infinity)).toThrow('whole words');
    expect(() => table.writer.put(4, 'a', new Uint8Array(4), Infinity)).toThrow('no such cache slot');
  });

  it('refuses a fill that began before the cache was emptied', () => {
    const table = openTable();
    const epoch = table.caches.epoch(0);
    expect(table.writer.put(0, 'a', makeValue('a', 1, 4), Infinity, epoch)).toBe('stored');
    table.caches.raiseEpoch(0);
    expect(version(table, 0, 'a')).toBe(-1);
    expect(table.writer.put(0, 'a', makeValue('a', 1, 4), Infinity, epoch)).toBe('epoch');
    expect(version(table, 0, 'a')).toBe(-1);
  });

  it('never lets a record outlive its time, to the millisecond', () => {
    const table = openTable();
    for (let ms = 1; ms < 100; ms++) {
      const id = `k${ms}`;
      table.writer.put(0, id, makeValue(id, 1, 4), table.clock.now() + ms);
      table.clock.advance(Math.max(0, ms - 16));
      if (ms > 32) expect(version(table, 0, id)).toBe(1);
      table.clock.advance(ms - Math.max(0, ms - 16));
      expect(version(table, 0, id)).toBe(-1);
    }
  });
});

describe('budgets', () => {
  it.each(POLICIES)('lend what is free and are never robbed below their share: %s', policy => {
    const table = openTable(ONE_SHARD);
    const { caches } = table;
    const share = caches.budgetBytesMax / 4;
    caches.configure(0, { policy, budgetBytes: share });
    caches.configure(1, { policy, budgetBytes: share });
    fill(table, 0, 'a', 400);
    const alone = caches.figures(0).bytes;
    expect(alone).toBeGreaterThan(share * 3);
    fill(table, 1, 'b', 20_000);
    // The flood takes what cache 0 had borrowed; of its share, only what is left of a segment may be missing.
    expect(caches.figures(0).bytes).toBeGreaterThan(share - 2 * ONE_SHARD.segmentBytes);
    expect(caches.figures(0).bytes).toBeLessThan(alone);
    expect(caches.figures(1).bytes).toBeGreaterThan(share);
  });

  it('refuse a cache without a share when all is promised and used', () => {
    const table = openTable(ONE_SHARD);
    table.caches.configure(0, { policy: 'fifo', budgetBytes: table.caches.budgetBytesMax });
    fill(table, 0, 'a', 2000);
    expect(table.writer.put(1, 'x', makeValue('x', 1, 4), Infinity)).toBe('no-room');
    expect(() => table.caches.configure(1, { policy: 'lru', budgetBytes: 1 })).toThrow('exceed');
  });

  it('give the memory of an emptied cache to the others first', () => {
    const table = openTable(ONE_SHARD);
    fill(table, 0, 'a', 200);
    fill(table, 1, 'b', 200);
    const before = table.caches.figures(1).entries;
    table.caches.raiseEpoch(0);
    expect(table.caches.figures(0)).toMatchObject({ entries: 0, bytes: 0 });
    fill(table, 1, 'c', 200);
    expect(table.caches.figures(1).evicted).toBe(0);
    expect(table.caches.figures(1).entries).toBe(before + 200);
    expect(table.writer.maintain(100)).toBe(true);
    expect(table.caches.shardFigures(0).slotsUsed).toBe(before + 200);
  });
});

describe('policies', () => {
  it('lru and lfu keep what is used, fifo does not, ttl keeps what lives longest', () => {
    for (const policy of POLICIES) {
      const table = openTable(ONE_SHARD);
      table.caches.configure(0, { policy, budgetBytes: 0 });
      const value = makeValue('hot', 1, 60);
      table.writer.put(0, 'hot', value, table.clock.now() + 1e9);
      for (let key = 0; key < 5000; key++) {
        table.reader.key(0, 'hot');
        table.reader.get(table.clock.now());
        table.writer.put(0, `cold${key}`, makeValue('cold', 1, 60), table.clock.now() + 1e6);
      }
      expect(version(table, 0, 'hot'), policy).toBe(policy === 'fifo' ? -1 : 1);
    }
  });

  it('drops expired records whatever the policy, and says so', () => {
    const table = openTable(ONE_SHARD);
    for (let key = 0; key < 300; key++)
      table.writer.put(0, `k${key}`, makeValue('k', 1, 60), table.clock.now() + 1000);
    table.clock.advance(2000);
    fill(table, 0, 'n', 450);
    expect(table.caches.figures(0).expired).toBeGreaterThan(200);
    expect(table.caches.figures(0).evicted).toBe(0);
  });
});

describe('epochs', () => {
  it('come around without a record of the first round showing up', () => {
    const clock = new ManualClock();
    const handle = newTable({ ...SMALL_SHAPE, lanes: 2 }, clock);
    const view = new TableView(handle);
    const caches = new Caches(handle);
    const writers = [0, 1].map(lane => openWriter(handle, lane, clock));
    const reader = new TableReader(handle, 0);
    const put = (id: string) => {
      reader.key(0, id);
      return writers[reader.shard % 2]!.put(0, id, makeValue(id, 1, 4), Infinity);
    };
    const ids = Array.from({ length: 20 }, (_, key) => `k${key}`);
    expect(ids.map(put).every(result => result === 'stored')).toBe(true);
    Atomics.store(view.words, view.cacheAt(0) + CACHE.epoch, EPOCH_MASK);
    caches.raiseEpoch(0);
    expect(caches.epoch(0)).toBe(0);
    caches.raiseEpoch(0);
    const ofLane0 = ids.filter(id => {
      reader.key(0, id);
      return reader.shard === 0;
    });
    // Lane 0 purges when it is asked to put; the cache stays shut until lane 1 has purged too.
    expect(ofLane0.length).toBeGreaterThan(2);
    for (const id of ofLane0) expect(put(id)).toBe('epoch');
    writers[1]?.maintain(1);
    expect(caches.epoch(0)).toBe(1);
    for (const id of ids) {
      reader.key(0, id);
      expect(reader.get(clock.now())).toBe(-1);
    }
    expect(ids.map(put).every(result => result === 'stored')).toBe(true);
  });
});

describe('lanes', () => {
  it('belong to one writer until they are released', () => {
    const table = openTable();
    expect(claimLane(table.handle, 0)).toBeUndefined();
    releaseLane(table.handle, 0);
    const claim = claimLane(table.handle, 0)!;
    expect(() => table.writer.put(0, 'a', makeValue('a', 1, 4), Infinity)).toThrow('another thread');
    const options = { lane: 0, claim, clock: table.clock, versionOf };
    const successor = new TableWriter(table.handle, options);
    expect(successor.put(0, 'a', makeValue('a', 1, 4), Infinity)).toBe('stored');
  });
});

describe('shapes', () => {
  it('fit into the bytes asked for and use nearly all of them', () => {
    const random = seeded(5);
    for (let run = 0; run < 30; run++) {
      const bytes = 2 ** 24 + random(2 ** 27);
      const shape = shapeOf({ bytes, recordBytes: 64 + random(2000), caches: 1 + random(1024) });
      const table = createTable(shape, { nowMs: 0, hashKey: new Int32Array(4) });
      const { scratch, tableWords } = placesOf(shape);
      expect(scratch * 4).toBeLessThanOrEqual(bytes);
      expect(scratch * 4).toBeGreaterThan(bytes * 0.95);
      expect(table.memory.buffer.byteLength).toBe(Math.ceil(tableWords / 16_384) * 65_536);
    }
  });

  it('say which limit is passed', () => {
    expect(() => shapeOf({ bytes: TABLE_BYTES_MAX + 1 })).toThrow('at most');
    expect(() => shapeOf({ bytes: 2 ** 16 })).toThrow('too small');
    expect(() => shapeOf({ bytes: 2 ** 26, shards: 3 })).not.toThrow();
    const three = shapeOf({ bytes: 2 ** 26, shards: 3 });
    expect(() => createTable(three, { nowMs: 0, hashKey: new Int32Array(4) })).toThrow('not a power of two');
  });
});
