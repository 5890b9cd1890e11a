/** The views and caches that a server knows, and what becomes of their fences, over its lanes and its part of memory. */
import { performance } from 'node:perf_hooks';
import type { CacheDefinition } from './caches/definition.js';
import { entryViewOf } from './caches/entry-view.js';
import type { Config } from './config.js';
import { Caches } from './l1/caches.js';
import type { TableHandle } from './l1/layout.js';
import type { LaneEvent } from './lanes/lane-event.js';
import type { Lanes } from './lanes/lanes.js';
import { shareL1 } from './lookup/l1-shares.js';
import type { Log } from './observe/log.js';
import type { ThreadOwner } from './store/thread-owner.js';
import type { Selector } from './views/fence.js';
import { FenceKeeper, type FenceTimes } from './views/fence-keeper.js';
import { refresher } from './views/refresher.js';
import { ViewRegistry } from './views/registry.js';

export interface ServedViewsParts {
  readonly config: Config;
  readonly definitions: readonly CacheDefinition[];
  readonly table: TableHandle;
  readonly lanes: Lanes;
  readonly log: Log;
  /** Threads that read the table beside this one and the lanes. */
  readonly threads: ThreadOwner | undefined;
}

export interface Fences {
  /**
   * Hides what is meant in a built-in view: when this resolves, from every read, in every thread. Resolves to how many
   * entries memory held, of `all`; of others that is not known. @throws HeadraceError as `FenceKeeper.invalidate`, or
   * `unavailable` when a thread that joined does not answer: it may show then what all others hide, for a while.
   */
  invalidate(name: string, selector: Selector): Promise<number | null>;
}

export interface ServedViews {
  /** Empty; `refresh` fills it. */
  readonly views: ViewRegistry;
  readonly fences: Fences;
  /** Has the catalog read again, when others may have changed it. */
  readonly refresh: () => void;
  /** What a lane says that is about views and fences. */
  readonly take: (event: LaneEvent) => void;
  readonly close: () => void;
}

/** Where nobody tells of changes, others look once a second. What another server made, that one erases first. */
const TIMES_SHARED: FenceTimes = { openMsMin: 3_000, foreignMs: 120_000, waitMs: 5_000 };
/** What is found at the start was made by this server, when it ran before. */
const TIMES_ALONE: FenceTimes = { openMsMin: 0, foreignMs: 0, waitMs: 5_000 };

export function servedViews(parts: ServedViewsParts): ServedViews {
  const { config, definitions, table, lanes, log, threads } = parts;
  const caches = new Caches(table);
  const views: ViewRegistry = new ViewRegistry({
    viewsMax: config.viewsMax,
    builtIn: definitions.map(entryViewOf),
    catalogedViews: () => lanes.catalogedViews(),
    createView: (draft, uidMin) => lanes.createView(draft, uidMin),
    changeView: view => lanes.changeView(view),
    dropView: view => lanes.dropView(view),
    declare: view => lanes.declare(view).catch(tryLater),
    forget: async view => {
      await lanes
        .forget(view)
        .then(() => threads?.forgotten())
        .catch(tryLater);
      caches.raiseEpoch(view.slot);
    },
    changed: () => {
      shareL1(caches, views.all(), caches.slots);
      threads?.viewsChanged();
    },
    fenced: view => {
      keeper.see(view);
      threads?.fencesChanged(view);
    },
  });
  const isAlone = config.redisUrl === '' && config.mongodbUrl === '';
  const keeper = new FenceKeeper({
    views,
    lanes: lanes.count,
    sweep: (lane, viewUid) => lanes.sweep(lane, viewUid),
    empty: slot => caches.raiseEpoch(slot),
    times: isAlone ? TIMES_ALONE : TIMES_SHARED,
    nowMs: () => performance.now(),
    later,
    onRetired: report => log.info(report, 'what was invalidated is erased'),
    onError: error => log.warn({ err: error }, 'what is erased stays invalidated for now'),
  });
  const { refresh, stop } = refresher(views, log);
  /** Not all have answered: what stands is taken over once they do. */
  const tryLater = (error: unknown): never => {
    refresh();
    throw error;
  };
  return {
    views,
    fences: {
      async invalidate(name, selector) {
        const slot = views.builtIn(name)?.slot;
        const held = selector.kind === 'all' && slot !== undefined ? caches.figures(slot).entries : null;
        await keeper.invalidate(name, selector);
        await threads?.confirmed();
        return held;
      },
    },
    refresh,
    take(event) {
      if (event.kind === 'views-changed') refresh();
      else if (event.kind === 'swept') keeper.swept(event.lane, event.viewUid, event.upTo, event.erased);
      else if (event.kind === 'restarted') keeper.restarted(event.lane);
    },
    close() {
      stop();
      keeper.close();
    },
  };
}

function later(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms).unref();
  return () => clearTimeout(timer);
}
