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

/** An entry is never due for a refresh before its last so many milliseconds of being fresh: most hits ask no further. */
export const EARLY_MS_MAX = 60_000;

/**
 * Whether one who reads a fresh entry at random is to make it anew, so that it is there before it is needed: the sooner
 * the longer that takes, and so rarely that it is soon one of many readers and seldom two (Vattani, Chierichetti and
 * Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", 2015, with beta 1).
 * @param random from 0 to below 1.
 */
export function isDueEarly(
  { freshUntil, costMs }: Pick<EntryReader, 'freshUntil' | 'costMs'>,
  nowMs: number,
  random: number,
): boolean {
  return costMs > 0 && nowMs - costMs * Math.log(1 - random) >= freshUntil;
}

/**
 * The same of an entry that its cache's origin makes anew: never in the first half of its time, which would keep an
 * origin busy that is slow beside how long its values last; and by everybody who reads it within `aheadMs` of the end.
 */
export function isDueAtOrigin(
  entry: Pick<EntryReader, 'writtenAt' | 'freshUntil' | 'costMs'>,
  aheadMs: number,
  nowMs: number,
  random: number,
): boolean {
  const { writtenAt, freshUntil } = entry;
  if (nowMs < (writtenAt + freshUntil) / 2) return false;
  return nowMs >= freshUntil - aheadMs || isDueEarly(entry, nowMs, random);
}
