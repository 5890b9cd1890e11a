/**
 * What a lane's successor does to a shard before it writes: its predecessor may have been ended at any step.
 *
 * A step order makes this short. A record counts once the segment's recorded end has passed it, and is seen once a
 * bucket refers to it; a bucket is odd while it changes; a segment is released after nothing refers to it. So: odd
 * buckets are emptied and made even (12 records of a cache are no loss, a torn one is), references that lead nowhere
 * are dropped, sums are counted anew, and the reserve is restored if copying had just taken it.
 */

import { Key } from './hash.js';
import {
  BUCKET_WORDS,
  CACHE,
  EPOCH_MASK,
  EPOCH_SHIFT_CACHE,
  KEY_BYTES_SHIFT,
  LINE_WORDS,
  RECORD_HEADER_WORDS,
  REF_MASK,
  REFS_AT,
  SHARD,
  SLOTS,
  TAGS_AT,
  type TableView,
} from './layout.js';
import type { Reclaimer } from './reclaim.js';
import { MAIN, NO_SEGMENT, type Queue, SMALL } from './segment-log.js';
import type { Shard } from './shard.js';

const FRESH = 0;
const WRITTEN = 1;

export function repairShard(view: TableView, shard: Shard, reclaimer: Reclaimer): void {
  const { words } = view;
  if (words[shard.at + SHARD.state] === FRESH) {
    words[shard.at + SHARD.state] = WRITTEN;
    return;
  }
  const counters = shard.at + view.places.counters;
  for (let cache = 0; cache < view.shape.caches; cache++) {
    // Entries and bytes of no epoch: the first record counted below starts them at zero.
    words.fill(0, counters + cache * LINE_WORDS, counters + cache * LINE_WORDS + 4);
  }
  for (let bucket = 0; bucket < shard.buckets; bucket++) evenOut(shard, bucket);
  shard.failpoint?.('repair-evened');
  shard.slotsUsed = 0;
  const key = new Key(view.hashKey);
  for (let slot = 0; slot < shard.buckets * SLOTS; slot++) {
    const place = shard.placeOf(slot);
    if (place === 0) continue;
    shard.slotsUsed++;
    const cache = cacheOfWhole(shard, reclaimer, key, slot, place);
    if (cache < 0) shard.clear(slot);
    else if (isCurrent(view, cache, words[shard.at + place + 2]!))
      shard.countRecord(cache, words[shard.at + place + 2]!, shard.recordWords(place), 1);
  }
  shard.failpoint?.('repair-counted');
  restoreReserve(reclaimer);
}

function isCurrent(view: TableView, cache: number, identity: number): boolean {
  const epoch = Atomics.load(view.words, view.cacheAt(cache) + CACHE.epoch);
  return (identity & EPOCH_MASK) === (epoch & EPOCH_MASK);
}

/** Empties a bucket whose writer was cut short, and lets readers in again. A version never goes back. */
function evenOut(shard: Shard, bucket: number): void {
  const at = shard.bucketAt(bucket);
  if ((Atomics.load(shard.words, at) & 1) === 0) return;
  shard.words.fill(0, at + TAGS_AT, at + BUCKET_WORDS);
  shard.failpoint?.('repair-emptied');
  Atomics.add(shard.words, at, 1);
}

/** The cache of the record that the slot refers to, or -1 when that is no whole record of this slot's. */
function cacheOfWhole(shard: Shard, reclaimer: Reclaimer, key: Key, slot: number, place: number): number {
  const { log } = reclaimer;
  const { words } = shard;
  const segment = log.segmentAt(place);
  if (segment === NO_SEGMENT || log.ownerOf(segment) === 0) return -1;
  const end = log.start(segment) + log.used(segment);
  if (place + RECORD_HEADER_WORDS > end || place + shard.recordWords(place) > end) return -1;
  const at = shard.at + place;
  const cache = words[at + 2]! >>> EPOCH_SHIFT_CACHE;
  if (cache !== (log.ownerOf(segment) - 1) >>> 1) return -1;
  const keyAt = (at + RECORD_HEADER_WORDS) * 4;
  key.fromBytes(cache, shard.bytes, keyAt, keyAt + (words[at]! >>> KEY_BYTES_SHIFT));
  // The first slot that holds this key: another one than this is a duplicate, none a wrong tag or window.
  return shard.find(key) === slot ? cache : -1;
}

function restoreReserve(reclaimer: Reclaimer): void {
  const { log } = reclaimer;
  for (let cache = 0; cache < log.cachesSeen && log.freeCount === 0; cache++) {
    const queue: Queue = log.oldest(cache, SMALL) === NO_SEGMENT ? MAIN : SMALL;
    if (log.oldest(cache, queue) !== NO_SEGMENT) reclaimer.reclaim(cache, queue, false, 0);
  }
}

/** For tests: buckets whose version is odd, which none is while its writer is at rest. */
export function oddBuckets(view: TableView): number {
  let odd = 0;
  for (let shard = 0; shard < view.shape.shards; shard++) {
    const at = view.shardAt(shard) + view.places.buckets;
    for (let bucket = 0; bucket < view.shape.buckets; bucket++) {
      odd += Atomics.load(view.words, at + bucket * BUCKET_WORDS) & 1;
    }
  }
  return odd;
}

/** For tests: references in use. */
export function references(view: TableView): number {
  let count = 0;
  for (let shard = 0; shard < view.shape.shards; shard++) {
    const at = view.shardAt(shard) + view.places.buckets;
    for (let bucket = 0; bucket < view.shape.buckets; bucket++) {
      for (let slot = 0; slot < SLOTS; slot++) {
        if ((view.words[at + bucket * BUCKET_WORDS + REFS_AT + slot]! & REF_MASK) !== 0) count++;
      }
    }
  }
  return count;
}
