/**
 * Writing the shared table: one writer a lane, for the shards with `shard % lanes === lane`.
 *
 * A put makes room, appends the record to the log, where nothing refers to it yet, and then publishes it in its bucket.
 * Of two values of a key the one with the larger version stays. A put that cannot store takes away what it would have
 * replaced: the table may forget, but it never serves what is known to be old.
 */
import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { Caches } from './caches.js';
import { Key } from './hash.js';
import { HotKeyScan, markOfHeat } from './hot-keys.js';
import { holdsLane, type LaneClaim } from './lane-owner.js';
import {
  CACHE,
  COUNTER,
  EPOCH_MASK,
  EPOCH_SHIFT_CACHE,
  KEY_BYTES_SHIFT,
  LINE_WORDS,
  NEVER,
  PROBE_BUCKETS,
  RECORD_HEADER_WORDS,
  SLOTS,
  type TableHandle,
  TableView,
  TICK_MS,
} from './layout.js';
import { Reclaimer } from './reclaim.js';
import { Removal, type RemovalTest } from './removal.js';
import { repairShard } from './repair.js';
import type { Queue } from './segment-log.js';
import { type Failpoint, NO_SLOT, Shard } from './shard.js';

export interface TableWriterOptions {
  readonly lane: number;
  readonly claim: LaneClaim;
  readonly clock: Clock;
  /** The version of a packed value that starts at `offset`; larger is newer. */
  readonly versionOf: (bytes: Uint8Array, offset: number) => number;
  readonly failpoint?: Failpoint;
}

/**
 * `stored`; or not, and why: `older` than the one held, `expired` already, of an `epoch` gone by, `too-large` for a
 * segment, or `no-room` as all memory is promised to other caches.
 */
export type PutResult = 'stored' | 'older' | 'expired' | 'epoch' | 'too-large' | 'no-room';

/** One shard with its log. */
export interface OwnedShard {
  readonly shard: Shard;
  readonly reclaimer: Reclaimer;
}

export class TableWriter {
  readonly #view: TableView;
  readonly #caches: Caches;
  readonly #options: TableWriterOptions;
  readonly #key: Key;
  /** By shard; `undefined` for those of other lanes. */
  readonly #owned: readonly (OwnedShard | undefined)[];
  readonly #shardMask: number;

  /** Repairs what a predecessor left. */
  constructor(handle: TableHandle, options: TableWriterOptions) {
    const view = new TableView(handle);
    assert(holdsLane(view, options.lane, options.claim), `lane ${options.lane} belongs to another thread`);
    this.#view = view;
    this.#caches = new Caches(handle);
    this.#options = options;
    this.#key = new Key(view.hashKey);
    this.#shardMask = view.shape.shards - 1;
    this.#owned = Array.from({ length: view.shape.shards }, (_, index) => {
      if (index % view.shape.lanes !== options.lane) return undefined;
      const shard = new Shard(view, index, options.failpoint);
      const reclaimer = new Reclaimer(view, shard);
      repairShard(view, shard, reclaimer);
      return { shard, reclaimer };
    });
  }

  /** Bytes that this writer holds beside the table. */
  get privateBytes(): number {
    return this.#owned.reduce((sum, owned) => sum + (owned?.reclaimer.privateBytes ?? 0), 0);
  }

  /**
   * Stores a value, whose length is a multiple of four. `epoch` is the cache's when the value began to be fetched;
   * without it, the current one. `expiresAtMs` may be `Infinity`.
   */
  put(slot: number, id: string, value: Uint8Array, expiresAtMs: number, epoch?: number): PutResult {
    this.#key.fromString(slot, id);
    return this.#put(value, expiresAtMs, epoch);
  }

  putBytes(slot: number, id: Uint8Array, value: Uint8Array, expiresAtMs: number, epoch?: number): PutResult {
    this.#key.fromBytes(slot, id, 0, id.length);
    return this.#put(value, expiresAtMs, epoch);
  }

  /**
   * As `put`, for a record that was in a table before, with the heat it had there: it need not prove itself anew. Only
   * where nothing has to give way, else it is not stored; nor is it when there is one already.
   */
  addHot(slot: number, id: string, value: Uint8Array, expiresAtMs: number, heat: number): boolean {
    if (!this.canAdd(slot, id) || this.#put(value, expiresAtMs, undefined, heat > 0) !== 'stored')
      return false;
    const { shard } = this.#ownedShard();
    shard.setMark(shard.find(this.#key), markOfHeat(heat));
    return true;
  }

  /** Removes the key; whether there was one. */
  remove(slot: number, id: string): boolean {
    this.#key.fromString(slot, id);
    return this.#remove();
  }

  removeBytes(slot: number, id: Uint8Array): boolean {
    this.#key.fromBytes(slot, id, 0, id.length);
    return this.#remove();
  }

  /** A walk over this lane's records of a cache that removes those that pass the test; see `Removal.step`. */
  removeWhere(slot: number, test: RemovalTest): Removal {
    const owned = this.#owned.filter(shard => shard !== undefined);
    return new Removal(owned, slot, this.#view, test, () => this.#nowTick());
  }

  /** A walk that finds this lane's hottest records, its share of so many of all lanes. */
  hotKeys(keysMax: number): HotKeyScan {
    const shards = this.#owned.filter(owned => owned !== undefined);
    const share = Math.floor((keysMax * shards.length) / this.#owned.length);
    return new HotKeyScan(shards, this.#view, share, () => this.#nowTick());
  }

  /** Whether a put of this key would add it without another record giving way; false when it is there already. */
  canAdd(slot: number, id: string): boolean {
    this.#key.fromString(slot, id);
    const { shard, reclaimer } = this.#ownedShard();
    if (reclaimer.isFull) return false;
    const held = shard.find(this.#key);
    if (held === NO_SLOT) return shard.vacant !== NO_SLOT;
    const identity = (slot << EPOCH_SHIFT_CACHE) | (this.#epoch(slot) & EPOCH_MASK);
    return !this.#isAlive(shard, shard.placeOf(held), identity, this.#nowTick());
  }

  /** Whether all that is added from now on takes the place of something else. */
  get isFull(): boolean {
    return this.#owned.every(owned => owned === undefined || owned.reclaimer.isFull);
  }

  /**
   * Housekeeping, to be called now and then (once a second will do): frees segments of emptied caches, at most so many
   * a shard, and purges caches whose epoch went around. True when nothing was left to do.
   */
  maintain(segmentsMax: number): boolean {
    this.#assertHeld();
    let isDone = true;
    for (const owned of this.#owned) {
      if (owned === undefined) continue;
      isDone = owned.reclaimer.sweep(segmentsMax) && isDone;
      for (let cache = 0; cache < this.#view.shape.caches; cache++) {
        if (this.#epoch(cache) === 0) this.#purge(owned, cache);
      }
    }
    return isDone;
  }

  #put(value: Uint8Array, expiresAtMs: number, epochAsked: number | undefined, isHot = false): PutResult {
    this.#assertHeld();
    assert((value.length & 3) === 0, 'a value is whole words long');
    const key = this.#key;
    const cache = key.slot;
    const owned = this.#ownedShard();
    const { shard, reclaimer } = owned;
    const epoch = this.#epoch(cache);
    if (epoch === 0) this.#purge(owned, cache);
    if (epoch === 0 || (epochAsked !== undefined && epochAsked !== epoch)) return 'epoch';
    reclaimer.noticeEpoch(cache);
    const identity = (cache << EPOCH_SHIFT_CACHE) | (epoch & EPOCH_MASK);
    const nowTick = this.#nowTick();
    const held = shard.find(key);
    const heldPlace = held === NO_SLOT ? 0 : shard.placeOf(held);
    const isHeld = heldPlace !== 0 && this.#isAlive(shard, heldPlace, identity, nowTick);
    const { versionOf } = this.#options;
    if (isHeld && versionOf(value, 0) < versionOf(shard.bytes, shard.valueAt(heldPlace) * 4)) return 'older';

    const words = RECORD_HEADER_WORDS + key.wordLength + value.length / 4;
    const tick = this.#expiryTick(expiresAtMs);
    if (tick <= nowTick || words > reclaimer.log.segmentWords) {
      if (held !== NO_SLOT) reclaimer.drop(cache, held, heldPlace);
      return tick <= nowTick ? 'expired' : 'too-large';
    }
    const queue = isHeld ? reclaimer.log.queueAt(heldPlace) : reclaimer.queueOfNew(cache, key, isHot);
    let slot = held === NO_SLOT ? shard.vacant : held;
    let hasRoom = reclaimer.makeRoom(cache, queue, words, nowTick);
    // Making room may have moved the held record, or dropped it; it never changes slots.
    if (hasRoom && slot === NO_SLOT) {
      slot = this.#crowdOut(owned, nowTick);
      hasRoom = slot !== NO_SLOT;
    }
    if (!hasRoom) {
      if (held !== NO_SLOT && shard.placeOf(held) !== 0) reclaimer.drop(cache, held, shard.placeOf(held));
      return 'no-room';
    }
    const place = this.#append(owned, queue, identity, tick, value, words);
    this.#publish(shard, slot, place, words, identity, isHeld);
    return 'stored';
  }

  #append(
    owned: OwnedShard,
    queue: Queue,
    identity: number,
    tick: number,
    value: Uint8Array,
    size: number,
  ): number {
    const { log } = owned.reclaimer;
    const { words, at: shardAt, bytes, failpoint } = owned.shard;
    const key = this.#key;
    const place = log.nextPlace(key.slot, queue);
    const at = shardAt + place;
    words[at] = (value.length >>> 2) | (key.byteLength << KEY_BYTES_SHIFT);
    words[at + 1] = tick;
    words[at + 2] = identity;
    if (failpoint !== undefined) failpoint('append-partial');
    const keyAt = at + RECORD_HEADER_WORDS;
    for (let word = 0; word < key.wordLength; word++) words[keyAt + word] = key.words[word]!;
    bytes.set(value, (keyAt + key.wordLength) * 4);
    log.commit(key.slot, queue, size);
    if (failpoint !== undefined) failpoint('appended');
    return place;
  }

  #publish(
    shard: Shard,
    slot: number,
    place: number,
    words: number,
    identity: number,
    keepsMark: boolean,
  ): void {
    const cache = this.#key.slot;
    const replaced = shard.placeOf(slot);
    if (replaced !== 0) {
      shard.countRecord(cache, shard.words[shard.at + replaced + 2]!, shard.recordWords(replaced), -1);
    }
    if (!keepsMark) shard.setMark(slot, 0);
    shard.publish(slot, this.#key, place);
    shard.countRecord(cache, identity, words, 1);
    shard.count(cache, COUNTER.puts, 1);
  }

  /** All 48 slots of the window are taken: the least worthy record of them goes, none of a cache below its share. */
  #crowdOut(owned: OwnedShard, nowTick: number): number {
    const { shard, reclaimer } = owned;
    const key = this.#key;
    shard.find(key);
    if (shard.vacant !== NO_SLOT) return shard.vacant;
    let victim = NO_SLOT;
    let victimWorth = Infinity;
    let bucket = shard.home(key);
    for (let probe = 0; probe < PROBE_BUCKETS; probe++) {
      for (let slot = bucket * SLOTS; slot < (bucket + 1) * SLOTS; slot++) {
        const worth = this.#worth(owned, slot, nowTick);
        if (worth >= victimWorth) continue;
        victim = slot;
        victimWorth = worth;
      }
      bucket = shard.after(bucket, key);
    }
    if (victim === NO_SLOT) return NO_SLOT;
    const place = shard.placeOf(victim);
    const cache = shard.words[shard.at + place + 2]! >>> EPOCH_SHIFT_CACHE;
    shard.count(cache, COUNTER.crowded, 1);
    reclaimer.drop(cache, victim, place);
    return victim;
  }

  /** -1 for a record that is dead; Infinity for one that its cache's budget protects; else its mark. */
  #worth({ shard, reclaimer }: OwnedShard, slot: number, nowTick: number): number {
    const place = shard.placeOf(slot);
    const cache = shard.words[shard.at + place + 2]! >>> EPOCH_SHIFT_CACHE;
    const current = (cache << EPOCH_SHIFT_CACHE) | (this.#epoch(cache) & EPOCH_MASK);
    if (!this.#isAlive(shard, place, current, nowTick)) return -1;
    if (cache !== this.#key.slot && !reclaimer.isOverShare(cache)) return Infinity;
    return shard.mark(slot);
  }

  #remove(): boolean {
    this.#assertHeld();
    const { shard, reclaimer } = this.#ownedShard();
    const cache = this.#key.slot;
    const slot = shard.find(this.#key);
    if (slot === NO_SLOT) return false;
    const place = shard.placeOf(slot);
    const current = (cache << EPOCH_SHIFT_CACHE) | (this.#epoch(cache) & EPOCH_MASK);
    const wasAlive = this.#isAlive(shard, place, current, this.#nowTick());
    reclaimer.drop(cache, slot, place);
    return wasAlive;
  }

  #isAlive(shard: Shard, place: number, identity: number, nowTick: number): boolean {
    const at = shard.at + place;
    return shard.words[at + 2] === identity && nowTick < shard.words[at + 1]! >>> 0;
  }

  #purge(owned: OwnedShard, cache: number): void {
    const wraps = this.#caches.wraps(cache);
    owned.reclaimer.purge(cache);
    this.#caches.purged(cache, owned.shard.index, wraps);
  }

  #ownedShard(): OwnedShard {
    const owned = this.#owned[this.#key.hashHigh & this.#shardMask];
    assert(owned !== undefined, 'the key is of another lane');
    return owned;
  }

  #assertHeld(): void {
    assert(
      holdsLane(this.#view, this.#options.lane, this.#options.claim),
      'the lane was given to another thread',
    );
  }

  #epoch(cache: number): number {
    assert(cache >= 0 && cache < this.#view.shape.caches, 'there is no such cache slot');
    return Atomics.load(this.#view.words, this.#view.places.caches + cache * LINE_WORDS + CACHE.epoch);
  }

  #nowTick(): number {
    return Math.floor((this.#options.clock.now() - this.#view.startMs) / TICK_MS);
  }

  #expiryTick(expiresAtMs: number): number {
    if (expiresAtMs === Infinity) return NEVER;
    const tick = Math.floor((expiresAtMs - this.#view.startMs) / TICK_MS);
    return Math.max(0, Math.min(NEVER - 1, tick));
  }
}
