/**
 * Time, injected: wall clock in milliseconds, and the hybrid logical clock that gives versions.
 *
 * A version is a 53-bit integer, larger is newer. The hybrid clock's are `milliseconds << 12 | counter` cut to 53
 * bits: 41 bits of milliseconds since 2020 (to 2089) and 12 bits of counter, 4,096 versions a millisecond; past that
 * it runs ahead of the wall clock rather than give one twice. (Kulkarni et al., "Logical Physical Clocks", 2014.)
 */

declare const versionBrand: unique symbol;
/** 0 to 2^53 - 1; larger is newer. */
export type Version = number & { readonly [versionBrand]: true };

/** The largest version of a record. The one above it is kept for its deletion. */
export const VERSION_MAX = (Number.MAX_SAFE_INTEGER - 1) as Version;

/** Milliseconds since the Unix epoch. */
export interface Clock {
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** A clock that moves only when told to: for tests. */
export class ManualClock implements Clock {
  #nowMs: number;

  constructor(nowMs = 1_700_000_000_000) {
    this.#nowMs = nowMs;
  }

  now(): number {
    return this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }
}

const HYBRID_EPOCH_MS = Date.UTC(2020, 0, 1);
/** So many versions the hybrid clock has for each millisecond. */
export const VERSIONS_PER_MS = 4096;

export function isVersion(value: number): value is Version {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Gives strictly increasing versions; `seen` lifts it over versions met elsewhere. */
export class HybridClock {
  readonly #clock: Clock;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  next(): Version {
    const wall = Math.max(0, this.#clock.now() - HYBRID_EPOCH_MS) * VERSIONS_PER_MS;
    this.#last = Math.max(this.#last + 1, wall);
    return this.#last as Version;
  }

  /** A version from another clock was met: the next one given is above it, unless that clock is over an hour ahead. */
  seen(version: Version): void {
    const ceiling = Math.max(0, this.#clock.now() - HYBRID_EPOCH_MS + 3_600_000) * VERSIONS_PER_MS;
    if (version > this.#last && version <= ceiling) this.#last = version;
  }
}
