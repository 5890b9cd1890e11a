/**
 * The shared table beside a plain Map, in one process and alternating rounds: get, put, cost of a record.
 * `node --expose-gc dist/native-free-bench/table.js [--tiny]`. Ratios within one run are what counts.
 *
 * Both sides build the same fresh key string for every get, as a request would; the Map holds
 * `Uint8Array` values and hands them out uncopied, the table copies 256 bytes out.
 */
import { fileURLToPath } from 'node:url';
import { assert } from '../src/base/assert.js';
import { systemClock } from '../src/base/clock.js';
import { Caches } from '../src/l1/caches.js';
import { POLICIES } from '../src/l1/eviction.js';
import { claimLane } from '../src/l1/lane-owner.js';
import { createTable, shapeOf, type TableHandle, TableView } from '../src/l1/layout.js';
import { TableReader } from '../src/l1/table-reader.js';
import { TableWriter } from '../src/l1/table-writer.js';

const SEED = 42;
const VALUE_BYTES = 256;

interface Sizes {
  readonly rounds: number;
  readonly gets: number;
  readonly workingSets: readonly number[];
  readonly puts: number;
  readonly brimBytes: number;
}
const FULL: Sizes = {
  rounds: 15,
  gets: 200_000,
  workingSets: [1000, 100_000],
  puts: 400_000,
  brimBytes: 2 ** 28,
};
const TINY: Sizes = { rounds: 3, gets: 5000, workingSets: [1000], puts: 5000, brimBytes: 2 ** 24 };

/** Park and Miller's generator: the same sequence for both sides. */
function lehmer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state;
  };
}

function open(
  bytes: number,
  shards: number | undefined,
  recordBytes: number,
): { handle: TableHandle; writer: TableWriter } {
  const shape = shapeOf({ bytes, recordBytes, caches: 16, ...(shards === undefined ? {} : { shards }) });
  const hashKey = Int32Array.of(0x1234567, 0x89abcde, 0x3456789, 0x2bcdef0);
  const handle = createTable(shape, { nowMs: Date.now(), hashKey });
  const claim = claimLane(handle, 0);
  assert(claim !== undefined, 'the lane is free');
  return {
    handle,
    writer: new TableWriter(handle, { lane: 0, claim, clock: systemClock, versionOf: () => 0 }),
  };
}

/** Processor time, not wall time: other work on the machine counts less. */
function nsPerCall(calls: number, run: () => void): number {
  const start = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(start);
  return ((user + system) * 1000) / calls;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  return `${sorted[0]?.toFixed(2)} to ${sorted.at(-1)?.toFixed(2)}`;
}

function benchGets(sizes: Sizes, keys: number): void {
  const { handle, writer } = open(2 ** 26, 4, VALUE_BYTES + 16);
  const map = new Map<string, Uint8Array>();
  const value = new Uint8Array(VALUE_BYTES).fill(7);
  for (let key = 0; key < keys; key++) {
    writer.put(0, `doc:${key}:features`, value, Infinity);
    map.set(`doc:${key}:features`, value.slice());
  }
  const reader = new TableReader(handle, 0);
  const nowMs = Date.now();
  const fromMap = (next: () => number): number => {
    let sum = 0;
    for (let get = 0; get < sizes.gets; get++) {
      const found = map.get(`doc:${next() % keys}:features`);
      sum += found === undefined ? 0 : found[0]!;
    }
    return sum;
  };
  const fromTable = (next: () => number): number => {
    let sum = 0;
    for (let get = 0; get < sizes.gets; get++) {
      reader.key(0, `doc:${next() % keys}:features`);
      if (reader.get(nowMs) >= 0) sum += reader.bytes[0]!;
    }
    return sum;
  };
  const ratios: number[] = [];
  const table: number[] = [];
  const plain: number[] = [];
  for (let round = -2; round < sizes.rounds; round++) {
    let hits = 0;
    const mapNs = nsPerCall(sizes.gets, () => {
      hits = fromMap(lehmer(SEED + round + 2));
    });
    assert(hits === sizes.gets * 7, 'every get of the Map hits');
    const tableNs = nsPerCall(sizes.gets, () => {
      hits = fromTable(lehmer(SEED + round + 2));
    });
    assert(hits === sizes.gets * 7, 'every get of the table hits');
    if (round < 0 || mapNs === 0) continue;
    ratios.push(tableNs / mapNs);
    table.push(tableNs);
    plain.push(mapNs);
  }
  row(`get, ${keys} keys`, median(table), median(plain), `${median(ratios).toFixed(2)} (${spread(ratios)})`);
}

/** Bytes of garbage a get leaves: the key strings are made before. */
function benchAllocation(sizes: Sizes): void {
  if (globalThis.gc === undefined) {
    process.stdout.write('allocation: run with --expose-gc\n');
    return;
  }
  const { handle, writer } = open(2 ** 24, 4, VALUE_BYTES + 16);
  const ids = Array.from({ length: 1000 }, (_, key) => `doc:${key}:features`);
  for (const id of ids) writer.put(0, id, new Uint8Array(VALUE_BYTES), Infinity);
  const reader = new TableReader(handle, 0);
  const nowMs = Date.now();
  const run = (): void => {
    for (let get = 0; get < sizes.gets; get++) {
      reader.key(0, ids[get % 1000]!);
      reader.get(nowMs);
    }
  };
  for (let warm = 0; warm < 10; warm++) run();
  globalThis.gc();
  const before = process.memoryUsage().heapUsed;
  run();
  const bytes = process.memoryUsage().heapUsed - before;
  process.stdout.write(`allocation: ${(bytes / sizes.gets).toFixed(3)} bytes a get\n`);
}

function benchPuts(sizes: Sizes): void {
  const value = new Uint8Array(300).fill(9);
  for (const policy of POLICIES) {
    const { handle, writer } = open(2 ** 26, 4, 320);
    new Caches(handle).configure(0, { policy, budgetBytes: 0 });
    const map = new Map<string, Uint8Array>();
    let key = 0;
    const putNs: number[] = [];
    const mapNs: number[] = [];
    for (let round = -1; round < Math.min(5, sizes.rounds); round++) {
      const first = key;
      const table = nsPerCall(sizes.puts, () => {
        for (let put = 0; put < sizes.puts; put++) writer.put(0, `doc:${key++}:features`, value, Infinity);
      });
      map.clear();
      const plain = nsPerCall(sizes.puts, () => {
        for (let put = 0; put < sizes.puts; put++) map.set(`doc:${first + put}:features`, value.slice());
      });
      if (round < 0) continue;
      putNs.push(table);
      mapNs.push(plain);
    }
    const ratio = median(putNs.map((ns, at) => ns / mapNs[at]!));
    row(`put 300 B, ${policy}`, median(putNs), median(mapNs), ratio.toFixed(2));
  }
}

/** Fills to the brim and counts: all memory, the writer's own too, beside keys and values. */
export function costPerRecord(bytes: number): { cost: number; entries: number; crowded: number } {
  const { handle, writer } = open(bytes, undefined, 192);
  const caches = new Caches(handle);
  const next = lehmer(SEED);
  const value = new Uint8Array(256);
  let before = -1;
  let written = 0;
  // Full once the count of records stands still over a tenth of the table.
  const chunk = Math.ceil(bytes / 216 / 10);
  while (caches.figures(0).entries > before || written < (2 * bytes) / 216) {
    before = caches.figures(0).entries;
    // Keys of 16 to 23 bytes, values of 156 to 188: 192 together, on average.
    for (let put = 0; put < chunk; put++) {
      const id = String(next()).padStart(16 + (next() & 7), 'k');
      writer.put(0, id, value.subarray(0, 156 + (next() % 9) * 4), Infinity);
    }
    written += chunk;
  }
  const { entries, bytes: live, crowded } = caches.figures(0);
  // Live bytes count a header of 12 and the key's padding; of 16 to 23, a key has 1.5 bytes of that.
  const keysAndValues = live - entries * 13.5;
  // All but the readers' scratch, which goes by threads, not by records.
  const all = new TableView(handle).places.scratch * 4 + writer.privateBytes;
  return { cost: (all - keysAndValues) / entries, entries, crowded };
}

function row(what: string, tableNs: number, mapNs: number, ratio: string): void {
  const figures = `${tableNs.toFixed(0).padStart(8)} ns ${mapNs.toFixed(0).padStart(8)} ns   ${ratio}`;
  process.stdout.write(`${what.padEnd(24)}${figures}\n`);
}

function main(): void {
  const sizes = process.argv.includes('--tiny') ? TINY : FULL;
  process.stdout.write(`seed ${SEED}\n${''.padEnd(24)}      table         Map   ratio (spread)\n`);
  for (const keys of sizes.workingSets) benchGets(sizes, keys);
  benchPuts(sizes);
  benchAllocation(sizes);
  const { cost, entries } = costPerRecord(sizes.brimBytes);
  const size = `${sizes.brimBytes / 2 ** 20} MiB, ${entries} records`;
  process.stdout.write(`cost beside key and value: ${cost.toFixed(2)} bytes a record (${size})\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
