/**
 * What a lane's thread starts with: opens the disk store, claims the lane's shards, wires the parts, answers messages.
 * The first message is `start`; it says which views there are, as far as they are known yet.
 */
import { setImmediate as nextTurn, setTimeout as rest } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { assert } from '../src/base/assert.js';
import { HybridClock, systemClock } from '../src/base/clock.js';
import { HeadraceError } from '../src/base/errors.js';
import { claimLane } from '../src/l1/lane-owner.js';
import { TableWriter } from '../src/l1/table-writer.js';
import {
  failureOf,
  type LaneNotice,
  type LaneReply,
  type LaneTask,
  type StartTask,
} from '../src/lanes/messages.js';
import { type Found, TierChain, tierOrder } from '../src/resolve/chain.js';
import { guardTier } from '../src/resolve/guard.js';
import { Housekeeping } from '../src/resolve/housekeeping.js';
import { TableCache } from '../src/resolve/lane-cache.js';
import { DONE, LaneService } from '../src/resolve/lane-service.js';
import { LaneViews } from '../src/resolve/lane-views.js';
import type { LaneWorkerData } from '../src/resolve/lane-worker-data.js';
import { ReadResolver } from '../src/resolve/read-resolver.js';
import { RecordInspector } from '../src/resolve/record-inspector.js';
import { RecordWriter } from '../src/resolve/record-writer.js';
import { SingleFlight } from '../src/resolve/single-flight.js';
import { Catalog } from '../src/tiers/catalog.js';
import { DiskGuard } from '../src/tiers/disk-guard.js';
import { LmdbTier } from '../src/tiers/lmdb.js';
import { LmdbCleaner } from '../src/tiers/lmdb-cleaner.js';
import { openLmdb } from '../src/tiers/lmdb-environment.js';
import { recordVersion } from '../src/views/record-codec.js';

const MAINTAIN_MS = 1_000;
const MAINTAIN_SEGMENTS = 4;

let service: LaneService | undefined;

export default function answer(task: LaneTask): LaneReply | Promise<LaneReply> {
  if (task.kind === 'start') {
    try {
      service = open(workerData as LaneWorkerData, task);
      return DONE;
    } catch (error) {
      return { kind: 'failed', failure: failureOf(error) };
    }
  }
  assert(service !== undefined, 'a lane is started before it is asked');
  const reply = service.answer(task);
  return task.kind === 'read' ? reply.then(handOver) : reply;
}

/** The rows' buffer changes its thread instead of being copied. */
function handOver(reply: LaneReply): LaneReply {
  if (!('rows' in reply)) return reply;
  return move({ [transferableSymbol]: [reply.rows], [valueSymbol]: reply }) as unknown as LaneReply;
}

function open(data: LaneWorkerData, { lane, lanes, views: known, emptyCache }: StartTask): LaneService {
  const clock = systemClock;
  const claim = claimLane(data.table, lane);
  if (claim === undefined) throw new HeadraceError('unavailable', `lane ${lane} has another writer`);
  const writer = new TableWriter(data.table, { lane, claim, clock, versionOf: recordVersion });
  const environment = openLmdb(data.dataDir);
  const guard = new DiskGuard({ directory: data.dataDir, clock, freeBytesMin: data.diskFreeMinBytes });
  const catalog = new Catalog(environment, guard);
  const lmdb = guardTier(new LmdbTier(environment, guard), data);

  const inspector = new RecordInspector();
  const cache = new TableCache(data.table, writer, { lane, lanes, clock });
  const views = new LaneViews();
  for (const view of known) views.declare(view);
  const chain = new TierChain(tierOrder({ lmdb }), inspector);
  const flights = new SingleFlight<Found>(data.flightsMax);
  const versions = new HybridClock(clock);
  const { tombstoneTtlMs } = data;
  const reads = new ReadResolver({ views, cache, chain, flights, inspector, clock });
  const writes = new RecordWriter({ views, cache, chain, inspector, clock, versions, tombstoneTtlMs });

  if (emptyCache) for (const { slot } of known) cache.empty(slot);
  const maintenance = setInterval(() => writer.maintain(MAINTAIN_SEGMENTS), MAINTAIN_MS).unref();
  const housekeeping = lane === 0 ? startHousekeeping(environment, guard, catalog, inspector) : undefined;
  const close = async () => {
    clearInterval(maintenance);
    await housekeeping?.stop();
    await lmdb.close();
  };
  return new LaneService({
    views,
    catalog,
    cache,
    chain,
    inspector,
    reads,
    writes,
    flights,
    pause: nextTurn,
    close,
  });
}

function startHousekeeping(
  environment: ReturnType<typeof openLmdb>,
  guard: DiskGuard,
  catalog: Catalog,
  inspector: RecordInspector,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const isDead = (value: Uint8Array, nowMs: number) =>
    inspector.verify(value) && inspector.expiresAt(value) <= nowMs;
  const housekeeping = new Housekeeping({
    cleaner: new LmdbCleaner(environment, { isDead, guard }),
    catalog,
    clock: systemClock,
    rest: ms => rest(ms, undefined, { ref: false, signal: stopping.signal }).catch(() => undefined),
    onError: error => notify(`housekeeping failed: ${error instanceof Error ? error.message : error}`),
  });
  const running = housekeeping.run();
  return {
    stop() {
      housekeeping.stop();
      stopping.abort();
      return running;
    },
  };
}

function notify(message: string): void {
  parentPort?.postMessage({ kind: 'notice', message } satisfies LaneNotice);
}
