/**
 * The tiers below the shared table, in order: asked from the top, filled upward with what a lower one had.
 *
 * One question a tier for all keys of a message. A record that fails its check is a miss of that tier, counted, never
 * served; an expired one is a miss too; a tombstone is an answer: there is no record. A tier that fails is passed over;
 * only when the last one, the store of record, fails is it unknown whether a record exists.
 *
 * A write goes to the store of record first. Once it is durable there, nothing makes it fail any more: a tier above that
 * cannot take it is amended later (`amends.ts`), for it may hold an older value.
 */
import type { Version } from '../base/clock.js';
import type { Tier, TierWrite } from '../base/tier.js';
import type { RecordInspector } from './record-inspector.js';

export const UNAVAILABLE = Symbol('unavailable');

/** A record's or tombstone's bytes, `undefined` when no tier has one, `UNAVAILABLE` when that cannot be said. */
export type Found = Uint8Array | undefined | typeof UNAVAILABLE;

/** A tier and its place in the order. */
export interface Level {
  readonly tier: Tier;
  /** Copies on local disk: the era they are made in. */
  readonly era?: () => number;
}

export interface TierSet {
  readonly redis?: Level;
  readonly copies?: Level;
  /** The store of record. */
  readonly record: Level;
}

/** The order of tiers: the first is asked first, the last is the store of record. */
export function tierOrder({ redis, copies, record }: TierSet): readonly Level[] {
  return [redis, copies, record].filter(level => level !== undefined);
}

export interface ReadOptions {
  readonly nowMs: number;
  readonly deadlineMs: number;
  /** Whether what is found for the key at this place may still be kept: it has not changed since it was asked for. */
  readonly mayKeep: (place: number) => boolean;
}

export interface ChainOptions {
  /** Told of keys that a tier above the store of record could not take. */
  readonly onMissed?: (tier: Tier['name'], keys: readonly Uint8Array[]) => void;
}

export class TierChain {
  readonly #levels: readonly Level[];
  readonly #inspector: RecordInspector;
  readonly #options: ChainOptions;
  /** Records that failed their check. */
  corrupt = 0;
  /** Calls into tiers that failed. */
  failures = 0;

  constructor(levels: readonly Level[], inspector: RecordInspector, options: ChainOptions = {}) {
    this.#levels = levels;
    this.#inspector = inspector;
    this.#options = options;
  }

  /** By key, in order. Answers at once when the tiers do. */
  getMany(keys: readonly Uint8Array[], options: ReadOptions): Found[] | Promise<Found[]> {
    const found: Found[] = new Array(keys.length).fill(undefined);
    const eras = this.#levels.map(({ era }) => era?.());
    return this.#ask({ level: 0, keys, places: keys.map((_, place) => place), found, eras, options });
  }

  /** Resolves when the store of record has the writes and the tiers above have had their time to take them. */
  async putMany(writes: readonly TierWrite[], deadlineMs?: number): Promise<readonly (Version | null)[]> {
    const record = this.#levels.at(-1);
    if (record === undefined) return writes.map(() => null);
    const upper = this.#levels.slice(0, -1);
    try {
      const results = await record.tier.putMany(writes, deadlineMs);
      const applied = writes.filter((_, index) => results[index] === null);
      if (applied.length > 0 && upper.length > 0) {
        await Promise.all(
          upper.map(({ tier, era }) =>
            era === undefined ? this.#copy(tier, applied) : this.#drop(tier, applied),
          ),
        );
      }
      return results;
    } catch (error) {
      // It may have been applied, and copies would then be old.
      for (const { tier } of upper) this.#missed(tier, writes);
      throw error;
    }
  }

  #ask(question: Question): Found[] | Promise<Found[]> {
    const { level, keys, places, found, options } = question;
    const tier = this.#levels[level]?.tier;
    if (tier === undefined || places.length === 0) return found;
    const isLast = level === this.#levels.length - 1;
    const failed = () => {
      this.failures++;
      if (isLast) for (const place of places) found[place] = UNAVAILABLE;
      return this.#ask({ ...question, level: level + 1 });
    };
    try {
      const answer = tier.getMany(
        places.map(place => keys[place] as Uint8Array),
        options.deadlineMs,
      );
      return answer instanceof Promise
        ? answer.then(values => this.#take(question, values), failed)
        : this.#take(question, answer);
    } catch {
      return failed();
    }
  }

  #take(question: Question, values: readonly (Uint8Array | undefined)[]): Found[] | Promise<Found[]> {
    const { level, keys, places, found, options } = question;
    const missing: number[] = [];
    const fills: TierWrite[] = [];
    for (let index = 0; index < places.length; index++) {
      const place = places[index] as number;
      const value = values[index];
      if (value === undefined || !this.#isUsable(value, options.nowMs)) missing.push(place);
      else {
        found[place] = value;
        if (level > 0 && options.mayKeep(place))
          fills.push({ key: keys[place] as Uint8Array, value, version: this.#inspector.version(value) });
      }
    }
    if (fills.length > 0) this.#fill(question, fills);
    return this.#ask({ ...question, level: level + 1, places: missing });
  }

  #isUsable(value: Uint8Array, nowMs: number): boolean {
    if (!this.#inspector.verify(value)) {
      this.corrupt++;
      return false;
    }
    return this.#inspector.expiresAt(value) > nowMs;
  }

  /** Copies to the tiers above. Nobody waits for it; the larger version wins there as well. */
  #fill({ level, eras }: Question, writes: readonly TierWrite[]): void {
    this.#levels.slice(0, level).forEach(({ tier }, upper) => {
      tier.putMany(inEra(writes, eras[upper])).catch(() => {
        this.failures++;
      });
    });
  }

  /** Copies what was written here: a tier that cannot take it must not go on with what it has. */
  async #copy(tier: Tier, writes: readonly TierWrite[]): Promise<void> {
    try {
      await tier.putMany(writes);
    } catch {
      this.failures++;
      this.#missed(tier, writes);
    }
  }

  /**
   * Of copies on this server's disk, what was written here is only dropped: the news of the own write would drop a new
   * copy at once. They hide what is dropped before it is gone, so nobody waits.
   */
  #drop(tier: Tier, writes: readonly TierWrite[]): void {
    tier.deleteMany(writes.map(({ key }) => key)).catch(() => {
      this.failures++;
      this.#missed(tier, writes);
    });
  }

  #missed(tier: Tier, writes: readonly TierWrite[]): void {
    this.#options.onMissed?.(
      tier.name,
      writes.map(({ key }) => key),
    );
  }
}

function inEra(writes: readonly TierWrite[], era: number | undefined): readonly TierWrite[] {
  return era === undefined ? writes : writes.map(write => ({ ...write, era }));
}

interface Question {
  readonly level: number;
  readonly keys: readonly Uint8Array[];
  /** Places of the keys still unanswered. */
  readonly places: readonly number[];
  readonly found: Found[];
  /** By level, as they were when the question began. */
  readonly eras: readonly (number | undefined)[];
  readonly options: ReadOptions;
}
