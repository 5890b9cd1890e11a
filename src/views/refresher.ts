/** Keeps a server's views those of a catalog that others change too. */
import type { Log } from '../observe/log.js';
import type { ViewRegistry } from './registry.js';

/** After a reading that failed. */
const VIEWS_AGAIN_MS = 1_000;

export interface Refresher {
  readonly refresh: () => void;
  readonly stop: () => void;
}

/** Reads the catalog again, once for all notices that come while it is being read; when it cannot, later again. */
export function refresher(views: Pick<ViewRegistry, 'refresh'>, log: Log): Refresher {
  let isDue = false;
  let again: NodeJS.Timeout | undefined;
  const refresh = () => {
    if (isDue) return;
    isDue = true;
    setImmediate(() => {
      isDue = false;
      views.refresh().then(stop, error => {
        // Told once, however often it is tried.
        if (again === undefined) log.warn({ err: error }, 'the views cannot be read again now');
        stop();
        again = setTimeout(refresh, VIEWS_AGAIN_MS).unref();
      });
    });
  };
  const stop = () => {
    clearTimeout(again);
    again = undefined;
  };
  return { refresh, stop };
}
