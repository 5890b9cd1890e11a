/** How far a load is: a bar with rate and remaining time on a terminal, a plain line every few seconds elsewhere. */
import { MultiBar, Presets } from 'cli-progress';
import { grouped, rateText, timeLeftText } from './figures.js';

export interface Progress {
  /** `done` of `total` bytes of the file; `total` is 0 when it is not known (a pipe). */
  update(done: number, total: number, records: number): void;
  /** A line of its own, above the bar where there is one. */
  note(text: string): void;
  stop(): void;
}

export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const PLAIN_EVERY_MS = 5000;

export function openProgress(stream: NodeJS.WriteStream, now: () => number): Progress {
  return stream.isTTY ? barProgress(stream, now) : plainProgress(stream, now);
}

/**
 * The terminal is left as it is (its cursor, its line wrapping), so that Ctrl-C leaves nothing to be repaired. A
 * `MultiBar` of one bar: it alone can put lines above the bar.
 */
function barProgress(stream: NodeJS.WriteStream, now: () => number): Progress {
  const options = { stream, format: '{bar} {figures}', barsize: 24, linewrap: true, clearOnComplete: true };
  const bars = new MultiBar(options, Presets.shades_classic);
  const started = now();
  const bar = bars.create(1, 0, { figures: 'sending the first records' });
  return {
    update(done, total, records) {
      bar.setTotal(Math.max(1, total));
      bar.update(done, { figures: progressText({ done, total, records, tookMs: now() - started }) });
    },
    note: text => bars.log(`${text}\n`),
    stop() {
      bars.update(); // notes that still wait are written
      bars.stop();
    },
  };
}

export function plainProgress(stream: ProgressStream, now: () => number): Progress {
  const started = now();
  let printedMs = started;
  return {
    update(done, total, records) {
      const at = now();
      if (at - printedMs < PLAIN_EVERY_MS) return;
      printedMs = at;
      stream.write(`${progressText({ done, total, records, tookMs: at - started })}\n`);
    },
    note: text => void stream.write(`${text}\n`),
    stop: () => undefined,
  };
}

export interface Stage {
  readonly done: number;
  readonly total: number;
  readonly records: number;
  readonly tookMs: number;
}

/** ` 42% | 12,345 records | 10,300/s | 3 s left`. 100 % is said only when all is done. */
export function progressText({ done, total, records, tookMs }: Stage): string {
  const figures = [`${grouped(records)} records`, rateText(records, tookMs)];
  if (total > 0) {
    figures.unshift(`${String(Math.floor((100 * Math.min(done, total)) / total)).padStart(3)}%`);
    if (done > 0 && done < total) figures.push(`${timeLeftText((tookMs * (total - done)) / done)} left`);
  }
  return figures.join(' | ');
}
