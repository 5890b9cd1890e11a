/**
 * Calls for single keys that are made in one turn of the event loop go out as one request for all of them. A key that is
 * asked for twice is asked for once.
 */
import { ClientError } from './client-error.js';

interface Waiter<Result> {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** What one key, or the number of them, may be the reason for: the others are asked for again without it. */
const SPLIT_CODES: readonly string[] = ['too-many-ids', 'body-too-large', 'bad-id'];

export class Coalescer<Result> {
  readonly #load: (keys: readonly string[]) => Promise<readonly Result[]>;
  readonly #keysMax: number;
  #waiting = new Map<string, Waiter<Result>[]>();
  #flush: NodeJS.Immediate | undefined;

  /** @param load a result per key, in order; of `keysMax` keys at most. */
  constructor(load: (keys: readonly string[]) => Promise<readonly Result[]>, keysMax: number) {
    this.#load = load;
    this.#keysMax = keysMax;
  }

  get(key: string): Promise<Result> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiting.get(key);
      if (waiters === undefined) this.#waiting.set(key, [{ resolve, reject }]);
      else waiters.push({ resolve, reject });
      this.#flush ??= setImmediate(() => this.#send());
    });
  }

  #send(): void {
    const waiting = [...this.#waiting];
    this.#waiting = new Map();
    this.#flush = undefined;
    for (let from = 0; from < waiting.length; from += this.#keysMax)
      void this.#ask(waiting.slice(from, from + this.#keysMax));
  }

  async #ask(asked: readonly (readonly [string, readonly Waiter<Result>[]])[]): Promise<void> {
    try {
      const results = await this.#load(asked.map(([key]) => key));
      asked.forEach(([, waiters], place) => {
        for (const { resolve } of waiters) resolve(results[place] as Result);
      });
    } catch (error) {
      if (asked.length > 1 && error instanceof ClientError && SPLIT_CODES.includes(error.code)) {
        const half = asked.length >> 1;
        await Promise.all([this.#ask(asked.slice(0, half)), this.#ask(asked.slice(half))]);
        return;
      }
      for (const [, waiters] of asked) for (const { reject } of waiters) reject(error);
    }
  }
}
