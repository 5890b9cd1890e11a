/** Figures as a user reads them: counts in groups, rates in three digits, times in two units. */

export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** `12,300/s`: more than three digits would be noise. */
export function rateText(count: number, tookMs: number): string {
  const rate = count / (Math.max(1, tookMs) / 1000);
  return `${grouped(Number(rate.toPrecision(3)))}/s`;
}

/** `0.21 s`, `42 s`, `3 min 20 s`, `1 h 5 min`. */
export function timeText(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 0.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Of what is still to come: never finer than a second. */
export function timeLeftText(ms: number): string {
  return timeText(Math.max(1, Math.ceil(ms / 1000)) * 1000).replace('.0 s', ' s');
}
