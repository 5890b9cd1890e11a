/** How far a load is: a bar with rate and remaining time on a terminal, a plain line every few seconds elsewhere. */
import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  /** `done` and `total` in bytes of the file. */
  update(done: number, total: number, records: number): void;
  stop(): void;
}

const PLAIN_EVERY_MS = 5000;

export function openProgress(stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? barProgress(stream) : plainProgress(stream);
}

function barProgress(stream: NodeJS.WriteStream): Progress {
  const format = '{bar} {percentage}% | {records} records | {rate}/s | {left} left';
  const bar = new SingleBar(
    { stream, format, hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  );
  const started = performance.now();
  bar.start(1, 0, { records: 0, rate: 0, left: '-' });
  return {
    update(done, total, records) {
      const seconds = (performance.now() - started) / 1000;
      const left = done === 0 ? '-' : `${Math.ceil((seconds * (total - done)) / done)} s`;
      bar.setTotal(Math.max(1, total));
      bar.update(done, { records: grouped(records), rate: grouped(records / seconds), left });
    },
    stop: () => bar.stop(),
  };
}

function plainProgress(stream: NodeJS.WriteStream): Progress {
  const started = performance.now();
  let printedMs = started;
  return {
    update(done, total, records) {
      const now = performance.now();
      if (now - printedMs < PLAIN_EVERY_MS) return;
      printedMs = now;
      const rate = records / ((now - started) / 1000);
      const left = Math.ceil(((now - started) / 1000) * ((total - done) / Math.max(1, done)));
      stream.write(
        `${Math.floor((100 * done) / Math.max(1, total))}%, ${grouped(records)} records, ${grouped(rate)}/s, ${left} s left\n`,
      );
    },
    stop: () => undefined,
  };
}

export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
