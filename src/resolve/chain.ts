/**
 * The tiers below the shared table, in order: asked from the top, filled upward with what a lower one had.
 *
 * One question a tier for all keys of a message. A record that fails its check is counted and never served: in a tier
 * above the store of record it is a miss, and removed so that a whole one can take its place; in the store of record it
 * makes the key UNAVAILABLE, for there is a record. An expired one is a miss; a tombstone is an answer: there is no
 * record. A tier that fails is passed over; only when the last one, the store of record, fails is it unknown whether a
 * record exists.
 *
 * A write goes to the store of record first. Once it is durable there, nothing makes it fail any more: a tier above that
 * cannot take it is amended later (`amends.ts`), for it may hold an older value.
 */
import type { Version } from '../base/clock.js';
import type { Tier, TierRead, TierWrite } from '../base/tier.js';
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
  /** Whether such a key has yet to be put right in the tier: what the tier has may be old. */
  readonly isOwed?: (tier: Tier['name'], key: Uint8Array) => boolean;
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
    const eras = upper.map(({ era }) => era?.());
    try {
      const results = await record.tier.putMany(writes, deadlineMs);
      const applied = writes.filter((_, index) => results[index] === null);
      if (applied.length > 0 && upper.length > 0) {
        const copied = upper.map(({ tier }, level) => this.#copy(tier, applied, eras[level]));
        // What other servers read is waited for; a copy on this server's disk hides what it replaces at once.
        await Promise.all(copied.filter((_, level) => eras[level] === undefined));
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
    const damaged: TierRead[] = [];
    const fills: TierWrite[] = [];
    const tier = this.#levels[level]?.tier.name ?? 'lmdb';
    const isLast = level === this.#levels.length - 1;
    for (let index = 0; index < places.length; index++) {
      const place = places[index] as number;
      const value = values[index];
      const key = keys[place] as Uint8Array;
      if (value !== undefined && !isLast && this.#options.isOwed?.(tier, key)) {
        missing.push(place);
        continue;
      }
      const isWhole = value !== undefined && this.#inspector.verify(value);
      if (isWhole && this.#inspector.expiresAt(value) > options.nowMs) {
        found[place] = value;
        if (level > 0 && options.mayKeep(place))
          fills.push({ key, value, version: this.#inspector.version(value) });
        continue;
      }
      const isDamaged = value !== undefined && !isWhole;
      if (isDamaged) damaged.push({ key, value });
      if (isDamaged && isLast) found[place] = UNAVAILABLE;
      else missing.push(place);
    }
    if (damaged.length > 0) this.#discard(level, damaged);
    if (fills.length > 0) this.#fill(question, fills);
    return this.#ask({ ...question, level: level + 1, places: missing });
  }

  /** Sent before what is then filled in. The store of record keeps what it has: it may have been whole there. */
  #discard(level: number, damaged: readonly TierRead[]): void {
    this.corrupt += damaged.length;
    if (level === this.#levels.length - 1) return;
    this.#levels[level]?.tier.discardMany?.(damaged).catch(() => {
      this.failures++;
    });
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
  async #copy(tier: Tier, writes: readonly TierWrite[], era: number | undefined): Promise<void> {
    try {
      await tier.putMany(inEra(writes, era));
    } catch {
      this.failures++;
      this.#missed(tier, writes);
    }
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
