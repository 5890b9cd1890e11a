/** Who tells a lane of changes made elsewhere: Redis of records and views, MongoDB of views when it keeps them. */
import type { Coherence } from '../src/resolve/coherence.js';
import { RedisTracking } from '../src/tiers/redis-tracking.js';
import type { LaneTiers } from './lane-tiers.js';

/** A connection that is dead without having been closed is noticed within the two together. */
const HEARTBEAT_MS = 500;
const HEARTBEAT_TIMEOUT_MS = 500;

export interface Followers {
  readonly notify: (message: string, level?: 'info' | 'warn') => void;
  /** The catalog of views may have changed; in one lane only. */
  readonly onCatalog: (() => void) | undefined;
}

/** Begins at once, until the returned function is called. */
export function followChanges(
  { redis, mongoCatalog }: LaneTiers,
  coherence: Coherence,
  { notify, onCatalog }: Followers,
): () => void {
  const stops: (() => void)[] = [];
  if (redis !== undefined) {
    // What changed unnoticed may be views too.
    const onCatalogToo = () => onCatalog?.();
    const tracking = new RedisTracking(
      redis,
      {
        onKeys: keys => coherence.keysChanged(keys),
        onCatalog: onCatalogToo,
        onEverything: () => coherence.everythingChanged(),
        onLost: reason => {
          coherence.lost();
          notify(`redis no longer tells of changes: ${reason}`);
        },
        onRestored: () => {
          coherence.restored();
          notify('redis tells of changes', 'info');
          onCatalogToo();
        },
      },
      { heartbeatMs: HEARTBEAT_MS, heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS },
    );
    stops.push(() => tracking.close());
  }
  if (mongoCatalog !== undefined && onCatalog !== undefined) {
    stops.push(mongoCatalog.watch({ onChange: onCatalog, onError: error => notify(error.message) }));
  }
  return () => {
    for (const stop of stops) stop();
  };
}
