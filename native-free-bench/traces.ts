/**
 * Hit ratios of every eviction policy on recorded traces, through the real table: one shard whose log holds exactly so
 * many records. `node dist/native-free-bench/traces.js [DIRECTORY] [--tiny]`; the directory holds the `.u32.gz` files.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { assert } from '../src/base/assert.js';
import { ManualClock } from '../src/base/clock.js';
import { Caches } from '../src/l1/caches.js';
import { POLICIES, type Policy } from '../src/l1/eviction.js';
import { claimLane } from '../src/l1/lane-owner.js';
import { createTable, type TableShape } from '../src/l1/layout.js';
import { TableReader } from '../src/l1/table-reader.js';
import { TableWriter } from '../src/l1/table-writer.js';

/** Percent, from the traces' README: published, or from one reference simulation. */
export const REFERENCES: readonly TraceReference[] = [
  { trace: 'oltp', entries: 1000, lru: 32.83, fifo: 28.53, lfu: 27.98, 's3-fifo': 40.8 },
  { trace: 'oltp', entries: 2000, lru: 42.47, lfu: 35.21, 's3-fifo': 46.96 },
  { trace: 'orm-busy', entries: 5000, lru: 85.46, fifo: 84.29, 's3-fifo': 86.66 },
  { trace: 'web07', entries: 500, lru: 45.58, fifo: 42.75, 's3-fifo': 50.0 },
  { trace: 'web07', entries: 2000, lru: 55.5, fifo: 52.93, 's3-fifo': 57.96 },
  { trace: 'gli', entries: 1000, lru: 11.21, fifo: 11.14, 's3-fifo': 35.05 },
  { trace: 'gli', entries: 2000, lru: 57.41, fifo: 47.9, 's3-fifo': 52.14 },
  { trace: 'multi2', entries: 2000, lru: 49.0, fifo: 44.27, 's3-fifo': 65.71 },
  { trace: 'multi3', entries: 4000, lru: 66.12, fifo: 61.88, 's3-fifo': 67.52 },
  { trace: 'sprite', entries: 600, lru: 83.19, fifo: 78.5, 's3-fifo': 83.21 },
  { trace: 'ps', entries: 1000, lru: 48.55, fifo: 42.49, 's3-fifo': 52.59 },
  { trace: 'corda', entries: 1000, lru: 33.33, fifo: 33.33, 's3-fifo': 33.33 },
];

export type TraceReference = { readonly trace: string; readonly entries: number } & {
  readonly [policy in Policy]?: number;
};

/** A record: header 12, key 4, value 48. */
const RECORD_BYTES = 64;
const VALUE_BYTES = 48;

export function readTrace(directory: string, trace: string): Uint32Array {
  const bytes = gunzipSync(readFileSync(join(directory, `${trace}.u32.gz`)));
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/**
 * Percent of hits. One segment beside the reserve for every so many records, so that never more than `entries` live.
 */
export function hitPercent(trace: Uint32Array, entries: number, policy: Policy, perSegment = 4): number {
  const segments = Math.floor(entries / perSegment) + 1;
  const buckets = Math.ceil(entries / 6);
  const shape: TableShape = {
    shards: 1,
    lanes: 1,
    caches: 1,
    buckets,
    segments,
    segmentBytes: perSegment * RECORD_BYTES,
    readers: 1,
    buffers: 0,
  };
  const clock = new ManualClock();
  const hashKey = Int32Array.of(1, 2, 3, 4);
  const handle = createTable(shape, { nowMs: clock.now(), hashKey });
  const caches = new Caches(handle);
  caches.configure(0, { policy, budgetBytes: 0 });
  const claim = claimLane(handle, 0);
  assert(claim !== undefined, 'the lane is free');
  const writer = new TableWriter(handle, { lane: 0, claim, clock, versionOf: () => 0 });
  const reader = new TableReader(handle, 0);
  const key = new Uint8Array(4);
  const keyWord = new Uint32Array(key.buffer);
  const value = new Uint8Array(VALUE_BYTES);
  const nowMs = clock.now();
  let hits = 0;
  let entriesMax = 0;
  for (let at = 0; at < trace.length; at++) {
    keyWord[0] = trace[at]!;
    reader.keyBytes(0, key, 0, 4);
    if (reader.get(nowMs) >= 0) {
      hits++;
      continue;
    }
    const result = writer.putBytes(0, key, value, Infinity);
    assert(result === 'stored', `a put was not stored: ${result}`);
    if ((at & 1023) === 0) entriesMax = Math.max(entriesMax, caches.figures(0).entries);
  }
  entriesMax = Math.max(entriesMax, caches.figures(0).entries);
  assert(entriesMax <= entries, `${entriesMax} records live where ${entries} may`);
  return (100 * hits) / trace.length;
}

/** Misses of block reads with their recorded sizes, in a log of so many MiB all told. */
export function missesByBytes(
  pairs: Uint32Array,
  mebibytes: number,
  policy: Policy,
  segmentBytes = 2 ** 20,
): number {
  const shards = mebibytes <= 128 ? 1 : mebibytes / 128;
  const segments = (mebibytes * 2 ** 20) / shards / segmentBytes + 1;
  // Blocks of 40 KB on average; the index, and with it the ghost, is sized for that.
  const buckets = Math.ceil((mebibytes * 2 ** 20) / shards / 40_000 / 9);
  const shape: TableShape = {
    shards,
    lanes: 1,
    caches: 1,
    buckets,
    segments,
    segmentBytes,
    readers: 1,
    buffers: 0,
  };
  const clock = new ManualClock();
  const handle = createTable(shape, { nowMs: clock.now(), hashKey: Int32Array.of(1, 2, 3, 4) });
  new Caches(handle).configure(0, { policy, budgetBytes: 0 });
  const claim = claimLane(handle, 0);
  assert(claim !== undefined, 'the lane is free');
  const writer = new TableWriter(handle, { lane: 0, claim, clock, versionOf: () => 0 });
  const reader = new TableReader(handle, 0);
  const value = new Uint8Array(2 ** 17);
  const nowMs = clock.now();
  let misses = 0;
  for (let at = 0; at < pairs.length; at += 2) {
    const id = String(pairs[at]);
    reader.key(0, id);
    if (reader.get(nowMs) >= 0) continue;
    misses++;
    writer.put(0, id, value.subarray(0, pairs[at + 1]! & ~3), Infinity);
  }
  return misses;
}

function byEntries(directory: string, isTiny: boolean): void {
  const policies = POLICIES.filter(policy => policy !== 'ttl');
  process.stdout.write(`hit ratio in percent, beside the reference\n${'trace @ entries'.padEnd(18)}`);
  process.stdout.write(`${policies.map(policy => policy.padStart(16)).join('')}\n`);
  for (const reference of REFERENCES) {
    if (!existsSync(join(directory, `${reference.trace}.u32.gz`))) continue;
    if (isTiny && reference.trace !== 'gli') continue;
    const trace = readTrace(directory, reference.trace);
    let line = `${reference.trace} @ ${reference.entries}`.padEnd(18);
    for (const policy of policies) {
      const percent = hitPercent(trace, reference.entries, policy);
      line += `${percent.toFixed(2)} / ${reference[policy]?.toFixed(2) ?? '-'}`.padStart(16);
    }
    process.stdout.write(`${line}\n`);
  }
}

function bySize(directory: string): void {
  const file = join(directory, 'cloud-physics-io.u32-pairs.gz');
  if (!existsSync(file)) return;
  const bytes = gunzipSync(readFileSync(file));
  const pairs = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  process.stdout.write(
    '\ncloud-physics-io: misses of 113,872 (reference s3-fifo 89,307 / 76,791 / 70,355; lru 93,374 / 81,722 / 71,704)\n',
  );
  for (const policy of ['s3-fifo', 'lru', 'fifo', 'lfu'] as const) {
    const misses = [128, 512, 1024].map(size => missesByBytes(pairs, size, policy));
    process.stdout.write(`${policy.padEnd(10)}${misses.join(' / ')}\n`);
  }
}

function main(): void {
  const args = process.argv.slice(2);
  const isTiny = args.includes('--tiny');
  const fixtures = fileURLToPath(new URL('../../test/fixtures/traces', import.meta.url));
  const directory = args.find(arg => !arg.startsWith('--')) ?? fixtures;
  byEntries(directory, isTiny);
  if (!isTiny) bySize(directory);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
