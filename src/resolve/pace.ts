/** Lets work in the background take a small part of the time: after each step it rests for several times as long. */

/** Of the time of a step. A quarter of the time is work then. */
const REST_SHARE = 3;
/** Less than that a timer does not do. */
const REST_MS_MIN = 1;
const REST_MS_MAX = 1_000;

export interface PaceParts {
  /** Milliseconds of a clock that is never set back. */
  readonly nowMs: () => number;
  readonly rest: (ms: number) => Promise<void>;
}

export class Pace {
  readonly #parts: PaceParts;

  constructor(parts: PaceParts) {
    this.#parts = parts;
  }

  /** A step begins: what `rest` is to be given. */
  begin(): number {
    return this.#parts.nowMs();
  }

  /** After a step. */
  rest(beganMs: number): Promise<void> {
    const tookMs = this.#parts.nowMs() - beganMs;
    return this.#parts.rest(Math.min(REST_MS_MAX, Math.max(REST_MS_MIN, tookMs * REST_SHARE)));
  }
}
