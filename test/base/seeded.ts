/** Seeded randomness for tests that need more values than fast-check makes quickly. The seed is printed. */

const { HEADRACE_TEST_SEED, HEADRACE_TEST_FULL } = process.env;

export const SEED = Number(HEADRACE_TEST_SEED ?? 20_260_104);

/** True: also the sizes that take long. */
export const FULL = HEADRACE_TEST_FULL === '1';

/** For tests whose full size takes minutes on a busy machine. */
export const FULL_TIMEOUT = { timeout: FULL ? 3_600_000 : 60_000 };

export class Seeded {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 to `below` - 1 (Weyl sequence, mixed). */
  below(below: number): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32) * below);
  }

  pick<T>(from: readonly T[]): T {
    const index = this.below(from.length);
    return from[index] as T;
  }
}
