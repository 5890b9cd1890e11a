/**
 * Seeded random numbers: the same seed gives the same run. Each part that needs numbers takes a stream of its own, so
 * that adding draws in one place does not move those of another.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, a few operations a number.
 */

const TWO_POW_32 = 2 ** 32;

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, stream = '') {
    let mix = seed | 0;
    for (let i = 0; i < stream.length; i++) mix = Math.imul(mix ^ stream.charCodeAt(i), 0x01000193);
    this.#a = mix | 0;
    this.#b = Math.imul(mix, 0x85ebca6b) | 0;
    this.#c = (seed / TWO_POW_32) | 0;
    // The first numbers of similar seeds are alike: leave them out.
    for (let i = 0; i < 15; i++) this.next();
  }

  /** 0 up to, not including, 1; 32 bits. */
  next(): number {
    const out = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + out) | 0;
    return (out >>> 0) / TWO_POW_32;
  }

  /** A whole number from 0 up to, not including, `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** Exponentially distributed: the gap between arrivals of a Poisson process. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  /** 0 … count - 1 in random order. */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const kept = order[i] ?? 0;
      order[i] = order[j] ?? 0;
      order[j] = kept;
    }
    return order;
  }
}
