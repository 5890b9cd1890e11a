/** The time that one call has: a timer, the caller's own signal, and what is to be given up when either says so. */
import { type ClientError, localError } from './client-error.js';

/** A timer that is set to more goes off at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class CallDeadline {
  readonly #endsAtMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #signal: AbortSignal | undefined;
  readonly #attempts = new Set<AbortController>();
  readonly #onAbort = () => this.#stop(localError('aborted', undefined, this.#signal?.reason));
  #reason: ClientError | undefined;

  /** `end` must be called, however the call goes. */
  constructor(timeoutMs: number, signal: AbortSignal | undefined) {
    this.#endsAtMs = performance.now() + timeoutMs;
    const stop = () => this.#stop(localError('timeout', `${timeoutMs} ms`));
    this.#timer = setTimeout(stop, Math.min(timeoutMs, TIMER_MS_MAX));
    this.#signal = signal;
    if (signal?.aborted === true) this.#onAbort();
    else signal?.addEventListener('abort', this.#onAbort);
  }

  get leftMs(): number {
    return this.#endsAtMs - performance.now();
  }

  /** Why the call is over, if it is. */
  get reason(): ClientError | undefined {
    return this.#reason;
  }

  /** For one request of the call; aborted when the call is over. */
  attempt(): AbortController {
    const attempt = new AbortController();
    if (this.#reason === undefined) this.#attempts.add(attempt);
    else attempt.abort(this.#reason);
    return attempt;
  }

  /** Resolves after the time, or when the call is over. */
  async rest(ms: number): Promise<void> {
    const { signal } = this.attempt();
    if (signal.aborted) return;
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#attempts.clear();
  }

  #stop(reason: ClientError): void {
    this.#reason ??= reason;
    for (const attempt of this.#attempts) attempt.abort(this.#reason);
  }
}

/** The promise, or the caller's having given up; what it was for goes on for others. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(localError('aborted', undefined, signal.reason));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
