/** What a store beside the embedded one brings to a lane, and the guard that is put around it. */
import type { Clock } from '../src/base/clock.js';
import type { Tier } from '../src/base/tier.js';
import type { ViewCatalogStore } from '../src/base/view-catalog.js';
import { Breaker, type BreakerChange } from '../src/resolve/breaker.js';
import { guardTier, RETRY_DEFAULTS } from '../src/resolve/guard.js';
import type { Cleaner } from '../src/resolve/housekeeping.js';
import type { LaneWorkerData, SharedStores } from '../src/resolve/lane-worker-data.js';
import type { RecordInspector } from '../src/resolve/record-inspector.js';
import type { CatalogedView } from '../src/views/schema.js';

/** Places in the breakers' memory. */
const BREAKERS = { redis: 0, mongodb: 1 } as const;

export interface LaneTiersOptions {
  readonly data: LaneWorkerData;
  readonly lane: number;
  readonly lanes: number;
  readonly clock: Clock;
  readonly inspector: RecordInspector;
  /** For the operator's log. */
  readonly notify: (message: string, level?: 'info' | 'warn') => void;
}

/** A store that may hold the record, with what comes with it. */
export interface Stored {
  readonly tier: Tier;
  readonly catalog: ViewCatalogStore<CatalogedView>;
  readonly cleaner: Cleaner;
}

export function guarded(
  tier: Tier & { readonly name: keyof typeof BREAKERS },
  { data, clock, notify }: LaneTiersOptions,
  readTimeoutMs: number,
  writeTimeoutMs: number,
  isRecord: boolean,
): Tier {
  const { breaker, breakers }: SharedStores = data.shared;
  const onChange = ({ tier: name, from, to }: BreakerChange) =>
    notify(`the circuit breaker of ${name} was ${from} and is ${to}`, to === 'open' ? 'warn' : 'info');
  return guardTier(tier, {
    readTimeoutMs,
    writeTimeoutMs,
    breaker: new Breaker({
      tier: tier.name,
      memory: breakers,
      index: BREAKERS[tier.name],
      clock,
      options: { ...breaker, probeMsMax: 2 * Math.max(readTimeoutMs, writeTimeoutMs) },
      onChange,
    }),
    // What a cache does not answer, the store of record does: only that one is worth a second try.
    ...(isRecord ? { retry: RETRY_DEFAULTS } : {}),
  });
}
