/**
 * The leases of all caches of a server: a table each, as long as their time is not 0, and room for all together. What an
 * origin makes needs none: it is asked once.
 */
import type { Clock } from '../base/clock.js';
import type { CacheDefinition } from './definition.js';
import { LEASE_LIMITS, LeaseRoom } from './lease-room.js';
import { LeaseTable } from './lease-table.js';

export interface LeasesOptions {
  readonly definitions: readonly CacheDefinition[];
  /** Of caches that do not say. */
  readonly leaseMs: number;
  readonly clock: Clock;
  /** Other servers keep their entries in the same store. */
  readonly isShared: boolean;
}

/** One look so often, at most, however many ask. */
const RECHECK_MS = 20;

export class Leases {
  readonly #tables = new Map<string, LeaseTable>();

  constructor({ definitions, leaseMs, clock, isShared }: LeasesOptions) {
    const { leases: leasesMax, waiters: waitersMax } = LEASE_LIMITS;
    const room = new LeaseRoom({ leasesMax, waitersMax, clock });
    const recheckMs = isShared ? RECHECK_MS : undefined;
    for (const { name, leaseMs: own, origin } of definitions) {
      const options = { clock, leaseMs: own ?? leaseMs, room, recheckMs, later };
      if (options.leaseMs > 0 && origin === undefined) this.#tables.set(name, new LeaseTable(options));
    }
  }

  of({ name }: CacheDefinition): LeaseTable | undefined {
    return this.#tables.get(name);
  }

  figuresOf(cache: CacheDefinition): Readonly<Record<string, number>> | undefined {
    const table = this.of(cache);
    if (table === undefined) return undefined;
    const { held, waiting, granted, refused, expired, crowded } = table;
    return { held, waiting, granted, refused, expired, crowded };
  }

  /** The server stops: nobody waits any longer. */
  close(): void {
    for (const table of this.#tables.values()) table.close();
  }
}

function later(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}
