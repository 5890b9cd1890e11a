/** What became of the questions to a cache's origin: counters in memory that all lanes and the front share. */
import { counterMemory, SharedCounters } from './shared-counters.js';

const FIELDS = [
  /** Keys that it was asked for. */
  'calls',
  /** Keys of these that it gave no answer for, or none in time. */
  'failures',
  /** Keys of these that it answered for with what cannot be used: redirects, other statuses, too many bytes. */
  'rejected',
  /** Keys of these that it has none for. */
  'notFound',
  /** Keys that it was not asked for, as its circuit breaker was open. */
  'refused',
  /** Attempts beyond the first of a question. */
  'retries',
  /** Questions for several keys at once. */
  'batches',
  /** Of the values that it answered with. */
  'bytes',
  /** Stale entries that it was to make anew in the background. */
  'refreshes',
  /** Entries that it was to make anew before they were stale. */
  'ahead',
  /** Values that were still what they were before. */
  'unchanged',
  /** Answers with an old value, as it failed. */
  'staleServed',
  /** Answers from what is remembered of it: that there is none. */
  'negativeHits',
  /** Answers that a store did not take. */
  'unstored',
] as const;

export type OriginCount = (typeof FIELDS)[number];

/** For so many origins. */
export function originCounterMemory(origins: number): SharedArrayBuffer {
  return counterMemory(origins, FIELDS);
}

export class OriginCounters extends SharedCounters<OriginCount> {
  /** @param origin the place of the origin in the memory. */
  constructor(memory: SharedArrayBuffer, origin: number) {
    super(FIELDS, memory, origin);
  }
}
