/**
 * The log of one shard: segments that are filled from front to back, each owned by one queue of one cache, oldest first.
 *
 * What a successor needs lies in the shared segment list: owner, sequence number, words recorded. A record counts from
 * the moment the recorded end passes it; what was half written lies behind it. Links and sums here are rebuilt from it.
 */
import { assert } from '../base/assert.js';
import { SEGMENT, SEGMENT_ENTRY_WORDS, SHARD, type TableView } from './layout.js';
import type { Failpoint } from './shard.js';

/** Queues of a cache. Only s3-fifo fills the small one. */
export const SMALL = 0;
export const MAIN = 1;
export type Queue = typeof SMALL | typeof MAIN;
const QUEUES = 2;

export const NO_SEGMENT = -1;

export class SegmentLog {
  readonly segments: number;
  readonly segmentWords: number;

  readonly #words: Int32Array;
  readonly #failpoint: Failpoint | undefined;
  readonly #listAt: number;
  readonly #freeAt: number;
  /** Places are from the shard's start, as references are. */
  readonly #logPlace: number;
  readonly #free: Int32Array;
  #freeCount = 0;
  #sequence = 1;
  readonly #next: Int32Array;
  readonly #heads: Int32Array;
  readonly #tails: Int32Array;
  readonly #queueWords: Float64Array;
  readonly #owned: Int32Array;
  /** Segments with a smaller sequence number hold only records of epochs gone by. */
  readonly #freshFrom: Float64Array;
  #cachesSeen = 0;

  constructor(view: TableView, shardAt: number, failpoint: Failpoint | undefined) {
    const { places, shape } = view;
    this.segments = shape.segments;
    this.segmentWords = shape.segmentBytes / 4;
    this.#words = view.words;
    this.#failpoint = failpoint;
    this.#listAt = shardAt + places.segmentList;
    this.#freeAt = shardAt + SHARD.segmentsFree;
    this.#logPlace = places.log;
    this.#free = new Int32Array(shape.segments);
    this.#next = new Int32Array(shape.segments).fill(NO_SEGMENT);
    this.#heads = new Int32Array(shape.caches * QUEUES).fill(NO_SEGMENT);
    this.#tails = new Int32Array(shape.caches * QUEUES).fill(NO_SEGMENT);
    this.#queueWords = new Float64Array(shape.caches * QUEUES);
    this.#owned = new Int32Array(shape.caches);
    this.#freshFrom = new Float64Array(shape.caches);
    this.#rebuild();
  }

  /** Lane-private bytes. */
  get privateBytes(): number {
    const arrays = [
      this.#free,
      this.#next,
      this.#heads,
      this.#tails,
      this.#queueWords,
      this.#owned,
      this.#freshFrom,
    ];
    return arrays.reduce((sum, array) => sum + array.byteLength, 0);
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** Caches from here on never owned a segment. */
  get cachesSeen(): number {
    return this.#cachesSeen;
  }

  owned(cache: number): number {
    return this.#owned[cache]!;
  }

  queueWords(cache: number, queue: Queue): number {
    return this.#queueWords[cache * QUEUES + queue]!;
  }

  /** Everything of this cache so far is of an epoch gone by; new records go to new segments. */
  startAfresh(cache: number): void {
    this.#freshFrom[cache] = this.#sequence;
  }

  /** The queue's oldest segment, or NO_SEGMENT. */
  oldest(cache: number, queue: Queue): number {
    return this.#heads[cache * QUEUES + queue]!;
  }

  isStale(cache: number, segment: number): boolean {
    return segment !== NO_SEGMENT && this.#entry(segment, SEGMENT.sequence) >>> 0 < this.#freshFrom[cache]!;
  }

  hasRoom(cache: number, queue: Queue, words: number): boolean {
    const tail = this.#tails[cache * QUEUES + queue]!;
    if (tail === NO_SEGMENT || this.isStale(cache, tail)) return false;
    return this.used(tail) + words <= this.segmentWords;
  }

  /** Gives the queue a free segment. */
  extend(cache: number, queue: Queue): void {
    assert(this.#freeCount > 0, 'the reserve is there');
    const segment = this.#free[--this.#freeCount]!;
    this.#words[this.#freeAt] = this.#freeCount;
    this.#setEntry(segment, SEGMENT.used, 0);
    this.#setEntry(segment, SEGMENT.sequence, this.#sequence++);
    this.#failpoint?.('segment-taken');
    this.#setEntry(segment, SEGMENT.owner, 1 + cache * QUEUES + queue);
    this.#link(segment, cache * QUEUES + queue);
  }

  /** Where the next record of the queue goes. */
  nextPlace(cache: number, queue: Queue): number {
    const tail = this.#tails[cache * QUEUES + queue]!;
    return this.start(tail) + this.used(tail);
  }

  /** The record at `nextPlace` is written. */
  commit(cache: number, queue: Queue, words: number): void {
    const tail = this.#tails[cache * QUEUES + queue]!;
    this.#setEntry(tail, SEGMENT.used, this.used(tail) + words);
    this.#queueWords[cache * QUEUES + queue]! += words;
  }

  /** Takes the oldest segment out of its queue; it stays owned until `release`. */
  unlinkOldest(cache: number, queue: Queue): number {
    const list = cache * QUEUES + queue;
    const segment = this.#heads[list]!;
    const next = this.#next[segment]!;
    this.#heads[list] = next;
    if (next === NO_SEGMENT) this.#tails[list] = NO_SEGMENT;
    this.#next[segment] = NO_SEGMENT;
    this.#owned[cache]! -= 1;
    this.#queueWords[list]! -= this.used(segment);
    return segment;
  }

  /** No bucket refers into the segment any more. */
  release(segment: number): void {
    this.#setEntry(segment, SEGMENT.owner, 0);
    this.#free[this.#freeCount++] = segment;
    this.#words[this.#freeAt] = this.#freeCount;
  }

  start(segment: number): number {
    return this.#logPlace + segment * this.segmentWords;
  }

  used(segment: number): number {
    return this.#entry(segment, SEGMENT.used);
  }

  /** The segment that a place lies in; NO_SEGMENT when it is none of the log's. */
  segmentAt(place: number): number {
    const segment = Math.floor((place - this.#logPlace) / this.segmentWords);
    return segment >= 0 && segment < this.segments ? segment : NO_SEGMENT;
  }

  /** 1 + 2 × cache + queue, or 0. */
  ownerOf(segment: number): number {
    return this.#entry(segment, SEGMENT.owner);
  }

  queueAt(place: number): Queue {
    return ((this.ownerOf(this.segmentAt(place)) - 1) & 1) === SMALL ? SMALL : MAIN;
  }

  #link(segment: number, list: number): void {
    const tail = this.#tails[list]!;
    if (tail === NO_SEGMENT) this.#heads[list] = segment;
    else this.#next[tail] = segment;
    this.#tails[list] = segment;
    const cache = list >>> 1;
    this.#owned[cache]! += 1;
    this.#queueWords[list]! += this.used(segment);
    this.#cachesSeen = Math.max(this.#cachesSeen, cache + 1);
  }

  #rebuild(): void {
    const owned: number[] = [];
    for (let segment = this.segments - 1; segment >= 0; segment--) {
      if (this.ownerOf(segment) === 0) this.#free[this.#freeCount++] = segment;
      else owned.push(segment);
    }
    const sequence = (segment: number) => this.#entry(segment, SEGMENT.sequence) >>> 0;
    owned.sort((a, b) => sequence(a) - sequence(b));
    for (const segment of owned) {
      this.#link(segment, this.ownerOf(segment) - 1);
      this.#sequence = sequence(segment) + 1;
    }
    this.#words[this.#freeAt] = this.#freeCount;
  }

  #entry(segment: number, word: number): number {
    return this.#words[this.#listAt + segment * SEGMENT_ENTRY_WORDS + word]!;
  }

  #setEntry(segment: number, word: number, value: number): void {
    this.#words[this.#listAt + segment * SEGMENT_ENTRY_WORDS + word] = value;
  }
}
