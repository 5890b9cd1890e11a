/** What became of the keys on a cache's list: counters in memory that lanes and the front share, a set a lane. */
import { counterMemory, SharedCounters } from './shared-counters.js';

const FIELDS = [
  /** Keys that were looked at, each time the list was gone through. */
  'keys',
  /** Keys of these whose entry was put into shared memory from a tier. */
  'loaded',
  /** Keys of these that the cache's origin was asked for and had an answer to. */
  'fetched',
  /** Keys of these that could not be had. */
  'failed',
  /** Lines of the list that are no keys. */
  'wrong',
  /** Keys that are still to be looked at, now. */
  'left',
] as const;

export type ListCount = (typeof FIELDS)[number];

/** For so many lists, in so many lanes. */
export function listCounterMemory(lists: number, lanes: number): SharedArrayBuffer {
  return counterMemory(lists * lanes, FIELDS);
}

export class ListCounters extends SharedCounters<ListCount> {
  constructor(memory: SharedArrayBuffer, list: number, lane: number, lanes: number) {
    super(FIELDS, memory, list * lanes + lane);
  }
}
