/**
 * Puts right what a tier above the store of record missed: keys that were written, or may have been, while the tier could
 * not take them. Until then it may hold an older value.
 *
 * Such keys are read again from the store of record and put into the tier, where the larger version wins; what the store
 * does not have, or the tier refuses to take (it may be out of memory), is removed from the tier. Tried again until it
 * works, a bounded number of keys at a time; meanwhile this lane does not ask the tier for them (`owes`). The number
 * that is remembered is bounded too; the oldest go first, and are left to their TTL.
 */
import { type Tier, TierRefusal, type TierWrite } from '../base/tier.js';
import type { RecordInspector } from './record-inspector.js';

export interface AmendsParts {
  /** The tier that missed something. */
  readonly tier: Tier;
  readonly record: Tier;
  readonly inspector: RecordInspector;
  readonly keysMax?: number;
}

const KEYS_MAX = 100_000;
const STEP_KEYS = 256;

export class Amends {
  readonly #parts: AmendsParts;
  readonly #keysMax: number;
  /** By the key's bytes as a text, oldest first. */
  readonly #keys = new Map<string, Uint8Array>();
  #isRunning = false;
  /** Keys that were given up, as there were too many. */
  forgotten = 0;

  constructor(parts: AmendsParts) {
    this.#parts = parts;
    this.#keysMax = parts.keysMax ?? KEYS_MAX;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** Whether the tier may hold an older value of the key than the store of record. */
  owes(key: Uint8Array): boolean {
    return this.#keys.size > 0 && this.#keys.has(nameOf(key));
  }

  owe(keys: readonly Uint8Array[]): void {
    for (const key of keys) {
      const name = nameOf(key);
      // Again at the end: what failed just now is not the first to be given up.
      this.#keys.delete(name);
      this.#keys.set(name, Uint8Array.from(key));
      if (this.#keys.size <= this.#keysMax) continue;
      const [oldest = name] = this.#keys.keys();
      this.#keys.delete(oldest);
      this.forgotten++;
    }
  }

  /** Goes on until all is put right, or it cannot be done now. Does nothing while it is at it already. */
  async run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      while (await this.#step());
    } finally {
      this.#isRunning = false;
    }
  }

  /** False when there was nothing to do, or it could not be done now. */
  async #step(): Promise<boolean> {
    const owed = firstOf(this.#keys, STEP_KEYS);
    if (owed.length === 0) return false;
    const keys = owed.map(([, key]) => key);
    try {
      await this.#amend(keys);
    } catch {
      // To the end, but for those that are owed anew.
      this.owe(owed.filter(([name, key]) => this.#keys.get(name) === key).map(([, key]) => key));
      return false;
    }
    // What was owed anew while this was under way is owed still.
    for (const [name, key] of owed) if (this.#keys.get(name) === key) this.#keys.delete(name);
    return true;
  }

  async #amend(keys: readonly Uint8Array[]): Promise<void> {
    const { tier, record, inspector } = this.#parts;
    // The store of record is not bothered while the tier is away.
    await tier.getMany(keys.slice(0, 1));
    const values = await record.getMany(keys);
    const writes: TierWrite[] = [];
    const gone: Uint8Array[] = [];
    keys.forEach((key, index) => {
      const value = values[index];
      if (value !== undefined && inspector.verify(value))
        writes.push({ key, value, version: inspector.version(value) });
      else gone.push(key);
    });
    try {
      if (writes.length > 0) await tier.putMany(writes);
    } catch (error) {
      if (!(error instanceof TierRefusal)) throw error;
      gone.push(...writes.map(({ key }) => key));
    }
    if (gone.length > 0) await tier.deleteMany(gone);
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function firstOf<T>(items: Iterable<T>, count: number): T[] {
  const first: T[] = [];
  for (const item of items) {
    if (first.push(item) === count) break;
  }
  return first;
}
