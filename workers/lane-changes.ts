/** Who tells a lane of changes made elsewhere: Redis of records and views, MongoDB of views when it keeps them. */
import type { Coherence } from '../src/resolve/coherence.js';
import type { LaneTiers } from './lane-tiers.js';

export interface Followers {
  readonly notify: (message: string, level?: 'info' | 'warn') => void;
  /** The catalog of views may have changed; in one lane only. */
  readonly onCatalog: (() => void) | undefined;
}

const LOOK_MS = 1_000;

/** Begins at once, until the returned function is called. */
export function followChanges(
  { follow, mongoCatalog }: Pick<LaneTiers, 'follow' | 'mongoCatalog'>,
  coherence: Coherence,
  { notify, onCatalog }: Followers,
): () => void {
  const stops: (() => void)[] = [];
  if (follow !== undefined) {
    // What changed unnoticed, or was flushed, may be views too.
    const onCatalogToo = () => onCatalog?.();
    const tracking = follow({
      onKeys: keys => coherence.keysChanged(keys),
      onCatalog: onCatalogToo,
      onEverything: () => {
        coherence.everythingChanged();
        onCatalogToo();
      },
      onLost: reason => {
        coherence.lost();
        notify(`redis no longer tells of changes: ${reason}`);
      },
      onRestored: () => {
        coherence.restored();
        notify('redis tells of changes', 'info');
        onCatalogToo();
      },
    });
    stops.push(() => tracking.close());
    // As long as nobody tells, the catalog is looked at: what was invalidated elsewhere must not be read anew for long.
    const looking = setInterval(() => !coherence.isWhole && onCatalogToo(), LOOK_MS).unref();
    stops.push(() => clearInterval(looking));
  }
  if (mongoCatalog !== undefined && onCatalog !== undefined) {
    stops.push(mongoCatalog.watch({ onChange: onCatalog, onError: error => notify(error.message) }));
  }
  return () => {
    for (const stop of stops) stop();
  };
}
