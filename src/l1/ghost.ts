/**
 * The ghost of s3-fifo: fingerprints of records that left the small queue unused, oldest forgotten first.
 *
 * Sets of sixteen 16-bit fingerprints, each a queue: a new one pushes the others back. Only as many ways count as the
 * main queue now has records a set, so the memory reaches as far back as the paper's ghost however large the records
 * are. Lane-private: a successor starts with an empty one.
 */

const WAYS = 16;

export class Ghost {
  readonly #prints: Uint16Array;
  readonly #sets: number;

  /** @param records how many fingerprints are kept at most. */
  constructor(records: number) {
    this.#sets = Math.max(1, Math.ceil(records / WAYS));
    this.#prints = new Uint16Array(this.#sets * WAYS);
  }

  get privateBytes(): number {
    return this.#prints.byteLength;
  }

  add(hashLow: number, hashHigh: number): void {
    const prints = this.#prints;
    const first = this.#set(hashLow);
    for (let way = first + WAYS - 1; way > first; way--) prints[way] = prints[way - 1]!;
    prints[first] = print(hashHigh);
  }

  /** Whether the key is among the last `reach` or so; it is forgotten then. */
  take(hashLow: number, hashHigh: number, reach: number): boolean {
    const prints = this.#prints;
    const first = this.#set(hashLow);
    const wanted = print(hashHigh);
    const end = first + Math.min(WAYS, Math.ceil(reach / this.#sets));
    for (let way = first; way < end; way++) {
      if (prints[way] !== wanted) continue;
      for (let later = way; later < first + WAYS - 1; later++) prints[later] = prints[later + 1]!;
      prints[first + WAYS - 1] = 0;
      return true;
    }
    return false;
  }

  #set(hashLow: number): number {
    return Math.floor(((hashLow >>> 0) / 2 ** 32) * this.#sets) * WAYS;
  }
}

/** Other bits than those that choose the set; 0 stands for none. */
function print(hashHigh: number): number {
  const bits = (hashHigh >>> 8) & 0xffff;
  return bits === 0 ? 1 : bits;
}
