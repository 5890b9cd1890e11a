/**
 * What is worth keeping when the log's oldest segment is reclaimed: one predicate a policy.
 *
 * A verdict of 0 or more keeps the record: it moves to the front of the cache's main queue, with that mark. Marks count
 * the uses since the record last moved.
 *
 * s3-fifo: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023. lru is the second chance of a
 * CLOCK, lfu a CLOCK that asks for more uses than its neighbours have, and ages what it keeps by half.
 */
import { MAIN, type Queue, SMALL } from './segment-log.js';

/** By number in the table; 0 is the default. */
export const POLICIES = ['s3-fifo', 'lru', 'lfu', 'fifo', 'ttl'] as const;
export type Policy = (typeof POLICIES)[number];

export const DROP = -1;
/** Drop, and remember the fingerprint. */
export const DROP_TO_GHOST = -2;

/** Share of a cache's bytes that s3-fifo's small queue may have. */
export const SMALL_SHARE = 0.1;
const S3_MARK_MAX = 3;
const S3_PROMOTE_MARK = 2;

interface EvictionPolicy {
  readonly hasSmallQueue: boolean;
  /** @param level this cache's running mean of `measure`, where the policy has one. */
  judge(queue: Queue, mark: number, ticksLeft: number, level: number): number;
  /** What the policy compares records by. */
  measure(mark: number, ticksLeft: number): number;
}

const nothing = () => 0;

const BY_NUMBER: readonly EvictionPolicy[] = [
  {
    hasSmallQueue: true,
    judge: (queue, mark) => {
      if (queue === SMALL) return mark >= S3_PROMOTE_MARK ? 0 : DROP_TO_GHOST;
      return mark > 0 ? Math.min(mark, S3_MARK_MAX) - 1 : DROP;
    },
    measure: nothing,
  },
  { hasSmallQueue: false, judge: (_, mark) => (mark > 0 ? 0 : DROP), measure: nothing },
  {
    hasSmallQueue: false,
    judge: (_, mark, __, level) => (mark > level ? mark >> 1 : DROP),
    measure: mark => mark,
  },
  { hasSmallQueue: false, judge: () => DROP, measure: nothing },
  {
    hasSmallQueue: false,
    judge: (_, mark, ticksLeft, level) => (ticksLeft > level ? mark : DROP),
    measure: (_, ticksLeft) => ticksLeft,
  },
];

export function policyOf(number: number): EvictionPolicy {
  return BY_NUMBER[number] ?? BY_NUMBER[0]!;
}

/** Which queue of a cache gives way next. */
export function queueToReclaim(policy: EvictionPolicy, smallWords: number, mainWords: number): Queue {
  if (smallWords === 0) return MAIN;
  if (mainWords === 0 || !policy.hasSmallQueue) return SMALL;
  return smallWords > SMALL_SHARE * (smallWords + mainWords) ? SMALL : MAIN;
}
