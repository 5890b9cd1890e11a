/**
 * A tier that misbehaves, over any tier: it answers late, fails, or gives back bytes that are wrong.
 *
 * What it does is set from outside, call by call; `asked` counts keys by name, so that a test can say how often a tier
 * was bothered.
 */
import { HeadraceError } from '../../src/base/errors.js';
import type { Tier, TierWrite } from '../../src/base/tier.js';

export class ChaosTier implements Tier {
  readonly name: Tier['name'];
  /** Calls are answered only once `release` is called. */
  isHeld = false;
  failReads = false;
  failWrites = false;
  /** Flips a bit in the middle of every value given back. */
  corrupts = false;
  reads = 0;
  writes = 0;
  readonly asked: Uint8Array[] = [];
  readonly #tier: Tier;
  #waiting: (() => void)[] = [];

  constructor(tier: Tier) {
    this.#tier = tier;
    this.name = tier.name;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    this.reads++;
    this.asked.push(...keys);
    await this.#turn();
    if (this.failReads) throw new HeadraceError('unavailable', 'a read fails on demand');
    const values = await this.#tier.getMany(keys);
    return this.corrupts ? values.map(value => value && flipped(value)) : values;
  }

  async putMany(writes: readonly TierWrite[]) {
    this.writes++;
    await this.#turn();
    if (this.failWrites) throw new HeadraceError('unavailable', 'a write fails on demand');
    return this.#tier.putMany(writes);
  }

  deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    return this.#tier.deleteMany(keys);
  }

  close(): Promise<void> {
    return this.#tier.close();
  }

  async #turn(): Promise<void> {
    if (this.isHeld) await new Promise<void>(resolve => this.#waiting.push(resolve));
  }
}

function flipped(value: Uint8Array): Uint8Array {
  const copy = value.slice();
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 1;
  return copy;
}
