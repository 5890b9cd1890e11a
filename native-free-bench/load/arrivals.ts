/**
 * When requests arrive in an open loop: offsets from the start, in milliseconds, fixed before the first is sent. What
 * the server does has no influence on them, as it has none on when people search.
 */
import type { Random } from '../data/random.js';

export const ARRIVAL_KINDS = ['poisson', 'constant'] as const;
export type ArrivalKind = (typeof ARRIVAL_KINDS)[number];

export function* arrivals(
  kind: ArrivalKind,
  ratePerSecond: number,
  durationMs: number,
  random: Random,
): Generator<number> {
  const gapMs = 1000 / ratePerSecond;
  // Constant arrivals are multiplied, not summed, so that a gap's rounding error does not add up.
  for (let n = 0, atMs = 0; atMs < durationMs; n++) {
    yield atMs;
    atMs = kind === 'constant' ? (n + 1) * gapMs : atMs + random.exponential(gapMs);
  }
}
