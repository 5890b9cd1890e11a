/**
 * The times of a request's stages for `Server-Timing`. A request that does not ask for them
 * costs one comparison: `TIMING_OFF` measures nothing.
 */
import type { Stage } from '../observe/stages.js';

export interface Timing {
  /** Ends a stage that began at the end of the one before. */
  lap(stage: Stage): void;
  /** The header's value; '' when nobody asked. */
  header(): string;
}

export const TIMING_OFF: Timing = { lap: () => undefined, header: () => '' };

/** @param asked the request's `headrace-timing` header. */
export function timingOf(asked: string): Timing {
  return asked === '1' ? new Laps() : TIMING_OFF;
}

class Laps implements Timing {
  readonly #began = performance.now();
  readonly #laps: string[] = [];
  #last = this.#began;

  lap(stage: Stage): void {
    const now = performance.now();
    this.#laps.push(entry(stage, now - this.#last));
    this.#last = now;
  }

  header(): string {
    return [...this.#laps, entry('total', performance.now() - this.#began)].join(', ');
  }
}

function entry(stage: Stage, ms: number): string {
  return `${stage};dur=${ms.toFixed(4)}`;
}
