/** The lists by which caches are warmed, as one lane goes through them: read from a file, or asked of the origin. */
import { setImmediate as nextTurn, setTimeout as rest } from 'node:timers/promises';
import { assert } from '../src/base/assert.js';
import { storageKey } from '../src/base/keys.js';
import { parseOriginPlace } from '../src/base/origin-url.js';
import type { CacheDefinition } from '../src/caches/definition.js';
import { entryViewName } from '../src/caches/entry-view.js';
import { KEY_LIST_BYTES_MAX, readKeyListFile } from '../src/caches/key-list.js';
import type { WarmDefinition } from '../src/caches/warm-definition.js';
import { ListCounters } from '../src/observe/list-counters.js';
import type { LaneWorkerData } from '../src/resolve/lane-worker-data.js';
import { ListWarming } from '../src/resolve/list-warming.js';
import type { ReadThrough } from '../src/resolve/read-through.js';
import { ORIGIN_DEFAULTS } from '../src/tiers/origin.js';
import { OriginExchange } from '../src/tiers/origin-exchange.js';
import type { LaneTiersOptions } from './lane-store.js';
import { type ReadingParts, type Warmth, warmingOf } from './lane-warmth.js';

/** For what is being read. */
const STOP_MS_MAX = 1_000;
const LIST_MS_MAX = 60_000;

export interface LaneListsParts {
  readonly data: LaneWorkerData;
  readonly lane: number;
  readonly lanes: number;
  readonly reading: ReadingParts;
  readonly through: ReadThrough;
  readonly notify: LaneTiersOptions['notify'];
}

/** A list, and how it is read. */
interface ListSource {
  read(): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** They begin when the server is ready, or when their first interval is over, as for a lane whose predecessor died. */
export function openLists(parts: LaneListsParts): Warmth {
  const opened = parts.data.lists.caches.flatMap((cache, place) =>
    cache.warm === undefined ? [] : [openList(parts, cache, cache.warm, place)],
  );
  return {
    begin() {
      for (const list of opened) list.begin();
    },
    async close() {
      await Promise.all(opened.map(list => list.close()));
    },
  };
}

function openList(
  { data, lane, lanes, reading, through, notify }: LaneListsParts,
  cache: CacheDefinition,
  warm: WarmDefinition,
  place: number,
): Warmth {
  const stopping = new AbortController();
  const source = sourceOf(cache, warm);
  const off = new Int32Array(data.lists.off);
  const viewName = entryViewName(cache.name);
  const rate = warm.rate / lanes;
  const warming = new ListWarming({
    ...{ cache, warm, through, notify, rate },
    read: () => source.read(),
    viewOf: () => reading.views.list().find(({ view }) => view.name === viewName),
    table: reading.cache,
    loading: ({ view }, ids, onProgress) =>
      warmingOf({ data, lane, lanes }, reading, {
        lists: {
          count: ids.length,
          entries: () => ids.map(id => ({ key: storageKey(view.uid, id), heat: 1 })),
        },
        ...{ rate, onProgress },
      }),
    isOn: () => Atomics.load(off, place) === 0,
    counters: new ListCounters(data.lists.counters, place, lane, lanes),
    clock: reading.clock,
    pause: nextTurn,
    rest: ms => rest(ms, undefined, { ref: false, signal: stopping.signal }).catch(() => undefined),
  });
  let running: Promise<void> | undefined;
  const begin = () => {
    clearTimeout(timer);
    running ??= warming.run();
  };
  const timer = setTimeout(begin, warm.everyMs).unref();
  return {
    begin,
    async close() {
      clearTimeout(timer);
      warming.stop();
      stopping.abort();
      await source.close();
      await Promise.race([running, rest(STOP_MS_MAX, undefined, { ref: false })]);
    },
  };
}

function sourceOf({ origin }: CacheDefinition, { file, url }: WarmDefinition): ListSource {
  if (file !== undefined) return { read: () => readKeyListFile(file), close: async () => undefined };
  assert(origin !== undefined && url !== undefined, 'a list is in a file, or an origin has it');
  const target = parseOriginPlace({ url, hosts: origin.allowHosts, addresses: origin.allowPrivate });
  assert(typeof target !== 'string', 'the configuration file was checked');
  const { connectTimeoutMs, timeoutMs, retries } = origin;
  const exchange = new OriginExchange(target, {
    ...ORIGIN_DEFAULTS.exchange,
    ...{ connectTimeoutMs, timeoutMs, retriesMax: retries, connections: 1 },
    responseBytesMax: KEY_LIST_BYTES_MAX,
  });
  const [path = '/'] = target.pieces;
  return {
    async read() {
      const reply = await exchange.ask({ path }, Date.now() + LIST_MS_MAX);
      if (reply === undefined) throw new Error(`the origin ${target.host} has no list there`);
      return reply.body;
    },
    close: () => exchange.close(),
  };
}
