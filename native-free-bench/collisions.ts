/**
 * What keys that were crafted to collide cost: `node dist/native-free-bench/collisions.js [--tiny]`.
 *
 * An attacker cannot make them, since the hash is keyed by the process; here the key is known, and ids are tried until
 * enough share one home bucket. Gets and misses of those are timed in blocks, in turn with as many ordinary ones, and
 * the 95th percentiles of the blocks compared.
 */
import { assert } from '../src/base/assert.js';
import { systemClock } from '../src/base/clock.js';
import { homeBucket, Key } from '../src/l1/hash.js';
import { claimLane } from '../src/l1/lane-owner.js';
import { createTable, PROBE_BUCKETS, SLOTS, shapeOf } from '../src/l1/layout.js';
import { TableReader } from '../src/l1/table-reader.js';
import { TableWriter } from '../src/l1/table-writer.js';

const SIZES = process.argv.includes('--tiny')
  ? { bytes: 2 ** 22, collisions: 64, rounds: 3, blocks: 20 }
  : { bytes: 2 ** 24, collisions: 1024, rounds: 15, blocks: 400 };
const BLOCK_GETS = 100;
const VALUE = new Uint8Array(256).fill(7);

const shape = shapeOf({ bytes: SIZES.bytes, recordBytes: 270, caches: 1, shards: 1 });
const hashKey = Int32Array.of(0x1234567, 0x89abcde, 0x3456789, 0x2bcdef0);
const handle = createTable(shape, { nowMs: Date.now(), hashKey });
const claim = claimLane(handle, 0);
assert(claim !== undefined, 'the lane is free');
const writer = new TableWriter(handle, { lane: 0, claim, clock: systemClock, versionOf: () => 0 });
const reader = new TableReader(handle, 0);
const nowMs = Date.now();

/** Ids whose home is bucket 0: one in as many as there are buckets. */
function collidingIds(count: number): string[] {
  const key = new Key(hashKey);
  const found: string[] = [];
  for (let n = 0; found.length < count; n++) {
    key.fromString(0, `c${n}`);
    if (homeBucket(key.hashLow, shape.buckets) === 0) found.push(`c${n}`);
  }
  return found;
}

/** Nanoseconds a get, at the 95th percentile of blocks; and how many of all gets hit. */
function p95(ids: readonly string[]): { ns: number; hits: number } {
  const blocks: number[] = [];
  let at = 0;
  let hits = 0;
  for (let block = 0; block < SIZES.blocks; block++) {
    const began = process.hrtime.bigint();
    for (let get = 0; get < BLOCK_GETS; get++) {
      reader.key(0, ids[at]!);
      if (reader.get(nowMs) >= 0) hits++;
      at = at + 1 === ids.length ? 0 : at + 1;
    }
    blocks.push(Number(process.hrtime.bigint() - began) / BLOCK_GETS);
  }
  blocks.sort((a, b) => a - b);
  return { ns: blocks[Math.floor(blocks.length * 0.95)] ?? 0, hits: hits / (SIZES.blocks * BLOCK_GETS) };
}

function compare(what: string, crafted: readonly string[], ordinary: readonly string[]): void {
  const ratios: number[] = [];
  let last = '';
  for (let round = -3; round < SIZES.rounds; round++) {
    const [bad, good] = [p95(crafted), p95(ordinary)];
    if (round < 0) continue;
    ratios.push(bad.ns / good.ns);
    last = `${bad.ns.toFixed(0)} ns beside ${good.ns.toFixed(0)} ns, hit ratios ${bad.hits.toFixed(2)} and ${good.hits.toFixed(2)}`;
  }
  ratios.sort((a, b) => a - b);
  const [low, middle, high] = [ratios[0], ratios[ratios.length >> 1], ratios.at(-1)].map(ratio =>
    ratio?.toFixed(2),
  );
  process.stdout.write(`${what}: P95 ${middle} × ordinary (${low} to ${high}); last round ${last}\n`);
}

const ids = collidingIds(2 * SIZES.collisions);
const crafted = ids.slice(0, SIZES.collisions);
const ordinary = Array.from({ length: SIZES.collisions }, (_, n) => `o${n}`);
for (const id of [...ordinary, ...crafted]) writer.put(0, id, VALUE, Infinity);
process.stdout.write(
  `${SIZES.collisions} ids with one home bucket of ${shape.buckets}; a probe looks into ${PROBE_BUCKETS} buckets of ${SLOTS} at most\n`,
);
compare('hit', crafted, ordinary);
compare(
  'miss',
  ids.slice(SIZES.collisions),
  Array.from(ordinary, id => `missing-${id}`),
);
