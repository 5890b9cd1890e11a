import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { POLICIES, type Policy } from '../../src/l1/eviction.js';
import { TableView } from '../../src/l1/layout.js';
import { references } from '../../src/l1/repair.js';
import {
  checkValue,
  isFull,
  makeValue,
  type Opened,
  openTable,
  SMALL_SHAPE,
  seeded,
} from './table-fixture.js';

const CACHES = 3;
const KEYS = 400;

interface Held {
  readonly version: number;
  readonly expiresAtMs: number;
}

/** The plain model: it forgets nothing, so the table may have less, never other. */
class Model {
  readonly held = new Map<string, Held>();
  readonly table: Opened;
  readonly #random: (limit: number) => number;
  hits = 0;

  constructor(table: Opened, random: (limit: number) => number) {
    this.table = table;
    this.#random = random;
  }

  step(): void {
    const random = this.#random;
    const cache = random(CACHES);
    // Half of all steps among a tenth of the keys.
    const id = random(2) === 0 ? `k${random(KEYS / 10)}` : `key-${random(KEYS)}-é`.slice(0, 4 + random(9));
    const kind = random(1000);
    if (kind < 500) this.get(cache, id);
    else if (kind < 550) this.getMany(cache, id);
    else if (kind < 900) this.put(cache, id, random(1000), 2 + random(random(8) === 0 ? 180 : 40));
    else if (kind < 950) this.remove(cache, id);
    else if (kind < 990) this.table.clock.advance(random(200));
    else if (kind < 994) this.table.writer.maintain(2);
    else if (kind < 996) this.raiseEpoch(cache);
    else if (kind < 999) this.removePrefix(cache, id.slice(0, 2));
    else
      this.table.caches.configure(cache, {
        policy: POLICIES[random(5)]!,
        budgetBytes: random(3) * Math.floor(this.table.caches.budgetBytesMax / 8),
      });
  }

  get(cache: number, id: string): void {
    const { reader, clock } = this.table;
    reader.key(cache, id);
    this.#check(cache, id, 0, reader.get(clock.now()));
  }

  /** The id and up to thirty of those that were put, some of them twice. */
  getMany(cache: number, id: string): void {
    const { reader, clock } = this.table;
    const names = [...this.held.keys()];
    const ids = [id];
    for (let left = this.#random(30); left > 0 && names.length > 0; left--) {
      ids.push(names[this.#random(names.length)]!.slice(2));
    }
    for (let from = 0, read = 0; from < ids.length; from += read) {
      read = reader.getMany(cache, ids, from, clock.now());
      expect(read).toBeGreaterThan(0);
      for (let row = 0; row < read; row++)
        this.#check(cache, ids[from + row]!, reader.offsetOf(row), reader.lengthOf(row));
    }
  }

  #check(cache: number, id: string, offset: number, length: number): void {
    const { reader, clock } = this.table;
    if (length < 0) return;
    this.hits++;
    const held = this.held.get(`${cache}/${id}`);
    expect(held, `${id} is served though it was never put, or was removed`).toBeDefined();
    expect(checkValue(id, reader.words.subarray(offset / 4), length)).toBe(held?.version);
    expect(held?.expiresAtMs).toBeGreaterThan(clock.now());
  }

  put(cache: number, id: string, version: number, words: number): void {
    const { writer, clock } = this.table;
    const expiresAtMs = this.#random(5) === 0 ? Infinity : clock.now() + this.#random(2000) - 100;
    const name = `${cache}/${id}`;
    const held = this.held.get(name);
    const result = writer.put(cache, id, makeValue(id, version, words), expiresAtMs);
    if (result === 'older') expect(held?.version).toBeGreaterThan(version);
    else if (result === 'stored') this.held.set(name, { version, expiresAtMs });
    else this.held.delete(name);
    if (result === 'epoch') throw new Error('no epoch went around');
  }

  remove(cache: number, id: string): void {
    if (this.table.writer.remove(cache, id)) expect(this.held.has(`${cache}/${id}`)).toBe(true);
    this.held.delete(`${cache}/${id}`);
  }

  raiseEpoch(cache: number): void {
    this.table.caches.raiseEpoch(cache);
    this.#forget(`${cache}/`);
    expect(this.table.caches.figures(cache)).toMatchObject({ entries: 0, bytes: 0 });
  }

  removePrefix(cache: number, prefix: string): void {
    const bytes = new TextEncoder().encode(prefix);
    const removal = this.table.writer.removeWhere(cache, (table, start, end) => {
      return end - start >= bytes.length && bytes.every((byte, at) => table[start + at] === byte);
    });
    while (!removal.step(3));
    this.#forget(`${cache}/${prefix}`);
  }

  #forget(prefix: string): void {
    for (const name of this.held.keys()) if (name.startsWith(prefix)) this.held.delete(name);
  }
}

/** What the counters say is what is there. */
function expectCountsToMatch({ handle, caches }: Opened): void {
  const used = [0, 1].map(shard => caches.shardFigures(shard).slotsUsed).reduce((a, b) => a + b);
  expect(references(new TableView(handle))).toBe(used);
}

describe('many keys at once', () => {
  it('come in as many reads as their values need room for', () => {
    const table = openTable({ ...SMALL_SHAPE, segments: 64, segmentBytes: 4096 });
    const ids = Array.from({ length: 40 }, (_, key) => `key-${key}`);
    const words = (key: number) => (key % 3 === 0 ? 900 : 20);
    ids.forEach((id, key) => {
      expect(table.writer.put(0, id, makeValue(id, key, words(key)), Infinity)).toBe('stored');
    });
    const reads: number[] = [];
    for (let from = 0, read = 0; from < ids.length; from += read) {
      read = table.reader.getMany(0, ids, from, table.clock.now());
      reads.push(read);
      for (let row = 0; row < read; row++) {
        const found = table.reader.words.subarray(table.reader.offsetOf(row) / 4);
        expect(table.reader.lengthOf(row)).toBe(words(from + row) * 4);
        expect(checkValue(ids[from + row]!, found, table.reader.lengthOf(row))).toBe(from + row);
        expect(table.reader.shardOf(row)).toBe(shardOf(table, ids[from + row]!));
      }
    }
    // A long value and the short ones behind it; the next long one does not fit beside them.
    expect(reads.slice(0, -1)).toEqual(new Array(13).fill(3));
    expect(table.reader.getMany(1, ids, 0, table.clock.now())).toBe(16);
    expect(Array.from({ length: 16 }, (_, row) => table.reader.lengthOf(row))).toEqual(
      new Array(16).fill(-1),
    );
  });
});

function shardOf({ reader }: Opened, id: string): number {
  reader.key(0, id);
  return reader.shard;
}

describe('the table against a plain map', () => {
  const seeds = Array.from({ length: 10 }, (_, index) => 1000 + index);
  const steps = isFull ? 1_000_000 : 30_000;

  it.each(seeds)(
    `never serves anything else, seed %i, ${steps} operations`,
    seed => {
      const random = seeded(seed);
      const table = openTable();
      for (let cache = 0; cache < CACHES; cache++) {
        table.caches.configure(cache, { policy: POLICIES[(seed + cache) % 5]!, budgetBytes: 0 });
      }
      const model = new Model(table, random);
      for (let step = 0; step < steps; step++) model.step();
      expect(model.hits).toBeGreaterThan(steps / 100);
      expectCountsToMatch(table);
    },
    600_000,
  );

  it('holds for any short sequence of operations', () => {
    const sequences = fc.tuple(
      fc.nat(),
      fc.integer({ min: 1, max: 400 }),
      fc.constantFrom<Policy>(...POLICIES),
    );
    fc.assert(
      fc.property(sequences, ([seed, steps, policy]) => {
        const table = openTable({ ...SMALL_SHAPE, shards: 1, buckets: 4, segments: 4 });
        table.caches.configure(0, { policy, budgetBytes: 0 });
        const model = new Model(table, seeded(seed));
        for (let step = 0; step < steps; step++) model.step();
      }),
      { numRuns: isFull ? 5000 : 300 },
    );
  });
});
