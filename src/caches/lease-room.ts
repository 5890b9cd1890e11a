/** How many leases there may be, and how many may wait for what others make: for all caches of a server together. */
import type { Clock } from '../base/clock.js';

export const LEASE_LIMITS = {
  /** A key with its lease takes up to 1 KiB. */
  leases: 32_768,
  waiters: 8_192,
  waitMs: 30_000,
  leaseMsMax: 600_000,
} as const;

/** Leases that are over are looked for when there is no room, but not all the time. */
const SWEEP_MS = 1_000;

export interface LeaseRoomOptions {
  readonly leasesMax: number;
  readonly waitersMax: number;
  readonly clock: Clock;
}

export interface Sweepable {
  /** Gives back what is over. */
  sweep(): void;
}

export class LeaseRoom {
  leases = 0;
  waiters = 0;
  readonly #options: LeaseRoomOptions;
  readonly #tables: Sweepable[] = [];
  #sweptMs = Number.NEGATIVE_INFINITY;

  constructor(options: LeaseRoomOptions) {
    this.#options = options;
  }

  add(table: Sweepable): void {
    this.#tables.push(table);
  }

  takeLease(): boolean {
    if (this.leases >= this.#options.leasesMax) this.#sweep();
    if (this.leases >= this.#options.leasesMax) return false;
    this.leases++;
    return true;
  }

  takeWaiter(): boolean {
    if (this.waiters >= this.#options.waitersMax) return false;
    this.waiters++;
    return true;
  }

  #sweep(): void {
    const nowMs = this.#options.clock.now();
    // A clock that was set back must not keep it from being done.
    if (Math.abs(nowMs - this.#sweptMs) < SWEEP_MS) return;
    this.#sweptMs = nowMs;
    for (const table of this.#tables) table.sweep();
  }
}
