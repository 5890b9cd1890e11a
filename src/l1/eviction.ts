/**
 * What is worth keeping when the log's oldest segment is reclaimed: one predicate a policy.
 *
 * A cache has two queues. What a verdict keeps moves to the front of one of them, with the mark it names. Marks count
 * the uses since the record last moved.
 *
 * s3-fifo: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023. Its small queue is probation.
 * lru: a CLOCK that looks twice a round. New records start in the small queue, half of the cache; what was used goes
 * to its front again, what was not goes through the main queue and has a second chance at its end. With one look a
 * round, a record used right after it moved would stay nearly two rounds after its last use.
 * lfu: a CLOCK that asks for more uses than the records before had, and halves the count of what it keeps.
 */
import { MAIN, type Queue, SMALL } from './segment-log.js';

/** By number in the table; 0 is the default. */
export const POLICIES = ['s3-fifo', 'lru', 'lfu', 'fifo', 'ttl'] as const;
export type Policy = (typeof POLICIES)[number];

export const DROP = -1;
/** Drop, and remember the fingerprint. */
export const DROP_TO_GHOST = -2;
const KEEP_SMALL = 0x100;

/** The queue and the mark of a verdict that keeps. */
export function queueOfVerdict(verdict: number): Queue {
  return (verdict & KEEP_SMALL) === 0 ? MAIN : SMALL;
}
export function markOfVerdict(verdict: number): number {
  return verdict & 0xff;
}

const S3_MARK_MAX = 3;
/** The paper asks for two; on the traces one is up to 5 points better, and nowhere 1 worse. */
const S3_PROMOTE_MARK = 1;

/** The mean comes near to what all records have, but never quite there. */
const TTL_MARGIN = 1.02;

interface EvictionPolicy {
  /** The small queue gives way when it has more than this of the cache's bytes; 0: new records go to the main queue. */
  readonly smallShare: number;
  readonly hasGhost: boolean;
  /**
   * DROP, DROP_TO_GHOST, or a mark with which the main queue keeps it, or that plus KEEP_SMALL.
   * @param level this cache's running mean of `measure`.
   */
  judge(queue: Queue, mark: number, ticksLeft: number, level: number): number;
  /** What the policy compares a record by with those before it. */
  measure(mark: number, ticksLeft: number): number;
}

const nothing = () => 0;

const BY_NAME: { readonly [policy in Policy]: EvictionPolicy } = {
  's3-fifo': {
    smallShare: 0.1,
    hasGhost: true,
    judge: (queue, mark) => {
      if (queue === SMALL) return mark >= S3_PROMOTE_MARK ? 0 : DROP_TO_GHOST;
      return mark > 0 ? Math.min(mark, S3_MARK_MAX) - 1 : DROP;
    },
    measure: nothing,
  },
  lru: {
    smallShare: 0.5,
    hasGhost: false,
    judge: (queue, mark) => {
      if (mark > 0) return KEEP_SMALL;
      return queue === SMALL ? 0 : DROP;
    },
    measure: nothing,
  },
  lfu: {
    smallShare: 0,
    hasGhost: false,
    judge: (_, mark, __, level) => (mark > level ? mark >> 1 : DROP),
    measure: mark => mark,
  },
  fifo: { smallShare: 0, hasGhost: false, judge: () => DROP, measure: nothing },
  ttl: {
    smallShare: 0,
    hasGhost: false,
    judge: (_, mark, ticksLeft, level) => (ticksLeft > level * TTL_MARGIN ? mark : DROP),
    measure: (_, ticksLeft) => ticksLeft,
  },
};

export function policyOf(number: number): EvictionPolicy {
  return BY_NAME[POLICIES[number] ?? 's3-fifo'];
}

/** Which queue of a cache gives way next. */
export function queueToReclaim(policy: EvictionPolicy, smallWords: number, mainWords: number): Queue {
  if (smallWords === 0) return MAIN;
  if (mainWords === 0) return SMALL;
  return smallWords > policy.smallShare * (smallWords + mainWords) ? SMALL : MAIN;
}
