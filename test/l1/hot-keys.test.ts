/** The walk for hot keys: what it finds, in what order, how many, and what it is worth with Zipf traffic. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../native-free-bench/data/random.js';
import { Zipf } from '../../native-free-bench/data/zipf.js';
import type { HotKeyScan } from '../../src/l1/hot-keys.js';
import { shapeOf } from '../../src/l1/layout.js';
import { checkValue, makeValue, type Opened, openTable } from './table-fixture.js';

const CACHES = 4;

function open(bytes: number): Opened {
  const table = openTable(shapeOf({ bytes, shards: 2, caches: CACHES, recordBytes: 80 }));
  const budgetBytes = Math.floor(table.caches.budgetBytesMax / CACHES);
  for (let slot = 0; slot < CACHES; slot++)
    table.caches.configure(slot, {
      policy: 's3-fifo',
      budgetBytes: slot === 0 ? budgetBytes : Math.floor(budgetBytes / 2),
    });
  return table;
}

function walked(scan: HotKeyScan, buckets = 100): HotKeyScan {
  while (!scan.step(buckets));
  return scan;
}

const namesOf = (scan: HotKeyScan) =>
  [...scan.keys()].map(({ slot, id }) => `${slot}/${Buffer.from(id).toString()}`);

function put({ writer }: Opened, slot: number, id: string, expiresAtMs = Infinity): void {
  expect(writer.put(slot, id, makeValue(id, 1, 16), expiresAtMs)).toBe('stored');
}

function use({ reader, clock }: Opened, slot: number, id: string, times: number): void {
  reader.key(slot, id);
  let misses = 0;
  for (let time = 0; time < times; time++) if (reader.get(clock.now()) < 0) misses++;
  if (misses > 0) throw new Error(`${id} is not in the table`);
}

describe('the walk for hot keys', () => {
  it('finds nothing in an empty table', () => {
    const scan = walked(open(2 ** 20).writer.hotKeys(100));
    expect(namesOf(scan)).toEqual([]);
    expect(scan.hasUses).toBe(false);
  });

  it('has every record once, by how often it was used, of all caches', () => {
    const table = open(2 ** 20);
    for (let n = 0; n < 200; n++) put(table, n % 3, `id-${n}`);
    expect(walked(table.writer.hotKeys(500)).hasUses).toBe(false);
    const uses = (n: number) => (n * 7) % 200;
    for (let n = 0; n < 200; n++) use(table, n % 3, `id-${n}`, uses(n));
    const scan = walked(table.writer.hotKeys(500), 1);
    expect(scan.hasUses).toBe(true);
    const names = Array.from({ length: 200 }, (_, n) => n).sort((a, b) => uses(b) - uses(a));
    expect(namesOf(scan)).toEqual(names.map(n => `${n % 3}/id-${n}`));
    expect(namesOf(walked(table.writer.hotKeys(30)))).toEqual(
      names.slice(0, 30).map(n => `${n % 3}/id-${n}`),
    );
  });

  it('leaves out what has expired, what was removed and what was emptied', () => {
    const table = open(2 ** 20);
    for (const [slot, id] of [
      [0, 'kept'],
      [0, 'removed'],
      [1, 'emptied'],
    ] as const)
      put(table, slot, id);
    put(table, 0, 'expired', table.clock.now() + 1000);
    table.clock.advance(2000);
    const scan = walked(table.writer.hotKeys(10));
    table.writer.remove(0, 'removed');
    table.caches.raiseEpoch(1);
    expect(namesOf(scan)).toEqual(['0/kept']);
  });

  it('does as much in a step as it is told', () => {
    const { writer } = open(2 ** 20);
    let steps = 1;
    const scan = writer.hotKeys(10);
    while (!scan.step(64)) steps++;
    let all = 0;
    const whole = writer.hotKeys(10);
    while (!whole.step(1)) all++;
    expect(all).toBeGreaterThan(1_000);
    expect(Math.abs(steps - all / 64)).toBeLessThanOrEqual(2);
  });

  // As in the file's opening comment: 0.87 there, where the true hottest quarter had 0.90.
  it('finds the hottest quarter of what a full table holds, near enough', () => {
    const table = open(2 ** 21);
    const documents = 80_000;
    const { draw, massOf } = zipfOf(documents);
    for (let n = 0; n < 5 * documents; n++) {
      const id = draw();
      table.reader.key(0, id);
      if (table.reader.get(table.clock.now()) < 0) table.writer.put(0, id, makeValue(id, 1, 16), Infinity);
    }
    const all = namesOf(walked(table.writer.hotKeys(documents)));
    expect(all.length).toBeGreaterThan(documents / 8);
    expect(all.length).toBeLessThan(documents / 2);
    const hottest = namesOf(walked(table.writer.hotKeys(Math.ceil(all.length / 4))));
    const total = massOf(all);
    const best = [...all].sort((a, b) => massOf([b]) - massOf([a])).slice(0, hottest.length);
    console.log(
      `the hottest quarter of ${all.length}: ${(massOf(hottest) / total).toFixed(3)} of uses, ` +
        `the true one ${(massOf(best) / total).toFixed(3)}`,
    );
    expect(massOf(hottest)).toBeGreaterThan(0.94 * massOf(best));
  });

  it('tells hot records apart again after all marks were at their maximum', () => {
    const table = open(2 ** 20);
    const documents = 4_000;
    for (let n = 0; n < documents; n++) put(table, 0, `doc-${n}`);
    for (let n = 0; n < documents; n++) use(table, 0, `doc-${n}`, 260);
    const { draw, massOf } = zipfOf(documents);
    const quarter = documents / 4;
    const found = () => massOf(namesOf(walked(table.writer.hotKeys(quarter))));
    // All alike: a quarter of the records has a quarter of the uses or so, whatever the traffic was.
    const blind = found();
    for (let scan = 0; scan < 6; scan++) {
      for (let n = 0; n < 10 * documents; n++) use(table, 0, draw(), 1);
      found();
    }
    const best = massOf(Array.from({ length: quarter }, (_, rank) => `0/doc-${rank}`));
    expect(blind).toBeLessThan(0.7 * best);
    expect(found()).toBeGreaterThan(0.97 * best);
  });
});

describe('putting hot records back', () => {
  it('takes free room only, and drops nothing that traffic has brought', () => {
    const table = open(2 ** 20);
    const { writer, caches } = table;
    put(table, 0, 'traffic');
    let added = 0;
    for (let n = 0; !writer.isFull; n++)
      if (writer.addHot(0, `doc-${n}`, makeValue(`doc-${n}`, 1, 16), Infinity, 9)) added++;
    expect(added).toBeGreaterThan(4_000);
    expect(caches.figures(0)).toMatchObject({ entries: added + 1, evicted: 0, crowded: 0 });
    // Full is full: nothing gives way for what was hot, though it does for what is new.
    for (let n = 0; n < 500; n++)
      expect(writer.addHot(0, `late-${n}`, makeValue('late', 1, 16), Infinity, 255)).toBe(false);
    expect(caches.figures(0)).toMatchObject({ entries: added + 1, evicted: 0, crowded: 0 });
    use(table, 0, 'traffic', 1);
    for (let n = 0; n < 500; n++) put(table, 0, `new-${n}`);
    expect(caches.figures(0).evicted).toBeGreaterThan(0);
  });

  it('leaves a record that is there as it is, and takes the place of one that is dead', () => {
    const { writer, caches, clock, reader } = open(2 ** 20);
    const add = (version: number, expiresAtMs = Infinity) =>
      writer.addHot(0, 'a', makeValue('a', version, 16), expiresAtMs, 3);
    expect(add(1)).toBe(true);
    expect(add(2)).toBe(false);
    reader.key(0, 'a');
    expect(reader.peek(clock.now())).toBe(64);
    expect(checkValue('a', reader.words, 64)).toBe(1);
    caches.raiseEpoch(0);
    expect(add(2, clock.now() + 1000)).toBe(true);
    clock.advance(2000);
    expect(add(3)).toBe(true);
  });

  it('gives each the heat it had: a walk finds the same again', () => {
    const before = open(2 ** 20);
    for (let n = 0; n < 300; n++) {
      put(before, n % 2, `id-${n}`);
      use(before, n % 2, `id-${n}`, (n * 13) % 300);
    }
    const keys = [...walked(before.writer.hotKeys(1_000)).keys()].map(({ slot, id, heat }) => ({
      slot,
      id: Buffer.from(id).toString(),
      heat,
    }));
    expect(new Set(keys.map(({ heat }) => heat)).size).toBeGreaterThan(200);
    const { writer } = open(2 ** 20);
    for (const { slot, id, heat } of keys)
      expect(writer.addHot(slot, id, makeValue(id, 1, 16), Infinity, heat)).toBe(true);
    const heats = new Map(
      [...walked(writer.hotKeys(1_000)).keys()].map(({ slot, id, heat }) => [
        `${slot}/${Buffer.from(id).toString()}`,
        heat,
      ]),
    );
    expect(heats).toEqual(new Map(keys.map(({ slot, id, heat }) => [`${slot}/${id}`, heat])));
  });

  it('keeps the hit ratio there was, by heat', () => {
    const documents = 80_000;
    const before = open(2 ** 21);
    const { draw } = zipfOf(documents);
    const ratio = (table: Opened, reads: number) => {
      let hits = 0;
      for (let n = 0; n < reads; n++) {
        const id = draw();
        table.reader.key(0, id);
        if (table.reader.get(table.clock.now()) >= 0) hits++;
        else table.writer.put(0, id, makeValue(id, 1, 16), Infinity);
      }
      return hits / reads;
    };
    ratio(before, 4 * documents);
    const was = ratio(before, documents);
    const ratiosAfter = (heatOf: (heat: number) => number) => {
      const after = open(2 ** 21);
      for (const { slot, id, heat } of walked(before.writer.hotKeys(documents)).keys()) {
        const name = Buffer.from(id).toString();
        after.writer.addHot(slot, name, makeValue(name, 1, 16), Infinity, heatOf(heat));
      }
      return Array.from({ length: 4 }, () => ratio(after, documents / 4));
    };
    const [kept, cold] = [ratiosAfter(heat => heat), ratiosAfter(() => 0)];
    const told = (ratios: readonly number[]) => ratios.map(value => value.toFixed(3)).join(' ');
    console.log(`hit ratio ${was.toFixed(3)}, then ${told(kept)}, and without heat ${told(cold)}`);
    for (const value of kept) expect(value).toBeGreaterThan(0.98 * was);
    expect(Math.min(...cold)).toBeLessThan(0.97 * was);
  });
});

/** Document n has rank n. */
function zipfOf(documents: number) {
  const random = new Random(3, 'zipf');
  const zipf = new Zipf(documents, 0.99, random);
  return {
    draw: () => `doc-${zipf.next()}`,
    massOf: (names: readonly string[]) =>
      names.reduce((sum, name) => sum + zipf.probability(Number(name.slice('0/doc-'.length))), 0),
  };
}
