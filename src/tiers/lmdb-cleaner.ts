/**
 * Takes from the disk what nobody can ask for any more: the records of dropped views, expired records, old tombstones.
 *
 * All of it in steps of a bounded number of records, each of a few milliseconds, with nothing held between them. One
 * lane cleans for all: a record is removed only if it still has the version that was looked at, which LMDB checks in
 * the writing transaction, so that a newer write by the record's own lane is never lost.
 */
import type { Version } from '../base/clock.js';
import { viewPrefix } from '../base/keys.js';
import type { DiskGuard } from './disk-guard.js';
import type { LmdbEnvironment } from './lmdb-environment.js';

export interface SweepStep {
  readonly seen: number;
  readonly removed: number;
  /** True when the end was reached: the next step begins from the first record again. */
  readonly wrapped: boolean;
}

export interface LmdbCleanerOptions {
  /** Whether a record or tombstone may go, at a time in milliseconds. Records that are broken may not. */
  readonly isDead: (value: Uint8Array, nowMs: number) => boolean;
  /** Records a step looks at. */
  readonly stepRecords?: number;
  readonly guard?: DiskGuard;
}

/** A removal makes a leaf dirty, and sometimes a branch. */
const PAGE_BYTES_PER_REMOVAL = 2 * 4096;

const FIRST_KEY = Uint8Array.of(0);

export class LmdbCleaner {
  readonly #environment: LmdbEnvironment;
  readonly #isDead: (value: Uint8Array, nowMs: number) => boolean;
  readonly #stepRecords: number;
  readonly #guard: DiskGuard | undefined;
  #next: Uint8Array = FIRST_KEY;

  constructor(environment: LmdbEnvironment, options: LmdbCleanerOptions) {
    this.#environment = environment;
    this.#isDead = options.isDead;
    this.#stepRecords = options.stepRecords ?? 512;
    this.#guard = options.guard;
  }

  /** Removes some records of a view that was dropped; 0 when there are none left. Resolves when durable. @throws `disk-full`. */
  async eraseStep(viewUid: number): Promise<number> {
    const { records } = this.#environment;
    const range = { start: viewPrefix(viewUid), end: viewPrefix(viewUid + 1), limit: this.#stepRecords };
    const keys = [...records.getKeys(range)];
    this.#guard?.checkReserve(keys.length * PAGE_BYTES_PER_REMOVAL);
    let last: Promise<boolean> | undefined;
    for (const key of keys) last = records.remove(key);
    await last;
    return keys.length;
  }

  /** Looks at the next few records of the whole store and removes what is dead. @throws `disk-full`. */
  async sweepStep(nowMs: number): Promise<SweepStep> {
    this.#guard?.checkReserve(this.#stepRecords * PAGE_BYTES_PER_REMOVAL);
    const { records } = this.#environment;
    const range = { start: this.#next, limit: this.#stepRecords + 1, versions: true };
    const removals: Promise<boolean>[] = [];
    let seen = 0;
    let next: Uint8Array | undefined;
    for (const { key, value, version } of records.getRange(range)) {
      if (seen === this.#stepRecords) next = key;
      else {
        seen++;
        if (this.#isDead(value, nowMs)) removals.push(records.remove(key, version as Version));
      }
    }
    this.#next = next ?? FIRST_KEY;
    const removed = (await Promise.all(removals)).filter(done => done).length;
    return { seen, removed, wrapped: next === undefined };
  }
}
