/**
 * The front thread's composition root: builds every layer once, starts, drains, stops.
 *
 *   start   data directory → L1 → lanes (repair, catalog) → views → admin port → data port → ready
 *   stop    unready → no new connections → requests in flight → lanes flush → close, each within the time that is left
 */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { systemClock } from './base/clock.js';
import { HeadraceError, type Problem } from './base/errors.js';
import { CACHE_LIMITS, type CacheDefinition } from './caches/definition.js';
import { DefinitionsFileError, readDefinitionsFile } from './caches/definitions-file.js';
import { LiveCaches } from './caches/live-caches.js';
import { type Config, recordStoreOf } from './config.js';
import { type DataHandlerParts, dataPlane, LOOKUP_ANSWERS } from './data-handler.js';
import { adminHandler, type Readiness } from './front/admin.js';
import type { Front, FrontLimits } from './front/front.js';
import { openFront } from './front/open-front.js';
import { switchHandler } from './front/switch-handlers.js';
import { Caches } from './l1/caches.js';
import { releaseLane } from './l1/lane-owner.js';
import { createTable, shapeOf, type TableHandle } from './l1/layout.js';
import type { LaneEvent } from './lanes/lane-event.js';
import { Lanes } from './lanes/lanes.js';
import { WarmingProgress } from './lanes/warming.js';
import { type Log, openLog } from './observe/log.js';
import { ProblemCounts } from './observe/problem-counts.js';
import { breakerMemory } from './resolve/breaker.js';
import { compressAboveOf } from './resolve/compressed-tier.js';
import type { LaneWorkerData, SharedStores } from './resolve/lane-worker-data.js';
import { ListFigures, sharedLists } from './resolve/list-figures.js';
import { sharedOrigins } from './resolve/origin-figures.js';
import { Untold, untoldMemory } from './resolve/untold.js';
import { type ServedViews, servedViews } from './served-views.js';
import { closed, drained } from './shutdown.js';
import type { ThreadOwner } from './store/thread-owner.js';
import { DataDirError, lockDataDir } from './tiers/data-dir-lock.js';
import { copyEras } from './tiers/lmdb-copy.js';
import { firstRefresh } from './views/refresher.js';
import { slotsOf, type ViewRegistry } from './views/registry.js';

/** The server cannot start as it is configured: told to the user as it is. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

export interface Server {
  readonly port: number;
  readonly adminPort: number;
  /** Resolves when all is closed; at the latest after `shutdownTimeout`. */
  stop(): Promise<void>;
}

const LANE_WORKER = new URL('../workers/lane.js', import.meta.url);
const ADMIN_CONNECTIONS_MAX = 100;
/** A circuit breaker each for Redis and MongoDB. */
const BREAKERS = 2;
/** What closing may take when requests have used up the shutdown timeout. */
const CLOSE_MS_MIN = 500;
const PORT_OPTIONS = {
  data: '--port or HEADRACE_PORT',
  admin: '--admin-port or HEADRACE_ADMIN_PORT',
} as const;
/** Ctrl-C reaches a server under `npm start` twice, from the terminal and from npm: within this time it is the same. */
const ECHO_MS = 500;
/** A write waits for the disk; a client's own deadline answers it earlier. */
const WRITE_TIMEOUT_MS = 60_000;

/** Runs a server until SIGTERM or SIGINT; a second signal ends it at once. */
export async function serve(config: Config): Promise<void> {
  const began = performance.now();
  const log = openLog(config.logLevel);
  const server = await startServer(config, log);
  const { port, adminPort } = server;
  let first: { readonly signal: NodeJS.Signals; readonly atMs: number } | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (first?.signal === signal && now - first.atMs < ECHO_MS) return;
    if (first !== undefined) process.exit(1);
    first = { signal, atMs: now };
    log.info({ signal }, 'stopping');
    server.stop().then(
      () => {
        log.info('stopped');
        process.exit(0);
      },
      error => {
        log.error({ err: error }, 'the stop failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // Last: whoever reads it may signal at once.
  log.info({ port, adminPort, tookMs: Math.round(performance.now() - began) }, 'ready');
}

/**
 * @param laneWorker the lanes' thread; tests give their own.
 * @throws StartError
 */
export async function startServer(config: Config, log: Log, laneWorker: URL = LANE_WORKER): Promise<Server> {
  const closers: (() => Promise<void> | void)[] = [];
  let readiness: Readiness = 'starting';
  const engine = await openEngine(config, log, { laneWorker });
  closers.push(() => engine.close());
  try {
    const { lanes, warming, lists } = engine;
    const caches = new LiveCaches(engine.definitions, cache => lists.switched(cache));
    const { handler, endWaits } = dataPlane({ config, log, ...engine, caches });
    const limits = frontLimits(config);
    const problems = new ProblemCounts();
    const onProblem = (problem: Problem) => problems.count(problem);
    const onError = (error: unknown) => log.error({ err: error }, 'a request failed by a bug');
    const admin = await listen('admin', config.adminHost, config.adminPort, () =>
      openFront(
        'node',
        {
          host: config.adminHost,
          port: config.adminPort,
          limits: { ...limits, connectionsMax: ADMIN_CONNECTIONS_MAX },
          handler: adminHandler({
            key: config.adminKey,
            readiness: () => readiness,
            warming: () => warming.current,
            lists: () => lists.left(),
            problems: () => problems.figures(),
            switches: switchHandler({ caches, log }),
          }),
          onError,
        },
        message => log.warn(message),
      ),
    );
    closers.push(() => admin.close());
    const data = await listen('data', config.host, config.port, () =>
      openFront(
        config.front,
        { host: config.host, port: config.port, limits, handler, cacheStatus: true, onProblem, onError },
        message => log.warn(message),
      ),
    );
    closers.push(() => data.close());
    readiness = 'ready';
    lanes.warm().catch(error => log.warn({ err: error }, 'what was hot before the start is not read'));
    const stop = async () => {
      readiness = 'draining';
      const deadline = performance.now() + config.shutdownTimeout;
      data.stopAccepting();
      endWaits();
      await drained(data, deadline, log);
      await lanes.drain(Date.now() + Math.max(0, deadline - performance.now()));
      await closed(closers, Math.max(CLOSE_MS_MIN, deadline - performance.now()), log);
    };
    return { port: data.port, adminPort: admin.port, stop };
  } catch (error) {
    for (const close of closers.reverse()) await close();
    throw error;
  }
}

/** What answers, whoever asks: all of a server but its ports. */
export interface Engine extends Omit<DataHandlerParts, 'config' | 'log' | 'caches'> {
  readonly definitions: readonly CacheDefinition[];
  readonly warming: WarmingProgress;
  close(): Promise<void>;
}

export interface EngineOptions {
  /** The lanes' thread; tests give their own. */
  readonly laneWorker?: URL;
  /** Threads that read the table beside the one that opens it. */
  readonly threads?: ThreadOwner;
}

/** @throws StartError */
export async function openEngine(
  config: Config,
  log: Log,
  { laneWorker = LANE_WORKER, threads }: EngineOptions = {},
): Promise<Engine> {
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const end of closers.splice(0).reverse()) await end();
  };
  try {
    const { caches: definitions, events } = readDefinitionsFile(config.configFile);
    closers.push(await lockDataDir(config.dataDir));
    const table = createL1(config, slotsOf(config.viewsMax, definitions.length), threads?.threadsMax);
    let served: ServedViews | undefined;
    const warming = warmingProgress(config, log);
    const origins = sharedOrigins(definitions, config.leaseTime);
    const lists = sharedLists(definitions, config.lanes);
    const onEvent = (event: LaneEvent) => served?.take(event);
    const caches = { origins, lists, compressAbove: compressAboveOf(definitions) };
    const lanes = await openLanes(config, table, caches, laneWorker, { log, warming, onEvent });
    closers.push(() => lanes.close());
    served = servedViews({ config, definitions, table, lanes, log, threads });
    closers.push(served.close);
    const { views, fences, refresh } = served;
    await openViews(views);
    // A store that is away does not keep a server from starting that remembers its views.
    await views.declareBuiltIn().catch(refresh);
    const listFigures = new ListFigures(lists, config.lanes);
    return { definitions, events, table, lanes, views, fences, origins, lists: listFigures, warming, close };
  } catch (error) {
    await close();
    const isTold = error instanceof DataDirError || error instanceof DefinitionsFileError;
    throw isTold ? new StartError(error.message) : error;
  }
}

/** @param slots for the views of clients and the built-in ones. */
function createL1({ l1Bytes, l1RecordBytes, lanes }: Config, slots: number, threads = 0): TableHandle {
  const seed = randomBytes(16);
  const hashKey = new Int32Array(seed.buffer.slice(seed.byteOffset, seed.byteOffset + 16));
  try {
    const shape = shapeOf({
      bytes: l1Bytes,
      recordBytes: l1RecordBytes,
      lanes,
      caches: slots,
      readers: lanes + 1 + threads,
      buffers: LOOKUP_ANSWERS,
    });
    return createTable(shape, { nowMs: Date.now(), hashKey });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`L1 cannot be made (HEADRACE_L1_BYTES, HEADRACE_LANES): ${reason}`);
  }
}

/** What the configuration says of Redis and MongoDB, with the memory that lanes share about them. */
function sharedStores(config: Config): SharedStores {
  const { redisUrl, mongodbUrl, breakerFailures, breakerHalfOpen, viewsMax } = config;
  return {
    recordStore: recordStoreOf(config),
    redisUrl,
    redisTimeoutMs: config.redisTimeout,
    mongodbUrl,
    mongodbTimeoutMs: config.mongodbTimeout,
    storeTimeoutMs: config.storeTimeout,
    slowCommandMs: config.slowCommand,
    catalogLimits: { viewsMax, builtInMax: CACHE_LIMITS.cachesOfAll },
    breaker: { failuresMax: breakerFailures, halfOpenAfterMs: breakerHalfOpen },
    breakers: breakerMemory(BREAKERS),
    untold: untoldMemory(config.lanes),
    eras: copyEras(),
    localCopyBytes: config.localCopyBytes,
    negativeTtlMs: config.negativeTtl,
    staleMaxMs: config.staleMax,
  };
}

function warmingProgress({ lanes }: Config, log: Log): WarmingProgress {
  return new WarmingProgress(
    lanes,
    ({ kind, ...figures }) =>
      log.info(figures, kind === 'begun' ? 'reading what was hot before the start' : 'warm'),
    () => performance.now(),
  );
}

/** Not for the log. */
const TOLD_ELSEWHERE: ReadonlySet<LaneEvent['kind']> = new Set(['warming', 'swept', 'views-changed']);

interface LaneHandlers {
  readonly log: Log;
  readonly warming: WarmingProgress;
  readonly onEvent: (event: LaneEvent) => void;
}

async function openLanes(
  config: Config,
  table: TableHandle,
  caches: Pick<LaneWorkerData, 'origins' | 'lists' | 'compressAbove'>,
  workerUrl: URL,
  { log, warming, onEvent }: LaneHandlers,
): Promise<Lanes> {
  const workerData: LaneWorkerData = {
    table,
    dataDir: config.dataDir,
    diskFreeMinBytes: config.diskFreeMin,
    tombstoneTtlMs: config.tombstoneTtl,
    readTimeoutMs: config.deadline,
    writeTimeoutMs: WRITE_TIMEOUT_MS,
    flightsMax: config.queueMax,
    hotKeysMax: config.hotKeysMax,
    warmRate: config.warmRate,
    shared: sharedStores(config),
    ...caches,
  };
  try {
    return await Lanes.open({
      count: config.lanes,
      workerUrl,
      workerData,
      clock: systemClock,
      opsMax: config.queueMax,
      bytesMax: config.queueBytesMax,
      onExited: lane => {
        releaseLane(table, lane);
        followNoMore(workerData, lane);
      },
      onEvent: event => {
        warming.take(event);
        onEvent(event);
        if (TOLD_ELSEWHERE.has(event.kind)) return;
        if (event.kind === 'failed') log.error(event, 'a lane failed');
        else if (event.kind === 'notice') log[event.level]({ lane: event.lane }, event.message);
        else log.warn(event, 'a lane changed');
      },
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`the lanes cannot start on ${config.dataDir}: ${reason}`);
  }
}

/** Until a lane has another thread, nobody follows what other servers change of its records: they go in time, if it has none. */
function followNoMore({ table, shared }: LaneWorkerData, lane: number): void {
  // Where Redis does not tell, no copy lives longer in any case.
  if (shared.redisUrl === '') return;
  const untold = new Untold(shared.untold, lane);
  const sinceMs = untold.begin(Date.now());
  const emptyL1 = () => {
    if (!untold.endOf(sinceMs)) return;
    const caches = new Caches(table);
    for (let slot = 0; slot < caches.slots; slot++) caches.raiseEpoch(slot);
  };
  const leftMs = Math.min(shared.staleMaxMs, sinceMs + shared.staleMaxMs - Date.now());
  if (leftMs <= 0) emptyL1();
  else setTimeout(emptyL1, leftMs).unref();
}

/** @throws StartError when they cannot be read, or there are more than L1 has room for. */
async function openViews(views: ViewRegistry): Promise<void> {
  try {
    await firstRefresh(views);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isAway = error instanceof HeadraceError && error.code === 'unavailable';
    throw new StartError(
      isAway ? `the views cannot be read: ${reason} ('headrace doctor' looks at each store)` : reason,
    );
  }
}

function frontLimits(config: Config): FrontLimits {
  const { headerBytesMax, pathBytesMax, idleTimeout, connectionsMax } = config;
  return { headerBytesMax, pathBytesMax, idleTimeoutMs: idleTimeout, connectionsMax };
}

async function listen(
  what: 'data' | 'admin',
  host: string,
  port: number,
  open: () => Promise<Front>,
): Promise<Front> {
  try {
    return await open();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(
      code === 'EADDRINUSE'
        ? `the ${what} port ${host}:${port} is in use; choose another with ${PORT_OPTIONS[what]}`
        : `the ${what} port ${host}:${port} cannot be opened: ${reason}`,
    );
  }
}
