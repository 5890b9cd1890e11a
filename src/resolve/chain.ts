/**
 * The tiers below the shared table, in order: asked from the top, filled upward with what a lower one had.
 *
 * One question a tier for all keys of a message. A record that fails its check is a miss of that tier, counted, never
 * served; an expired one is a miss too; a tombstone is an answer: there is no record. A tier that fails is passed over;
 * only when the last one, the store of record, fails is it unknown whether a record exists.
 */
import type { Version } from '../base/clock.js';
import type { Tier, TierWrite } from '../base/tier.js';
import type { RecordInspector } from './record-inspector.js';

export const UNAVAILABLE = Symbol('unavailable');

/** A record's or tombstone's bytes, `undefined` when no tier has one, `UNAVAILABLE` when that cannot be said. */
export type Found = Uint8Array | undefined | typeof UNAVAILABLE;

export interface TierSet {
  readonly lmdb?: Tier;
}

/** The order of tiers: the first is asked first, the last is the store of record. */
export function tierOrder(tiers: TierSet): readonly Tier[] {
  return [tiers.lmdb].filter(tier => tier !== undefined);
}

export class TierChain {
  readonly #tiers: readonly Tier[];
  readonly #inspector: RecordInspector;
  /** Records that failed their check. */
  corrupt = 0;
  /** Calls into tiers that failed. */
  failures = 0;

  constructor(tiers: readonly Tier[], inspector: RecordInspector) {
    this.#tiers = tiers;
    this.#inspector = inspector;
  }

  /** By key, in order. Answers at once when the tiers do. */
  getMany(keys: readonly Uint8Array[], nowMs: number): Found[] | Promise<Found[]> {
    const found: Found[] = new Array(keys.length).fill(undefined);
    return this.#ask({ level: 0, keys, places: keys.map((_, place) => place), found, nowMs });
  }

  /** Writes to the store of record, and resolves when it is durable there; then to the tiers above it. */
  async putMany(writes: readonly TierWrite[]): Promise<readonly (Version | null)[]> {
    const record = this.#tiers.at(-1);
    if (record === undefined) return writes.map(() => null);
    const results = await record.putMany(writes);
    const applied = writes.filter((_, index) => results[index] === null);
    this.#fill(this.#tiers.length - 1, applied);
    return results;
  }

  #ask(question: Question): Found[] | Promise<Found[]> {
    const { level, keys, places, found } = question;
    const tier = this.#tiers[level];
    if (tier === undefined || places.length === 0) return found;
    const isLast = level === this.#tiers.length - 1;
    const failed = () => {
      this.failures++;
      if (isLast) for (const place of places) found[place] = UNAVAILABLE;
      return this.#ask({ ...question, level: level + 1 });
    };
    try {
      const answer = tier.getMany(places.map(place => keys[place] as Uint8Array));
      return answer instanceof Promise
        ? answer.then(values => this.#take(question, values), failed)
        : this.#take(question, answer);
    } catch {
      return failed();
    }
  }

  #take(question: Question, values: readonly (Uint8Array | undefined)[]): Found[] | Promise<Found[]> {
    const { level, keys, places, found, nowMs } = question;
    const missing: number[] = [];
    const fills: TierWrite[] = [];
    for (let index = 0; index < places.length; index++) {
      const place = places[index] as number;
      const value = values[index];
      if (value === undefined || !this.#isUsable(value, nowMs)) missing.push(place);
      else {
        found[place] = value;
        if (level > 0)
          fills.push({ key: keys[place] as Uint8Array, value, version: this.#inspector.version(value) });
      }
    }
    this.#fill(level, fills);
    return this.#ask({ ...question, level: level + 1, places: missing });
  }

  #isUsable(value: Uint8Array, nowMs: number): boolean {
    if (!this.#inspector.verify(value)) {
      this.corrupt++;
      return false;
    }
    return this.#inspector.expiresAt(value) > nowMs;
  }

  /** Copies to the tiers above `level`. Nobody waits for it; the larger version wins there as well. */
  #fill(level: number, writes: readonly TierWrite[]): void {
    if (writes.length === 0) return;
    for (const tier of this.#tiers.slice(0, level)) {
      tier.putMany(writes).catch(() => this.failures++);
    }
  }
}

interface Question {
  readonly level: number;
  readonly keys: readonly Uint8Array[];
  /** Places of the keys still unanswered. */
  readonly places: readonly number[];
  readonly found: Found[];
  readonly nowMs: number;
}
