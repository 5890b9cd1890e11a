/**
 * Keeps what was read before a change from being kept after it.
 *
 * Who reads a key from the tiers takes a pass first, and keeps what it found only if the pass is still good. Any change
 * of the key in between makes it bad: a write here, an invalidation from another instance. So it is enough to note a
 * change when it is known, also for reads under way whose answer is already on the wire.
 *
 * No list of reads under way is kept, nothing is leaked by one that never ends: keys share a fixed number of counters by
 * their hash, and a pass is the count. Two keys that share one make a pass bad for nothing, which costs one kept answer.
 * A lane has one; as all of a key's reads and changes are in its lane's thread, asking and keeping cannot be parted.
 */
import { assert } from '../base/assert.js';

declare const passBrand: unique symbol;
export type FencePass = number & { readonly [passBrand]: true };

const COUNTERS_DEFAULT = 4096;

export class KeyFence {
  readonly #counters: Float64Array;
  readonly #mask: number;
  #all = 0;

  /** The number of counters is a power of two. */
  constructor(counters = COUNTERS_DEFAULT) {
    assert(counters > 0 && (counters & (counters - 1)) === 0, 'counters are a power of two');
    this.#counters = new Float64Array(counters);
    this.#mask = counters - 1;
  }

  /** Before the tiers are asked. */
  begin(name: string): FencePass {
    return this.#count(name) as FencePass;
  }

  isGood(name: string, pass: FencePass): boolean {
    return this.#count(name) === pass;
  }

  /** The key was changed: after the store of record has it, and before anybody is told. */
  changed(name: string): void {
    const place = this.#place(name);
    this.#counters[place] = (this.#counters[place] ?? 0) + 1;
  }

  /** Any key may have been changed. */
  allChanged(): void {
    this.#all++;
  }

  /** Both only grow, so that the sum is the same only while both are. */
  #count(name: string): number {
    return (this.#counters[this.#place(name)] ?? 0) + this.#all;
  }

  /** FNV-1a. Keys chosen to share a counter would only keep each other from being kept. */
  #place(name: string): number {
    let hash = 0x811c9dc5;
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
    return (hash ^ (hash >>> 15)) & this.#mask;
  }
}
