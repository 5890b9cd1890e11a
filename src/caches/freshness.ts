/** Whether an entry may be served, by its times. Pure. */
import type { EntryReader } from './entry.js';

/** `stale` may be served while it is made anew; `old` only where that has failed. */
export type Freshness = 'fresh' | 'stale' | 'old';

export function freshnessOf(
  entry: Pick<EntryReader, 'freshUntil' | 'staleWhileRevalidateMs'>,
  nowMs: number,
): Freshness {
  const { freshUntil } = entry;
  if (nowMs < freshUntil) return 'fresh';
  return nowMs < freshUntil + entry.staleWhileRevalidateMs ? 'stale' : 'old';
}

/** For `Age` (RFC 9111): whole seconds since the write. Clocks of servers differ, and no age is below zero. */
export function ageSeconds(writtenAtMs: number, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - writtenAtMs) / 1000));
}
