/** Keeps a server's views those of a catalog that others change too. */
import { performance } from 'node:perf_hooks';
import { setTimeout as rest } from 'node:timers/promises';
import { HeadraceError } from '../base/errors.js';
import type { Log } from '../observe/log.js';
import type { ViewRegistry } from './registry.js';

/** How long a start waits for the store that keeps the views. */
const FIRST_REFRESH_MS = 10_000;
const FIRST_REFRESH_REST_MS = 250;
/** After a reading that failed. */
const VIEWS_AGAIN_MS = 1_000;

type Refreshed = Pick<ViewRegistry, 'refresh' | 'declareBuiltIn'>;

/** A store that others share may take longer to connect to than to answer, and may be starting too. */
export async function firstRefresh(views: Pick<ViewRegistry, 'refresh'>): Promise<void> {
  const deadline = performance.now() + FIRST_REFRESH_MS;
  for (;;) {
    try {
      return await views.refresh();
    } catch (error) {
      const mayPass = error instanceof HeadraceError && error.code === 'unavailable';
      if (!mayPass || performance.now() > deadline) throw error;
      await rest(FIRST_REFRESH_REST_MS);
    }
  }
}

export interface Refresher {
  readonly refresh: () => void;
  readonly stop: () => void;
}

/**
 * Reads the catalog again, once more for all notices that come while it is being read, and makes the built-in views that it
 * lacks; when it cannot, later again.
 */
export function refresher(views: Refreshed, log: Log): Refresher {
  let isReading = false;
  /** Told since the reading began: what it brings may be older than that. */
  let isDue = false;
  let isStopped = false;
  let again: NodeJS.Timeout | undefined;
  const read = async () => {
    isDue = false;
    try {
      await views.refresh();
      await views.declareBuiltIn();
      forgetAgain();
    } catch (error) {
      if (isStopped) return;
      // Told once, however often it is tried.
      if (again === undefined) log.warn({ err: error }, 'the views cannot be read again now');
      forgetAgain();
      again = setTimeout(refresh, VIEWS_AGAIN_MS).unref();
    }
    isReading = false;
    if (isDue) refresh();
  };
  const refresh = () => {
    if (isStopped) return;
    isDue = true;
    if (isReading) return;
    isReading = true;
    setImmediate(read);
  };
  const forgetAgain = () => {
    clearTimeout(again);
    again = undefined;
  };
  const stop = () => {
    isStopped = true;
    forgetAgain();
  };
  return { refresh, stop };
}
