/**
 * Hedged reads: a question that takes longer than most is put a second time, and the first answer counts.
 *
 * "Longer than most" is the tier's own 95th percentile, followed by one number: a latency above it raises it by 19
 * small steps, one below lowers it by one, so that it rests where 1 in 20 is above. (Ma, Muthukrishnan and Sandler,
 * "Frugal Streaming for Estimating Quantiles", 2013; with steps in proportion to the estimate.) Second questions are
 * bounded: each first one adds a fraction of a question to an account, and a second one takes a whole from it.
 * (Dean and Barroso, "The Tail at Scale", 2013.)
 *
 * It helps where another connection or another server may be faster. Where the second question waits in line behind
 * the first, on one connection, it does not.
 */

export interface HedgeOptions {
  /** Second questions, at most, in a hundred first ones. */
  readonly percentMax: number;
}

export const HEDGE_DEFAULTS: HedgeOptions = { percentMax: 5 };

const QUANTILE = 0.95;
/** Of the estimate, for the distance between the two steps. */
const STEP = 0.1;
/** Timers have no finer grain. */
const DELAY_MS_MIN = 1;
/** Second questions that may follow each other closely when the tier suddenly slows down. */
const ACCOUNT_MAX = 10;

export class Hedge {
  readonly #perQuestion: number;
  #account = 0;
  #latencyMs: number;

  /** `latencyMs` is the estimate to begin with: too high, so that nothing is hedged before the tier is known. */
  constructor(options: HedgeOptions, latencyMs: number) {
    this.#perQuestion = options.percentMax / 100;
    this.#latencyMs = latencyMs;
  }

  /** How long to wait for the first answer. */
  get delayMs(): number {
    return Math.max(DELAY_MS_MIN, Math.ceil(this.#latencyMs));
  }

  /** A first question was answered. */
  observe(latencyMs: number): void {
    const isAbove = latencyMs > this.#latencyMs;
    this.#latencyMs *= isAbove ? 1 + STEP * QUANTILE : 1 - STEP * (1 - QUANTILE);
    this.#latencyMs = Math.max(DELAY_MS_MIN / 2, this.#latencyMs);
  }

  /** A first question is put. */
  deposit(): void {
    this.#account = Math.min(ACCOUNT_MAX, this.#account + this.#perQuestion);
  }

  /** Whether a second one may be. */
  take(): boolean {
    if (this.#account < 1) return false;
    this.#account -= 1;
    return true;
  }
}
