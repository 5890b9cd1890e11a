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
    if (kind < 550) this.get(cache, id);
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
    const length = reader.get(clock.now());
    if (length < 0) return;
    this.hits++;
    const held = this.held.get(`${cache}/${id}`);
    expect(held, `${id} is served though it was never put, or was removed`).toBeDefined();
    expect(checkValue(id, reader.words, length)).toBe(held?.version);
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
