/**
 * The contract of a tier below the shared table: bytes in, bytes out, and the larger version wins.
 *
 * One suite (test/tiers/tier-suite.ts) holds every implementation to it. Timeout, retry and circuit breaker wrap a
 * tier from outside (src/resolve/guard.ts); a tier has none of its own.
 */
import type { Version } from './clock.js';
import { HeadraceError, type ProblemCode } from './errors.js';

export interface TierWrite {
  /** Storage key, see `keys.ts`. */
  readonly key: Uint8Array;
  /** A packed record or tombstone. The tier does not change it and does not keep the array after it resolved. */
  readonly value: Uint8Array;
  readonly version: Version;
  /**
   * Of a copy for a tier above the store of record: the era of that tier (`LmdbCopyTier.era`) in which the value was
   * asked for or its write was begun. Without it, the value is taken for one that is current now.
   */
  readonly era?: number;
}

/** A value as it was read. */
export interface TierRead {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * What a tier throws that has answered, and will not: it is out of memory, may only be read, denies access. The tier is
 * not broken, and asking again is of no use; a failure that may pass is a plain HeadraceError `unavailable`.
 */
export class TierRefusal extends HeadraceError {
  constructor(message: string, code: ProblemCode = 'unavailable') {
    super(code, message);
    this.name = 'TierRefusal';
  }
}

/** Which copy of a store is read: whichever it reads as it is set up, or the one that takes the writes. */
export type ReadFrom = 'any' | 'primary';

export interface Tier {
  readonly name: 'lmdb' | 'redis' | 'mongodb';

  /**
   * Values in the order of the keys, `undefined` where there is none; what a tier knows to be damaged is empty. May
   * answer at once.
   * A returned array is the caller's until the next call into this tier.
   * Nobody waits beyond the deadline, in milliseconds since the epoch: guards keep to it, a tier need not.
   * From the `primary`, where the tier tells it apart, comes all that was acknowledged.
   */
  getMany(
    keys: readonly Uint8Array[],
    deadlineMs?: number,
    from?: ReadFrom,
  ): Promise<readonly (Uint8Array | undefined)[]> | readonly (Uint8Array | undefined)[];

  /**
   * Writes each value whose version is larger than the one held, and resolves when all are durable. The result has a
   * place per write: `null` when it was applied, else the version held, which is equal or larger.
   * Writes of one key within one call apply in order.
   * @throws HeadraceError `disk-full` before anything of the call is written, `unavailable` when the tier fails.
   */
  putMany(writes: readonly TierWrite[], deadlineMs?: number): Promise<readonly (Version | null)[]>;

  /** Removes without a tombstone (dropped views, expired records). Resolves when durable. */
  deleteMany(keys: readonly Uint8Array[]): Promise<void>;

  /**
   * Of tiers that may stand above the store of record: removes what was read there and is damaged, for its version may
   * keep a whole value of the same version out. What has been replaced since it was read stays.
   */
  discardMany?(reads: readonly TierRead[]): Promise<void>;

  /**
   * Of stores of record: the keys of a view, some at a time or none, in no order. Each that is acknowledged at the
   * beginning and there until the end is given, and may be given twice. Who stops asking ends it.
   * @throws HeadraceError `unavailable`; it is over then, and to be begun anew.
   */
  keysOf?(viewUid: number): AsyncIterable<readonly Uint8Array[]>;

  /**
   * Of tiers that may hang: resolves when the tier is there, at the least cost, beside what else is under way. Given up
   * when the signal says so; it may then end at any time, in any way.
   */
  ping?(signal: AbortSignal): Promise<void>;

  close(): Promise<void>;
}
