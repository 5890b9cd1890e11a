/**
 * Making room in one shard: whose segment gives way, and what of it is kept.
 *
 * The reserve: one segment is always free between puts. What is kept of a segment fits what is left of the queue's last
 * segment and one more, so copying never lacks room; then the emptied segment becomes the reserve.
 *
 * Who gives way: the cache most over its share. As the shares together are at most the log, some cache is over its
 * share whenever the log is full, and one below its share is never asked.
 */

import { DROP_TO_GHOST, markOfVerdict, policyOf, queueOfVerdict, queueToReclaim } from './eviction.js';
import { Ghost } from './ghost.js';
import { Key } from './hash.js';
import {
  CACHE,
  COUNTER,
  EPOCH_MASK,
  EPOCH_SHIFT_CACHE,
  KEY_BYTES_SHIFT,
  LINE_WORDS,
  NEVER,
  RECORD_HEADER_WORDS,
  SLOT_LOAD,
  SLOTS,
  type TableView,
} from './layout.js';
import { MAIN, NO_SEGMENT, type Queue, SegmentLog, SMALL } from './segment-log.js';
import { NO_SLOT, type Shard } from './shard.js';

/** Bytes of segments that a put may scan with care, about a millisecond's work; after that nothing is kept. */
const SCAN_BYTES_MAX = 2 ** 21;
/** How often a put may reclaim for the sake of free slots. */
const CROWDED_SCANS_MAX = 32;
/** Above the load that the index is sized for, so that the log fills first when records are as large as expected. */
const SLOT_LOAD_MAX = SLOT_LOAD + 0.02;
/** Fingerprints that count, for every record there is. Tuned, as the marks in `eviction.ts`, on test/fixtures/traces. */
const GHOST_REACH = 0.8;
const LEVEL_WEIGHT = 1 / 256;
const NO_CACHE = -1;

export class Reclaimer {
  readonly log: SegmentLog;
  readonly #view: TableView;
  readonly #shard: Shard;
  readonly #key: Key;
  readonly #slotsMax: number;
  readonly #scansMax: number;
  readonly #levels: Float64Array;
  readonly #epochsSeen: Int32Array;
  /** Made when the first cache with this policy needs it. */
  #ghost: Ghost | undefined;

  constructor(view: TableView, shard: Shard) {
    this.log = new SegmentLog(view, shard.at, shard.failpoint);
    this.#view = view;
    this.#shard = shard;
    this.#key = new Key(view.hashKey);
    this.#slotsMax = Math.floor(view.shape.buckets * SLOTS * SLOT_LOAD_MAX);
    this.#scansMax = Math.ceil(SCAN_BYTES_MAX / view.shape.segmentBytes);
    this.#levels = new Float64Array(view.shape.caches);
    this.#epochsSeen = new Int32Array(view.shape.caches);
    for (let cache = 0; cache < view.shape.caches; cache++) this.#epochsSeen[cache] = this.#epoch(cache);
  }

  get privateBytes(): number {
    return (
      this.log.privateBytes +
      this.#levels.byteLength +
      this.#epochsSeen.byteLength +
      (this.#ghost?.privateBytes ?? 0)
    );
  }

  /** Whether a record that is added may need another's room. */
  get isFull(): boolean {
    return this.log.freeCount <= 1 || this.#shard.slotsUsed >= this.#slotsMax;
  }

  /** The queue that a new record of the cache belongs in. What is known to be hot needs no probation. */
  queueOfNew(cache: number, key: Key, isHot: boolean): Queue {
    const policy = policyOf(this.#policy(cache));
    if (policy.smallShare === 0 || (isHot && policy.hasGhost)) return MAIN;
    const wasHere =
      policy.hasGhost && this.#ghost?.take(key.hashLow, key.hashHigh, this.#ghostReach()) === true;
    return wasHere ? MAIN : SMALL;
  }

  /** The cache's epoch may have been raised: what it has so far is then stale, and goes first. */
  noticeEpoch(cache: number): void {
    const epoch = this.#epoch(cache);
    if (this.#epochsSeen[cache] === epoch) return;
    this.#epochsSeen[cache] = epoch;
    this.log.startAfresh(cache);
  }

  /** Room for a record at the end of the queue, and for a slot. False when all memory is promised to other caches. */
  makeRoom(cache: number, queue: Queue, words: number, nowTick: number): boolean {
    const { log } = this;
    for (let scans = 0; ; scans++) {
      const isCrowded = this.#shard.slotsUsed >= this.#slotsMax && scans < CROWDED_SCANS_MAX;
      const hasRoom = log.hasRoom(cache, queue, words);
      if (!isCrowded) {
        if (hasRoom) return true;
        if (log.freeCount > 1) {
          log.extend(cache, queue);
          return true;
        }
      }
      const victim = this.#victim(cache);
      if (victim === NO_CACHE) {
        if (!isCrowded) return false;
        if (hasRoom) return true;
        if (log.freeCount <= 1) return false;
        log.extend(cache, queue);
        return true;
      }
      const victimQueue = this.#queueOf(victim);
      this.reclaim(victim, victimQueue, scans < this.#scansMax, nowTick);
    }
  }

  /** Empties the queue's oldest segment, keeping what the policy finds worth it if anything may be kept. */
  reclaim(cache: number, queue: Queue, mayKeep: boolean, nowTick: number): void {
    const { log } = this;
    const shard = this.#shard;
    const key = this.#key;
    const segment = log.unlinkOldest(cache, queue);
    const identity = (cache << EPOCH_SHIFT_CACHE) | (this.#epoch(cache) & EPOCH_MASK);
    const end = log.start(segment) + log.used(segment);
    shard.failpoint?.('reclaim-begun');
    for (let place = log.start(segment); place < end; ) {
      const at = shard.at + place;
      const words = shard.recordWords(place);
      key.hash(cache, shard.words, at + RECORD_HEADER_WORDS, shard.words[at]! >>> KEY_BYTES_SHIFT);
      const slot = shard.findPlace(key, place);
      if (slot !== NO_SLOT) {
        const verdict = this.#verdict(cache, queue, slot, at, identity, mayKeep, nowTick);
        if (verdict >= 0) this.#keep(cache, slot, verdict, place, words);
        else {
          if (verdict === DROP_TO_GHOST) this.#remember(key);
          this.drop(cache, slot, place);
        }
        shard.failpoint?.('reclaim-record');
      }
      place += words;
    }
    shard.failpoint?.('reclaim-emptied');
    log.release(segment);
  }

  /** Removes all of a cache's records here: after this, none of an earlier epoch is left. */
  purge(cache: number): void {
    for (const queue of [SMALL, MAIN] as const) {
      while (this.log.oldest(cache, queue) !== NO_SEGMENT) this.reclaim(cache, queue, false, 0);
    }
  }

  /** Frees segments of raised epochs, at most so many; true when none is left. */
  sweep(segmentsMax: number): boolean {
    let left = segmentsMax;
    for (let cache = 0; cache < this.log.cachesSeen; cache++) {
      if (this.log.owned(cache) === 0) continue;
      this.noticeEpoch(cache);
      for (const queue of [SMALL, MAIN] as const) {
        while (this.log.isStale(cache, this.log.oldest(cache, queue))) {
          if (left-- === 0) return false;
          this.reclaim(cache, queue, false, 0);
        }
      }
    }
    return true;
  }

  /** A record leaves the table. */
  drop(cache: number, slot: number, place: number): void {
    const shard = this.#shard;
    shard.clear(slot);
    shard.countRecord(cache, shard.words[shard.at + place + 2]!, shard.recordWords(place), -1);
  }

  /** Counts why the record goes, when it goes. */
  #verdict(
    cache: number,
    queue: Queue,
    slot: number,
    at: number,
    identity: number,
    mayKeep: boolean,
    nowTick: number,
  ): number {
    const shard = this.#shard;
    if (shard.words[at + 2] !== identity) {
      shard.count(cache, COUNTER.emptied, 1);
      return -1;
    }
    const expiry = shard.words[at + 1]! >>> 0;
    if (nowTick >= expiry) {
      shard.count(cache, COUNTER.expired, 1);
      return -1;
    }
    const policy = policyOf(this.#policy(cache));
    const mark = shard.mark(slot);
    const ticksLeft = expiry === NEVER ? NEVER : expiry - nowTick;
    const level = this.#levels[cache]!;
    this.#levels[cache] = level + (policy.measure(mark, ticksLeft) - level) * LEVEL_WEIGHT;
    const verdict = policy.judge(queue, mark, ticksLeft, level);
    if (mayKeep && verdict >= 0) return verdict;
    shard.count(cache, COUNTER.evicted, 1);
    return verdict >= 0 ? -1 : verdict;
  }

  #keep(cache: number, slot: number, verdict: number, place: number, words: number): void {
    const { log } = this;
    const shard = this.#shard;
    let queue = queueOfVerdict(verdict);
    if (!log.hasRoom(cache, queue, words)) {
      // Where the reserve went to the other queue, that has room for all that is left.
      if (log.freeCount > 0) log.extend(cache, queue);
      else queue = queue === SMALL ? MAIN : SMALL;
    }
    const to = log.nextPlace(cache, queue);
    shard.words.copyWithin(shard.at + to, shard.at + place, shard.at + place + words);
    log.commit(cache, queue, words);
    shard.failpoint?.('reclaim-copied');
    shard.setMark(slot, markOfVerdict(verdict));
    shard.move(slot, this.#key.hashHigh, to);
  }

  #remember(key: Key): void {
    this.#ghost ??= new Ghost(this.#view.shape.buckets * SLOTS * SLOT_LOAD * GHOST_REACH);
    this.#ghost.add(key.hashLow, key.hashHigh);
  }

  #ghostReach(): number {
    return this.#shard.slotsUsed * GHOST_REACH;
  }

  #victim(requester: number): number {
    const { log } = this;
    let victim = NO_CACHE;
    let victimOver = 0;
    for (let cache = 0; cache < log.cachesSeen; cache++) {
      const owned = log.owned(cache);
      if (owned === 0) continue;
      this.noticeEpoch(cache);
      if (log.isStale(cache, log.oldest(cache, SMALL)) || log.isStale(cache, log.oldest(cache, MAIN)))
        return cache;
      const over = owned - this.#share(cache) + (cache === requester ? 1 : 0);
      if (over > victimOver) {
        victim = cache;
        victimOver = over;
      }
    }
    return victim;
  }

  #queueOf(cache: number): Queue {
    const { log } = this;
    if (log.isStale(cache, log.oldest(cache, SMALL))) return SMALL;
    if (log.isStale(cache, log.oldest(cache, MAIN))) return MAIN;
    if (log.oldest(cache, MAIN) === NO_SEGMENT) return SMALL;
    if (log.oldest(cache, SMALL) === NO_SEGMENT) return MAIN;
    return queueToReclaim(
      policyOf(this.#policy(cache)),
      log.queueWords(cache, SMALL),
      log.queueWords(cache, MAIN),
    );
  }

  isOverShare(cache: number): boolean {
    return this.log.owned(cache) > this.#share(cache);
  }

  /** Segments of this shard that the cache is promised. */
  #share(cache: number): number {
    const { shards, segmentBytes } = this.#view.shape;
    return Math.floor(this.#budget(cache) / (shards * segmentBytes));
  }

  #budget(cache: number): number {
    return this.#view.doubles[(this.#view.places.caches + cache * LINE_WORDS + CACHE.budget) / 2]!;
  }

  #policy(cache: number): number {
    return this.#view.words[this.#view.places.caches + cache * LINE_WORDS + CACHE.policy]!;
  }

  #epoch(cache: number): number {
    return Atomics.load(this.#view.words, this.#view.places.caches + cache * LINE_WORDS + CACHE.epoch);
  }
}
