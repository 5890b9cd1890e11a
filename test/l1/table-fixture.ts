/** What the tests of the shared table have in common: a small table, values that check themselves, seeded chance. */
import { assert } from '../../src/base/assert.js';
import { type Clock, ManualClock } from '../../src/base/clock.js';
import { Caches } from '../../src/l1/caches.js';
import { claimLane } from '../../src/l1/lane-owner.js';
import { createTable, type TableHandle, type TableShape } from '../../src/l1/layout.js';
import type { Failpoint } from '../../src/l1/shard.js';
import { TableReader } from '../../src/l1/table-reader.js';
import { TableWriter } from '../../src/l1/table-writer.js';

const { HEADRACE_TEST_FULL } = process.env;
/** The sizes that the published figures name, instead of those that suit every run. */
export const isFull = HEADRACE_TEST_FULL === '1';

export const SMALL_SHAPE: TableShape = {
  shards: 2,
  lanes: 1,
  caches: 4,
  buckets: 24,
  segments: 12,
  segmentBytes: 1024,
  readers: 1,
  buffers: 0,
};

export interface Opened {
  readonly handle: TableHandle;
  readonly caches: Caches;
  readonly clock: ManualClock;
  readonly writer: TableWriter;
  readonly reader: TableReader;
}

export function openTable(shape: TableShape = SMALL_SHAPE, failpoint?: Failpoint): Opened {
  const clock = new ManualClock();
  const handle = newTable(shape, clock);
  const writer = openWriter(handle, 0, clock, failpoint);
  return { handle, caches: new Caches(handle), clock, writer, reader: new TableReader(handle, 0) };
}

export function newTable(shape: TableShape, clock: Clock): TableHandle {
  return createTable(shape, { nowMs: clock.now(), hashKey: Int32Array.of(11, -22, 33, -44) });
}

export function openWriter(
  handle: TableHandle,
  lane: number,
  clock: Clock,
  failpoint?: Failpoint,
): TableWriter {
  const claim = claimLane(handle, lane);
  assert(claim !== undefined, 'the lane is free');
  const options = { lane, claim, clock, versionOf };
  return new TableWriter(handle, failpoint === undefined ? options : { ...options, failpoint });
}

/**
 * A value of whole words that names its key and version, in every word: version, hash of the key, then words that
 * follow from both. Torn or misplaced, it does not check.
 */
export function makeValue(key: string, version: number, words: number): Uint8Array {
  const value = new Int32Array(Math.max(2, words));
  const tag = hashOf(key);
  value[0] = version;
  value[1] = tag;
  for (let word = 2; word < value.length; word++) value[word] = wordOf(tag, version, word, value.length);
  return new Uint8Array(value.buffer);
}

/** The version of a value that is whole and of this key; -1 otherwise. */
export function checkValue(key: string, words: Int32Array, byteLength: number): number {
  const length = byteLength / 4;
  const version = words[0] ?? 0;
  const tag = hashOf(key);
  if (length < 2 || words[1] !== tag) return -1;
  for (let word = 2; word < length; word++) if (words[word] !== wordOf(tag, version, word, length)) return -1;
  return version;
}

export function versionOf(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24);
}

function wordOf(tag: number, version: number, word: number, length: number): number {
  return Math.imul(tag ^ Math.imul(version, 0x85ebca6b), word * 2 + 1) ^ length;
}

function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return hash;
}

/** Park and Miller's generator: below `limit`. */
export function seeded(seed: number): (limit: number) => number {
  let state = (seed % 2_147_483_646) + 1;
  return limit => {
    state = (state * 48_271) % 2_147_483_647;
    return Math.floor((state / 2_147_483_647) * limit);
  };
}
