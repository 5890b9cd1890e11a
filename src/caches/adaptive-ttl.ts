/**
 * How long an origin's value is fresh that is still what it was: the longer it has been the same, the longer it is likely
 * to stay so. Between the cache's `ttl` and its `ttlMax`, at most twice as long as the last time, and only as far as it was
 * seen to last: who asks ahead of the time learns less. What has changed begins at the `ttl` again. Pure.
 *
 * (As with the Alex protocol: Cate, "Alex, a global filesystem", 1992. What an origin says itself goes before.)
 */
import type { CacheDefinition } from './definition.js';
import type { EntryReader } from './entry.js';

const GROWTH_MAX = 2;

/** @param same the entry that had this very value before; `undefined`: there is none, or it had another. */
export function adaptedTtlMs(
  { ttlMs, ttlMaxMs = ttlMs }: Pick<CacheDefinition, 'ttlMs' | 'ttlMaxMs'>,
  same: Pick<EntryReader, 'writtenAt' | 'freshUntil'> | undefined,
  nowMs: number,
): number {
  if (same === undefined) return ttlMs;
  const { writtenAt, freshUntil } = same;
  const lastMs = Math.max(0, freshUntil - writtenAt);
  const heldMs = Math.min(lastMs, Math.max(0, nowMs - writtenAt));
  return Math.min(ttlMaxMs, Math.max(ttlMs, lastMs, GROWTH_MAX * heldMs));
}
