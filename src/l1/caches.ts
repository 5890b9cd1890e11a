/**
 * The caches of a table from outside: options, epochs, figures. For any thread, without locks; figures are a writer's
 * plain counters, each right in itself, not all of one instant.
 */
import { assert } from '../base/assert.js';
import { POLICIES, type Policy } from './eviction.js';
import {
  CACHE,
  COUNTER,
  COUNTER_EPOCH_WORD,
  COUNTER_WRAPS_WORD,
  EPOCH_MASK,
  LINE_WORDS,
  PROBE_BUCKETS,
  SHARD,
  SLOTS,
  type TableHandle,
  TableView,
} from './layout.js';

export interface CacheOptions {
  readonly policy: Policy;
  /** Promised to this cache: it may use more while there is room, and is never robbed of less. */
  readonly budgetBytes: number;
}

export interface CacheFigures {
  /** Records of the current epoch, expired ones among them until they are reclaimed. */
  readonly entries: number;
  readonly bytes: number;
  readonly puts: number;
  /** Records that went to make room. */
  readonly evicted: number;
  /** Records that were found expired. */
  readonly expired: number;
  /** Records that were found to be of an earlier epoch. */
  readonly emptied: number;
  /** Records that went because all buckets of a window were full. */
  readonly crowded: number;
}

export interface ShardFigures {
  readonly slots: number;
  readonly slotsUsed: number;
  readonly segments: number;
  readonly segmentsFree: number;
  /** Records put so far by how many buckets from their home they lie. */
  readonly distances: readonly number[];
}

/** A thread's access to the caches' lines. */
export class Caches {
  readonly #view: TableView;

  constructor(handle: TableHandle) {
    this.#view = new TableView(handle);
  }

  /** How many caches there may be. */
  get slots(): number {
    return this.#view.shape.caches;
  }

  /** Bytes that budgets may promise together. */
  get budgetBytesMax(): number {
    const { shards, segments, segmentBytes } = this.#view.shape;
    return shards * (segments - 1) * segmentBytes;
  }

  /** Sets a cache's options, at any time. One thread does this. */
  configure(slot: number, options: CacheOptions): void {
    const { doubles, words, shape } = this.#view;
    assert(options.budgetBytes >= 0, 'a budget is not negative');
    let promised = options.budgetBytes;
    for (let other = 0; other < shape.caches; other++) if (other !== slot) promised += this.#budget(other);
    assert(
      promised <= this.budgetBytesMax,
      `budgets of ${promised} bytes exceed the ${this.budgetBytesMax} there are`,
    );
    const at = this.#view.cacheAt(slot);
    doubles[(at + CACHE.budget) / 2] = options.budgetBytes;
    words[at + CACHE.policy] = POLICIES.indexOf(options.policy);
  }

  options(slot: number): CacheOptions {
    const number = this.#view.words[this.#view.cacheAt(slot) + CACHE.policy] ?? 0;
    return { policy: POLICIES[number] ?? POLICIES[0], budgetBytes: this.#budget(slot) };
  }

  /** The cache's epoch, for `put`: a fill that began before the cache was emptied does not land after. */
  epoch(slot: number): number {
    return Atomics.load(this.#view.words, this.#view.cacheAt(slot) + CACHE.epoch);
  }

  /**
   * Empties the cache at once.
   *
   * Records remember 22 bits of the epoch. Before numbers come again (4 million raises) the epoch stays 0, which no
   * record has: the cache is empty and takes nothing until every shard's writer has purged it (`maintain`, `put`), so
   * that no record of the first round shows up in the second.
   */
  raiseEpoch(slot: number): void {
    const { words } = this.#view;
    const at = this.#view.cacheAt(slot);
    for (;;) {
      const epoch = Atomics.load(words, at + CACHE.epoch);
      if (epoch === 0) return;
      const next = (epoch + 1) & EPOCH_MASK;
      if (next === 0) Atomics.add(words, at + CACHE.wraps, 1);
      if (Atomics.compareExchange(words, at + CACHE.epoch, epoch, next) === epoch) return;
    }
  }

  /** A shard's writer has purged the cache, having seen this many wraps: the last one opens the cache again. */
  purged(slot: number, shard: number, wraps: number): void {
    const { words, shape } = this.#view;
    const at = this.#view.cacheAt(slot);
    Atomics.store(words, this.#wrapsAt(slot, shard), wraps);
    for (let other = 0; other < shape.shards; other++) {
      if (Atomics.load(words, this.#wrapsAt(slot, other)) !== wraps) return;
    }
    if (Atomics.load(words, at + CACHE.wraps) === wraps)
      Atomics.compareExchange(words, at + CACHE.epoch, 0, 1);
  }

  /** How often the epoch went around. */
  wraps(slot: number): number {
    return Atomics.load(this.#view.words, this.#view.cacheAt(slot) + CACHE.wraps);
  }

  figures(slot: number): CacheFigures {
    const { doubles, words, shape } = this.#view;
    const figures = { entries: 0, bytes: 0, puts: 0, evicted: 0, expired: 0, emptied: 0, crowded: 0 };
    const epoch = this.epoch(slot) & EPOCH_MASK;
    for (let shard = 0; shard < shape.shards; shard++) {
      const at = this.#countersAt(slot, shard);
      const isCurrent = words[at + COUNTER_EPOCH_WORD] === epoch;
      for (const name of Object.keys(COUNTER) as (keyof typeof COUNTER)[]) {
        if (!isCurrent && (name === 'entries' || name === 'bytes')) continue;
        figures[name] += doubles[at / 2 + COUNTER[name]] ?? 0;
      }
    }
    return figures;
  }

  shardFigures(shard: number): ShardFigures {
    const { doubles, words, shape } = this.#view;
    const at = this.#view.shardAt(shard);
    const distances = Array.from(
      { length: PROBE_BUCKETS },
      (_, d) => doubles[(at + SHARD.distances) / 2 + d] ?? 0,
    );
    return {
      slots: shape.buckets * SLOTS,
      slotsUsed: words[at + SHARD.slotsUsed] ?? 0,
      segments: shape.segments,
      segmentsFree: words[at + SHARD.segmentsFree] ?? 0,
      distances,
    };
  }

  #budget(slot: number): number {
    return this.#view.doubles[(this.#view.cacheAt(slot) + CACHE.budget) / 2] ?? 0;
  }

  #countersAt(slot: number, shard: number): number {
    return this.#view.shardAt(shard) + this.#view.places.counters + slot * LINE_WORDS;
  }

  #wrapsAt(slot: number, shard: number): number {
    return this.#countersAt(slot, shard) + COUNTER_WRAPS_WORD;
  }
}
