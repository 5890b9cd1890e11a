/**
 * Of all servers that share a store, one asks an origin for a key: whoever has marked the entry there (`entry-leases.ts`).
 * The others look again and again for what it brings. What it brings takes the place of the mark alone, so that nothing
 * that came meanwhile is overwritten, whatever the clocks say. Where it brings nothing to be kept, the mark is taken away.
 *
 * A server that dies with a mark keeps the others waiting until its time is over; so does an origin that takes longer, and
 * then another server asks as well. A store that takes no marks keeps nobody from asking.
 */
import type { Clock, HybridClock, Version } from '../base/clock.js';
import type { CacheDefinition } from '../caches/definition.js';
import { EntryReader } from '../caches/entry.js';
import { leasedUntil, newSecret } from '../caches/lease-mark.js';
import { recordVersion } from '../views/record-codec.js';
import type { EntryLeases } from './entry-leases.js';
import type { LaneView } from './lane-views.js';
import type { Packed } from './record-writer.js';

export interface OriginLeasesParts {
  /** Whose marks are no change of what is being asked for. */
  readonly leases: Pick<EntryLeases, 'grant' | 'replace' | 'release'>;
  readonly versions: HybridClock;
  readonly clock: Clock;
  readonly rest: (ms: number) => Promise<void>;
}

/** The right to ask, of all servers. */
export interface OriginLease {
  /** False: the entry was written, deleted or leased since. */
  keep(packed: Packed): Promise<boolean>;
  /** Unless it was used. Does not reject. */
  release(): Promise<void>;
}

/** From one look for what another brings to the next: at first, and at the longest. */
const LOOK_AGAIN_MS = 20;
const LOOK_AGAIN_MS_MAX = 200;

export class OriginLeases {
  readonly #parts: OriginLeasesParts;
  readonly #entry = new EntryReader();

  constructor(parts: OriginLeasesParts) {
    this.#parts = parts;
  }

  /**
   * @param held what is to be replaced.
   * @returns `elsewhere` when another server asks, or has changed the entry; `undefined` when there are no leases.
   */
  async take(
    { leaseMs = 0 }: Pick<CacheDefinition, 'leaseMs'>,
    lane: LaneView,
    id: string,
    held: Uint8Array | undefined,
  ): Promise<OriginLease | 'elsewhere' | undefined> {
    if (leaseMs === 0) return undefined;
    const { leases, versions, clock } = this.#parts;
    const nowMs = clock.now();
    if (held !== undefined && this.#leasedUntil(held, nowMs) > nowMs) return 'elsewhere';
    const untilMs = nowMs + leaseMs;
    const mark = { viewUid: lane.view.uid, id, untilMs, secret: newSecret() };
    const over = held === undefined ? null : (recordVersion(held) as Version);
    const result = await leases.grant({ kind: 'lease', ...mark, over, deadlineMs: untilMs });
    if (result.kind !== 'leased') return undefined;
    const { version } = result;
    if (version === null) return 'elsewhere';
    // What is brought must be above the mark.
    versions.seen(version);
    let isUsed = false;
    return {
      async keep(packed) {
        isUsed = await leases.replace(packed, version);
        return isUsed;
      },
      async release() {
        if (!isUsed) await leases.release(mark, version).catch(() => undefined);
      },
    };
  }

  /** Until it is worth looking again for what another server brings. @param round from 0 */
  rest(round: number): Promise<void> {
    return this.#parts.rest(Math.min(LOOK_AGAIN_MS_MAX, LOOK_AGAIN_MS * 2 ** round));
  }

  #leasedUntil(held: Uint8Array, nowMs: number): number {
    this.#entry.reset(held);
    return leasedUntil(this.#entry, nowMs);
  }
}
