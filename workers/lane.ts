/**
 * What a lane's thread starts with: claims the lane's shards, opens the tiers, wires the parts, answers messages.
 * The first message is `start`; it says which views there are, as far as they are known yet.
 */
import { setImmediate as nextTurn, setTimeout as rest } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { assert } from '../src/base/assert.js';
import { HybridClock, systemClock } from '../src/base/clock.js';
import { HeadraceError } from '../src/base/errors.js';
import type { Tier } from '../src/base/tier.js';
import { Caches } from '../src/l1/caches.js';
import { claimLane } from '../src/l1/lane-owner.js';
import { TableReader } from '../src/l1/table-reader.js';
import { TableWriter } from '../src/l1/table-writer.js';
import {
  failureOf,
  type LaneNotice,
  type LaneReply,
  type LaneTask,
  type LostWrites,
  type StartTask,
} from '../src/lanes/messages.js';
import { Amends } from '../src/resolve/amends.js';
import { type Found, TierChain } from '../src/resolve/chain.js';
import { Coherence, type CoherenceParts, keyName, together } from '../src/resolve/coherence.js';
import { EntryLeases, type EntryLeasesParts } from '../src/resolve/entry-leases.js';
import { Eraser } from '../src/resolve/eraser.js';
import { Housekeeping } from '../src/resolve/housekeeping.js';
import { type LaneCache, TableCache } from '../src/resolve/lane-cache.js';
import { DONE, LaneService } from '../src/resolve/lane-service.js';
import { LaneViews } from '../src/resolve/lane-views.js';
import { isShared, type LaneWorkerData } from '../src/resolve/lane-worker-data.js';
import { NegativeEntries } from '../src/resolve/negative-entries.js';
import { OriginFlights } from '../src/resolve/origin-flights.js';
import { OriginLeases } from '../src/resolve/origin-leases.js';
import { Pace } from '../src/resolve/pace.js';
import { ReadResolver } from '../src/resolve/read-resolver.js';
import { type Outcome, ReadThrough } from '../src/resolve/read-through.js';
import { RecordInspector } from '../src/resolve/record-inspector.js';
import { RecordWriter } from '../src/resolve/record-writer.js';
import { Review } from '../src/resolve/review.js';
import { ScoreResolver } from '../src/resolve/score-resolver.js';
import { SingleFlight } from '../src/resolve/single-flight.js';
import { StoreWalk, type StoreWalkParts } from '../src/resolve/store-walk.js';
import { Sweeper, type SweeperParts } from '../src/resolve/sweeper.js';
import { Untold } from '../src/resolve/untold.js';
import { recordVersion } from '../src/views/record-codec.js';
import { followChanges } from './lane-changes.js';
import { openLists } from './lane-lists.js';
import { openOrigins } from './lane-origins.js';
import { type LaneTiers, openTiers } from './lane-tiers.js';
import { openWarmth, type Warmth } from './lane-warmth.js';

const MAINTAIN_MS = 1_000;
const MAINTAIN_SEGMENTS = 4;
const AMEND_MS = 500;

let service: LaneService | undefined;

export default function answer(task: LaneTask): LaneReply | Promise<LaneReply> {
  if (task.kind === 'start') {
    return start(task);
  }
  assert(service !== undefined, 'a lane is started before it is asked');
  const reply = service.answer(task);
  return task.kind === 'read' || task.kind === 'read-through' ? reply.then(handOver) : reply;
}

async function start(task: StartTask): Promise<LaneReply> {
  try {
    service = await open(workerData as LaneWorkerData, task);
    return DONE;
  } catch (error) {
    return { kind: 'failed', failure: failureOf(error) };
  }
}

/** The rows' buffer changes its thread instead of being copied. */
function handOver(reply: LaneReply): LaneReply {
  if (!('rows' in reply)) return reply;
  return move({ [transferableSymbol]: [reply.rows], [valueSymbol]: reply }) as unknown as LaneReply;
}

async function open(
  data: LaneWorkerData,
  { lane, lanes, views: known, lostWrites }: StartTask,
): Promise<LaneService> {
  const clock = systemClock;
  const claim = claimLane(data.table, lane);
  if (claim === undefined) throw new HeadraceError('unavailable', `lane ${lane} has another writer`);
  const writer = new TableWriter(data.table, { lane, claim, clock, versionOf: recordVersion });
  const inspector = new RecordInspector();
  const views = new LaneViews();
  const tiers = await openTiers({ data, lane, lanes, clock, inspector, notify }, views);
  const { catalog, copies } = tiers;

  const cache = new TableCache(data.table, writer, { lane, lanes, clock });
  for (const view of known) views.declare(view);
  dropLost(lostWrites, views, cache);
  const flights = new SingleFlight<Found>(data.flightsMax);
  const throughFlights = new OriginFlights<Outcome>(data.flightsMax, clock, data.origins.caches.length);
  const allFlights = together(flights, throughFlights);
  const { coherence, negative } = openCoherence(data, {
    ...{ views, cache, flights: allFlights, copies },
    untold: new Untold(data.shared.untold, lane),
    review: () => void review.run(),
  });
  const amends = amendsOf(tiers, inspector);
  const chain = chainOf(tiers, { views, coherence, inspector, amends });
  const parts = { views, cache, chain, coherence, negative, inspector, clock };
  const reads = new ReadResolver({ ...parts, flights });
  // The scratch is this thread's, and nobody holds on to what is in it.
  const table = new TableReader(data.table, lane);
  const scores = new ScoreResolver({ views, reads, table, clock, pause: nextTurn });
  const review = new Review({ ...parts, pause: nextTurn, rest: restUnref });
  const record = storeOfRecord(tiers);
  const versions = new HybridClock(clock);
  // Where no other server can give leases, those of the front are all there are.
  const leases = record.replace && new EntryLeases({ ...parts, versions, record });
  const writes = new RecordWriter({ ...parts, versions, leases, tombstoneTtlMs: data.tombstoneTtlMs });
  const origins = openOrigins(data, clock, notify);
  const originLeases = record.replace && openOriginLeases({ ...parts, versions, record, flights });
  const asking = { flights: throughFlights, leases: originLeases, reads, writes, versions };
  const through = new ReadThrough({ ...parts, ...asking, caches: origins.caches });
  const eraser = new Eraser({ ...parts, record, writes, origins: origins.caches, pause: nextTurn });
  const sweeper = openSweeper(data, { ...parts, record: tiers.stored, writes, flights: allFlights });
  // What their fences hide may still lie in the table.
  for (const view of known) sweeper.declare(view);

  const hotKeys = openWarmth({ data, lane, lanes, writer, hotKeys: tiers.hotKeys }, parts, notify);
  const warmth = both(hotKeys, openLists({ data, lane, lanes, reading: parts, through, notify }));
  const timers = [
    setInterval(() => writer.maintain(MAINTAIN_SEGMENTS), MAINTAIN_MS).unref(),
    setInterval(() => amends?.run(), AMEND_MS).unref(),
  ];
  const onCatalog = lane === 0 ? tellOfViews : undefined;
  const unfollow = followChanges(tiers, coherence, { notify, onCatalog });
  const housekeeping = lane === 0 ? startHousekeeping(tiers) : undefined;
  const close = async () => {
    for (const timer of timers) clearInterval(timer);
    unfollow();
    sweeper.stop();
    coherence.close();
    // Keys that Redis was to be amended of are forgotten with this thread.
    await Promise.all([housekeeping?.stop(), warmth.close(), amends?.run(), origins.close()]);
    await tiers.close();
  };
  return new LaneService({
    ...parts,
    ...{ catalog, reads, writes, scores, eraser, sweeper, through, flights, pause: nextTurn, close },
    warm: () => warmth.begin(),
  });
}

function both(one: Warmth, other: Warmth): Warmth {
  return {
    begin() {
      one.begin();
      other.begin();
    },
    async close() {
      await Promise.all([one.close(), other.close()]);
    },
  };
}

function dropLost(lost: LostWrites, views: LaneViews, cache: LaneCache): void {
  if (lost === 'unknown') for (const { view } of views.list()) cache.empty(view.slot);
  else {
    for (const { viewUid, id } of lost) {
      const known = views.find(viewUid);
      if (known !== undefined && cache.owns(known.view.slot, id)) cache.remove(known.view.slot, id);
    }
  }
}

function openCoherence(
  data: LaneWorkerData,
  parts: Pick<CoherenceParts, 'views' | 'cache' | 'flights' | 'copies' | 'untold' | 'review'>,
): { coherence: Coherence; negative: NegativeEntries } {
  const caches = new Caches(data.table);
  const { negativeTtlMs, staleMaxMs } = data.shared;
  const isOthersToo = isShared(data.shared);
  const negative = new NegativeEntries({ ttlMs: isOthersToo ? negativeTtlMs : 0 });
  const coherence = new Coherence({
    ...parts,
    negative,
    emptySlot: slot => caches.raiseEpoch(slot),
    clock: systemClock,
    isShared: isOthersToo,
    staleMaxMs,
    later: (ms, run) => {
      const timer = setTimeout(run, ms).unref();
      return () => clearTimeout(timer);
    },
  });
  return { coherence, negative };
}

function openSweeper(
  { table, tombstoneTtlMs }: LaneWorkerData,
  parts: Omit<StoreWalkParts, 'pace' | 'tombstoneTtlMs'> & Pick<SweeperParts, 'views' | 'flights'>,
): Sweeper {
  const caches = new Caches(table);
  const pace = new Pace({ nowMs: () => performance.now(), rest: restUnref });
  return new Sweeper({
    ...parts,
    pace,
    walk: new StoreWalk({ ...parts, pace, tombstoneTtlMs }),
    rest: restUnref,
    emptySlot: slot => caches.raiseEpoch(slot),
    onSwept: (viewUid, upTo, erased) => tell({ kind: 'swept', viewUid, upTo, erased }),
    onError: error =>
      notify(`invalidated entries are not erased yet: ${error instanceof Error ? error.message : error}`),
  });
}

function restUnref(ms: number): Promise<void> {
  return rest(ms, undefined, { ref: false });
}

interface ChainParts {
  readonly views: LaneViews;
  readonly coherence: Coherence;
  readonly inspector: RecordInspector;
  readonly amends: Amends | undefined;
}

function chainOf(
  { levels, copies }: LaneTiers,
  { views, coherence, inspector, amends }: ChainParts,
): TierChain {
  return new TierChain(levels, inspector, {
    mayCopy: () => coherence.isWhole,
    isHidden: (key, value) => views.isHidden(key, value),
    isMissed: (tier, key) => tier === 'redis' && amends?.owes(key) === true,
    onMissed: (tier, keys) => {
      if (tier === 'lmdb') copies?.deleteMany(keys).catch(() => copies.newEra());
      else amends?.owe(keys);
    },
  });
}

/** A mark changes nothing that is being asked of an origin, but what is being read. */
function openOriginLeases(
  parts: Omit<EntryLeasesParts, 'coherence'> &
    Pick<CoherenceParts, 'negative' | 'flights'> & { coherence: Coherence },
): OriginLeases {
  const { coherence, negative, flights, versions, clock } = parts;
  const quiet: EntryLeasesParts['coherence'] = {
    beginWrite: name => coherence.beginWrite(name),
    isNewest: (name, pass) => coherence.isNewest(name, pass),
    servedUntil: expiresAtMs => coherence.servedUntil(expiresAtMs),
    changedHere(viewUid, id) {
      negative.forget(keyName(viewUid, id));
      flights.forget(keyName(viewUid, id));
    },
  };
  const leases = new EntryLeases({ ...parts, coherence: quiet });
  return new OriginLeases({ leases, versions, clock, rest: restUnref });
}

function storeOfRecord({ levels }: LaneTiers): Tier {
  const record = levels.at(-1)?.tier;
  assert(record !== undefined, 'there is a store of record');
  return record;
}

/** Where a cache that others read stands above the store of record. */
function amendsOf({ levels }: LaneTiers, inspector: RecordInspector): Amends | undefined {
  const [upper, record] = [levels.find(({ tier }) => tier.name === 'redis'), levels.at(-1)];
  if (upper === undefined || record === undefined || upper === record) return undefined;
  return new Amends({ tier: upper.tier, record: record.tier, inspector });
}

function startHousekeeping({ cleaner, catalog }: LaneTiers): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const housekeeping = new Housekeeping({
    cleaner,
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

function notify(message: string, level: 'info' | 'warn' = 'warn'): void {
  tell({ kind: 'notice', level, message });
}

/** Other servers have changed the catalog: the front reads it again. */
function tellOfViews(): void {
  tell({ kind: 'views-changed' });
}

function tell(notice: LaneNotice): void {
  parentPort?.postMessage(notice);
}
