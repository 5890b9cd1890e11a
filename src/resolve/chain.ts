/**
 * The tiers below the shared table, in order: asked from the top, filled upward with what a lower one had.
 *
 * One question a tier for all keys of a message. A record that fails its check is counted and never served: in a tier
 * above the store of record it is a miss, and removed so that a whole one can take its place; in the store of record it
 * makes the key UNAVAILABLE, for there is a record. One that is expired or invalidated is a miss; a tombstone is an answer: there is no
 * record. A tier that fails is passed over; only when the last one, the store of record, fails is it unknown whether a
 * record exists.
 *
 * Copies on local disk are made only where somebody tells of changes (`mayCopy`), and of what has not changed since.
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
  /** Whether copies on local disk may be made now. Default: always. */
  readonly mayCopy?: () => boolean;
  /** Told of keys that a tier above the store of record could not take. */
  readonly onMissed?: (tier: Tier['name'], keys: readonly Uint8Array[]) => void;
  /** Whether the value was invalidated: it is as good as none. */
  readonly isHidden?: (key: Uint8Array, value: Uint8Array) => boolean;
  /** Whether the tier still lacks what was written of the key: it is not asked for it. */
  readonly isMissed?: (tier: Tier['name'], key: Uint8Array) => boolean;
}

/** Equal to none: what is of it is not kept, and nothing older either. */
const NO_ERA = Number.NaN;

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
    const eras = this.#eras();
    return this.#ask({ level: 0, keys, places: keys.map((_, place) => place), found, eras, options });
  }

  /**
   * Resolves when the store of record has the writes and the tiers above have had their time to take them. `onStored` is
   * called in between: what was read until then must not be kept, or it would take the place of the copies that go.
   */
  async putMany(
    writes: readonly TierWrite[],
    onStored: () => void = () => undefined,
  ): Promise<readonly (Version | null)[]> {
    const record = this.#levels.at(-1);
    if (record === undefined) return writes.map(() => null);
    const upper = this.#levels.slice(0, -1);
    try {
      const results = await record.tier.putMany(writes);
      onStored();
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
    const asked = this.#askable(question);
    if (asked.length === 0) return this.#ask({ ...question, level: level + 1 });
    const isLast = level === this.#levels.length - 1;
    const failed = () => {
      this.failures++;
      if (isLast) for (const place of places) found[place] = UNAVAILABLE;
      return this.#ask({ ...question, level: level + 1 });
    };
    try {
      const answer = tier.getMany(
        asked.map(place => keys[place] as Uint8Array),
        options.deadlineMs,
      );
      return answer instanceof Promise
        ? answer.then(values => this.#take(question, asked, values), failed)
        : this.#take(question, asked, answer);
    } catch {
      return failed();
    }
  }

  /** The places of the keys that the tier is asked for. */
  #askable({ level, keys, places }: Question): readonly number[] {
    const isAskable = (place: number) => !this.#isMissed(level, keys[place] as Uint8Array);
    return places.every(isAskable) ? places : places.filter(isAskable);
  }

  #isMissed(level: number, key: Uint8Array): boolean {
    const name = this.#levels[level]?.tier.name;
    const isLast = level === this.#levels.length - 1;
    return name !== undefined && !isLast && this.#options.isMissed?.(name, key) === true;
  }

  #take(
    question: Question,
    asked: readonly number[],
    values: readonly (Uint8Array | undefined)[],
  ): Found[] | Promise<Found[]> {
    const { level, keys, places, found, options } = question;
    const missing = asked === places ? [] : places.filter(place => !asked.includes(place));
    const damaged: TierRead[] = [];
    const fills: Fill[] = [];
    const isLast = level === this.#levels.length - 1;
    for (let index = 0; index < asked.length; index++) {
      const place = asked[index] as number;
      const value = values[index];
      const key = keys[place] as Uint8Array;
      // It may have been missed since it was asked for.
      if (value !== undefined && this.#isMissed(level, key)) {
        missing.push(place);
        continue;
      }
      const isWhole = value !== undefined && this.#inspector.verify(value);
      const isAlive = isWhole && this.#inspector.expiresAt(value) > options.nowMs;
      if (isAlive && this.#options.isHidden?.(key, value) !== true) {
        found[place] = value;
        if (level > 0) {
          const write = { key, value, version: this.#inspector.version(value) };
          fills.push({ write, mayKeep: options.mayKeep(place) });
        }
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

  /** By level, for what is asked or written from now on. */
  #eras(): (number | undefined)[] {
    const mayCopy = this.#options.mayCopy?.() ?? true;
    return this.#levels.map(({ era }) => era && (mayCopy ? era() : NO_ERA));
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
  #fill({ level, eras }: Question, fills: readonly Fill[]): void {
    this.#levels.slice(0, level).forEach(({ tier }, upper) => {
      const writes = fillsIn(eras[upper], fills);
      if (writes.length === 0) return;
      tier.putMany(writes).catch(() => {
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

/** What a tier above is given: of copies on local disk, also what must not be kept, as it replaces what is older. */
function fillsIn(era: number | undefined, fills: readonly Fill[]): TierWrite[] {
  if (era === undefined) return fills.flatMap(({ write, mayKeep }) => (mayKeep ? [write] : []));
  return fills.map(({ write, mayKeep }) => ({ ...write, era: mayKeep ? era : NO_ERA }));
}

/** A copy for the tiers above. */
interface Fill {
  readonly write: TierWrite;
  readonly mayKeep: boolean;
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
