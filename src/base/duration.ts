/** Durations as users write them: a whole number and a unit, `250ms`, `30s`, `15m`, `24h`, `7d`. */

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const;

/** 3,650 days: ten years. */
export const DURATION_MS_MAX = 3650 * 86_400_000;

const DURATION = /^([0-9]{1,15})(ms|s|m|h|d)$/;

/** Milliseconds, or what is wrong with the text: `must be …`. Bounds are inclusive. */
export function parseDuration(text: string, msMin = 0, msMax = DURATION_MS_MAX): number | string {
  const [, count, unit] = DURATION.exec(text) ?? [];
  const ms = Number(count) * (UNITS.find(([name]) => name === unit)?.[1] ?? Number.NaN);
  if (Number.isNaN(ms)) return 'must be a whole number with a unit: 250ms, 30s, 15m, 24h, 7d';
  return ms >= msMin && ms <= msMax
    ? ms
    : `must be between ${formatDuration(msMin)} and ${formatDuration(msMax)}`;
}

/** In the largest unit that leaves a whole number; `parseDuration` reads it back. */
export function formatDuration(ms: number): string {
  for (const [name, size] of UNITS) if (ms >= size && ms % size === 0) return `${ms / size}${name}`;
  return `${ms}ms`;
}
