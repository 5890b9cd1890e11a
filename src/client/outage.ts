/**
 * Whether it is worth asking the server: after some failures in a row it is left alone for a while, so that callers who
 * have another way do not each wait for a server that is away. Then one asks, and its answer decides.
 */
import type { ClientError } from './client-error.js';

const FAILURES_MAX = 5;
const REST_MS = 1_000;

export class Outage {
  readonly #now: () => number;
  #failures = 0;
  #untilMs = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** False: leave the server alone. True of one asker when the time is over. */
  mayAsk(): boolean {
    if (this.#failures < FAILURES_MAX) return true;
    const now = this.#now();
    if (now < this.#untilMs) return false;
    this.#untilMs = now + REST_MS;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** What the server has refused, it has answered. */
  failed({ code, status }: ClientError): void {
    const isRefused = status >= 400 && status < 500 && code !== 'bad-answer';
    if (isRefused || code === 'aborted') return this.succeeded();
    if (++this.#failures === FAILURES_MAX) this.#untilMs = this.#now() + REST_MS;
  }
}
