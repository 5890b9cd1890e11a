/**
 * What one lane does for all beside its requests: erase dropped views, sweep out what has expired.
 *
 * One small step at a time, with a pause behind each that keeps the share of time it takes low; dropped views first.
 */
import type { Clock } from '../base/clock.js';

/** The parts of the disk's cleaner and catalog that are needed here. */
export interface Cleaner {
  eraseStep(viewUid: number): Promise<number>;
  sweepStep(nowMs: number): Promise<{ readonly removed: number; readonly wrapped: boolean }>;
}

export interface DroppedViews {
  dropped(): Promise<readonly number[]>;
  erased(viewUid: number): Promise<void>;
}

export interface HousekeepingParts {
  readonly cleaner: Cleaner;
  readonly catalog: DroppedViews;
  readonly clock: Clock;
  /** Rests for so many milliseconds, less when the lane closes. */
  readonly rest: (ms: number) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

const STEP_REST_MS = 50;
const ROUND_REST_MS = 60_000;
const ERROR_REST_MS = 5_000;

export class Housekeeping {
  readonly #parts: HousekeepingParts;
  #stopped = false;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Goes on until stopped; an error is reported, and it goes on after a rest. */
  async run(): Promise<void> {
    while (!this.#stopped) await this.#parts.rest(await this.step());
  }

  /** One step. Milliseconds to rest after it. */
  async step(): Promise<number> {
    const { cleaner, catalog, clock, onError } = this.#parts;
    try {
      const [viewUid] = await catalog.dropped();
      if (viewUid !== undefined) {
        if ((await cleaner.eraseStep(viewUid)) === 0) await catalog.erased(viewUid);
        return STEP_REST_MS;
      }
      const { wrapped } = await cleaner.sweepStep(clock.now());
      return wrapped ? ROUND_REST_MS : STEP_REST_MS;
    } catch (error) {
      onError(error);
      return ERROR_REST_MS;
    }
  }
}
