/**
 * Since when the shared table may hold records of a lane that have changed elsewhere without anybody telling: one word a
 * lane, in memory that front and lanes share, so that the time goes on counting when the lane's thread dies. The copies
 * may be served until HEADRACE_STALE_MAX after that moment, however many threads the lane has had since.
 *
 * The lane's thread sets and clears its word; the front sets it when that thread has exited.
 */

/** Copies of that lane are all known to be current, or live for a short time only. */
const NEVER = 0n;

/** For so many lanes, none of which has such copies. */
export function untoldMemory(lanes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(lanes * BigInt64Array.BYTES_PER_ELEMENT);
}

export class Untold {
  readonly #words: BigInt64Array;
  readonly #lane: number;

  constructor(memory: SharedArrayBuffer, lane: number) {
    this.#words = new BigInt64Array(memory);
    this.#lane = lane;
  }

  /** From now on nobody tells; since when nobody does, in milliseconds since the epoch. */
  begin(nowMs: number): number {
    const before = Atomics.compareExchange(this.#words, this.#lane, NEVER, BigInt(Math.floor(nowMs)));
    return before === NEVER ? Math.floor(nowMs) : Number(before);
  }

  /** There are no such copies any more. */
  end(): void {
    Atomics.store(this.#words, this.#lane, NEVER);
  }

  /** The same, if it is still the time that began then; whether it was. */
  endOf(sinceMs: number): boolean {
    return Atomics.compareExchange(this.#words, this.#lane, BigInt(sinceMs), NEVER) === BigInt(sinceMs);
  }
}
