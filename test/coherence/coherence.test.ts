/**
 * Several servers on one store, hurt at random, and the history of all that their clients did and saw: nothing stale
 * beyond the bound that ARCHITECTURE.md states, nothing deleted comes back, nothing acknowledged is lost.
 */
import { describe, expect, test } from 'vitest';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { type ServerProcess, startServerProcess } from '../server/server-process.js';
import { noServer, testDatabaseUrl } from '../support/mongo-server.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { type Bound, findFaults, lags, showFault } from './history.js';
import { Hurts } from './hurts.js';
import { SlowProxy } from './slow-proxy.js';
import { Workload } from './workload.js';

const LANE_KILLER = new URL('../server/lane-killer.js', import.meta.url).href;
const SERVERS = 3;
const REDIS_TIMEOUT_MS = 300;
const MONGODB_TIMEOUT_MS = 1_000;
const STALE_MAX_MS = 400;
const HALF_OPEN_MS = 200;
/** `workers/lane-changes.ts`: a connection that is dead without having been closed is noticed within the two. */
const HEARTBEAT_MS = 500;
const HEARTBEAT_TIMEOUT_MS = 500;
/** A heartbeat waits for the client's picture of the servers, as long as for any answer. */
const UNNOTICED_MS = HEARTBEAT_MS + HEARTBEAT_TIMEOUT_MS + REDIS_TIMEOUT_MS;
/** While nobody tells of changes: kept so long, and on its way before. */
const UNTOLD_MS = STALE_MAX_MS + REDIS_TIMEOUT_MS;
const UNTOLD_MONGODB_MS = STALE_MAX_MS + MONGODB_TIMEOUT_MS;
/**
 * What Redis could not take of a write to MongoDB: its connection is left when nothing was heard for two timeouts, and
 * made again at once; a breaker may have to half-open, and what Redis missed is put right every 500 ms
 * (`workers/lane.ts`), with an answer of MongoDB and one of Redis.
 */
const RECONNECT_MS = 100;
const AMEND_MS = 500;
const AMENDED_MS =
  2 * REDIS_TIMEOUT_MS + RECONNECT_MS + HALF_OPEN_MS + AMEND_MS + MONGODB_TIMEOUT_MS + REDIS_TIMEOUT_MS;

/** What was in memory when a dead connection is noticed is served for HEADRACE_STALE_MAX more. */
const ON_REDIS: Bound = { ownMs: 0, backMs: 0, othersMs: UNNOTICED_MS + UNTOLD_MS };
const ON_MONGODB: Bound = { ownMs: 0, backMs: 0, othersMs: UNTOLD_MONGODB_MS };
const ON_BOTH: Bound = {
  ownMs: 0,
  backMs: AMENDED_MS,
  othersMs: UNNOTICED_MS + UNTOLD_MONGODB_MS + AMENDED_MS,
};

const RUNS = Array.from({ length: FULL ? 20 : 2 }, (_, run) => SEED + run);
const OPERATIONS = FULL ? 100_000 : 5_000;
/** FerretDB reads a whole collection for a lookup of several ids. */
const OPERATIONS_ON_MONGODB = OPERATIONS / 5;
const TIMEOUT = { timeout: FULL ? 3_600_000 : 120_000 };

const ENV = {
  HEADRACE_REDIS_TIMEOUT: `${REDIS_TIMEOUT_MS}ms`,
  HEADRACE_MONGODB_TIMEOUT: `${MONGODB_TIMEOUT_MS}ms`,
  HEADRACE_STALE_MAX: `${STALE_MAX_MS}ms`,
  HEADRACE_STORE_TIMEOUT: '2s',
  HEADRACE_BREAKER_HALF_OPEN: `${HALF_OPEN_MS}ms`,
  HEADRACE_LOCAL_COPY_BYTES: '16MiB',
  HEADRACE_DEADLINE: '3s',
};

/** Runs the workload, checks its history, and prints what it was like. */
async function check(
  name: string,
  workload: Workload,
  bound: Bound,
  hurting?: { start(): void; stop(): Promise<void> },
): Promise<void> {
  const beganMs = performance.now();
  try {
    hurting?.start();
    await workload.run();
  } finally {
    await hurting?.stop();
  }
  await eventually(() => workload.readAll(), 'every key can be read on every server').catch(error => {
    console.info(`not read: ${workload.unread.slice(0, 20).join(', ')}`);
    throw error;
  });
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
  const faults = findFaults(workload.history, bound);
  const late = lags(workload.history).sort((a, b) => a - b);
  const outcomes = [...workload.outcomes].map(([what, count]) => `${count} ${what}`).join(', ');
  console.info(
    `${name}: ${seconds} s, ${outcomes}; ${late.length} reads lagged, p50 ${quantile(late, 0.5)} ms, ` +
      `p99 ${quantile(late, 0.99)} ms, longest ${quantile(late, 1)} ms; ${faults.length} faults`,
  );
  // At once: a run of many seeds tells what failed only when it is over.
  for (const fault of [...workload.wrong, ...faults.map(showFault)].slice(0, 20)) console.info(fault);
  workload.close();
  expect(workload.wrong).toEqual([]);
  expect(faults.slice(0, 10).map(showFault)).toEqual([]);
}

function quantile(sorted: readonly number[], part: number): string {
  return (sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0).toFixed(1);
}

async function openServers(env: (server: number) => Record<string, string>): Promise<ServerProcess[]> {
  return Promise.all(
    Array.from({ length: SERVERS }, (_, server) =>
      startServerProcess({ env: { ...ENV, ...env(server) }, nodeArgs: ['--import', LANE_KILLER] }),
    ),
  );
}

describe('one server with its own store', () => {
  test.each(RUNS)('every read is current (seed %i)', TIMEOUT, async seed => {
    const server = await startServerProcess();
    const workload = new Workload({
      ports: [server.port],
      seed,
      operations: OPERATIONS,
      clients: 16,
      keys: 40,
    });
    await workload.declare();
    await check(`embedded, seed ${seed}`, workload, { ownMs: 0, backMs: 0, othersMs: 0 });
    await server.stop();
  });
});

interface Cluster {
  readonly ports: readonly number[];
  readonly hurts: Hurts;
}

/** Redis behind a proxy of its own for each server; all closed at the end. */
async function onRedis(
  { seed, env, hasDyingLanes }: { seed: number; env: Record<string, string>; hasDyingLanes: boolean },
  work: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const redis = await RedisServer.start(['--appendonly', 'yes']);
  const random = new Seeded(seed);
  const proxies = await Promise.all(
    Array.from({ length: SERVERS }, () => SlowProxy.start(redis.port, random)),
  );
  const servers = await openServers(server => ({ ...env, HEADRACE_REDIS_URL: proxies[server]?.url ?? '' }));
  try {
    const mortal = hasDyingLanes ? servers : [];
    await work({
      ports: servers.map(({ port }) => port),
      hurts: new Hurts({ redis, proxies, mortal, random }),
    });
  } catch (error) {
    for (const server of servers) {
      const state = server.running ? 'running' : JSON.stringify(await server.exited);
      const lines = server.log.slice(-20).map(line => JSON.stringify(line));
      console.info([state, server.errorOutput.slice(-2_000), ...lines].join('\n'));
    }
    throw error;
  } finally {
    for (const server of servers) await server.stop();
    for (const proxy of proxies) proxy.close();
    await redis.close();
  }
}

async function declared(workload: Workload): Promise<Workload> {
  await workload.declare();
  await eventually(() => workload.isDeclaredOnAll(), 'the view is known to all');
  return workload;
}

describeWithRedis('several servers on one Redis', () => {
  test.each(RUNS)('no read is older than the bound (seed %i)', TIMEOUT, seed =>
    onRedis({ seed, env: {}, hasDyingLanes: true }, async ({ ports, hurts }) => {
      const workload = new Workload({ ports, seed, operations: OPERATIONS, clients: 24, keys: 40 });
      await check(`redis, seed ${seed}`, await declared(workload), ON_REDIS, hurts);
    }),
  );
});

describe.skipIf(noServer !== undefined)('several servers on MongoDB', () => {
  const load = { operations: OPERATIONS_ON_MONGODB, clients: 8, keys: 24, oneWriterPerKey: true };

  test.each(RUNS)('alone: no read is older than the bound (seed %i)', TIMEOUT, async seed => {
    const env = { HEADRACE_MONGODB_URL: await testDatabaseUrl() };
    const servers = await openServers(() => env);
    const workload = new Workload({ ports: servers.map(({ port }) => port), seed, ...load });
    await check(`mongodb, seed ${seed}`, await declared(workload), ON_MONGODB);
    for (const server of servers) await server.stop();
  });

  describeWithRedis('and Redis', () => {
    test.each(RUNS)('no read is older than the bound (seed %i)', TIMEOUT, async seed => {
      const env = { HEADRACE_MONGODB_URL: await testDatabaseUrl() };
      await onRedis({ seed, env, hasDyingLanes: false }, async ({ ports, hurts }) => {
        const workload = new Workload({ ports, seed, ...load });
        await check(`redis and mongodb, seed ${seed}`, await declared(workload), ON_BOTH, hurts);
      });
    });
  });
});
