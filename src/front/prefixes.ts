/** Views of the first n bytes of one array, each made once: a view costs more than a probe of the table. */
import { assert } from '../base/assert.js';

/** Longer prefixes are made anew each time: they are rare, and copying them costs more than their view. */
const KEPT_BYTES_MAX = 65_536;

export class Prefixes {
  readonly #bytes: Uint8Array;
  /** By length in words. */
  readonly #kept: (Uint8Array | undefined)[];

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#kept = new Array<Uint8Array | undefined>(KEPT_BYTES_MAX / 4 + 1).fill(undefined);
  }

  /** @param length a multiple of 4. */
  of(length: number): Uint8Array {
    assert((length & 3) === 0 && length <= this.#bytes.length, 'a record is whole words within the array');
    if (length > KEPT_BYTES_MAX) return this.#bytes.subarray(0, length);
    const kept = this.#kept[length >> 2];
    if (kept !== undefined) return kept;
    const made = this.#bytes.subarray(0, length);
    this.#kept[length >> 2] = made;
    return made;
  }
}
