/**
 * A key that nobody has, and everybody wants at once: how often it is made. The servers share one Redis, so they are one
 * group, and what one has the others have.
 *
 * - `leased`: 100 instances of an application, each a client library of its own with ten calls, spread over the servers;
 *   what is missing is made by the application, which takes 50 ms.
 * - `origin`: 1,000 clients, each on a connection of its own, of a cache that is read through to an origin that takes as
 *   long.
 */

import { connect } from '../../src/client/index.js';
import { EntryMaker } from '../data/entries.js';
import { Connections } from '../load/connections.js';
import { Tally } from '../load/tally.js';
import type { ChildServer } from '../servers/child.js';
import { PATIENCE } from '../servers/filling.js';
import { startHeadrace } from '../servers/headrace.js';
import { OriginForBench } from '../servers/origin.js';
import { findRedis } from '../servers/redis.js';
import { removeDir, temporaryDir } from '../servers/temporary-dir.js';
import { wireRequest } from './measure.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';

const READ_THROUGH = 'results';
const LEASED = 'popular';
const PAYLOAD_BYTES = 1024;
const SERVERS = 2;
const CALLS_EACH = 10;
const MAKING_MS = 50;
const TIMEOUT_MS = 30_000;

/** Answers of a round in milliseconds, and how often the key was made. */
interface RoundOutcome {
  readonly made: number;
  readonly answersMs: readonly (number | undefined)[];
}

type PlayRound = (key: string) => Promise<RoundOutcome>;

export const cacheStampede: Scenario = {
  name: 'cache-stampede',
  about: 'how often a cold key is made that all clients of several servers want at once',
  needsOwnServer: true,
  async run(bench: Bench): Promise<CaseResult[]> {
    const redis = await findRedis();
    if (typeof redis === 'string') {
      bench.skip('cache-stampede', redis);
      return [];
    }
    const dirs = Array.from({ length: SERVERS }, () => temporaryDir('stampede'));
    const origin = await OriginForBench.start(
      new EntryMaker(READ_THROUGH, PAYLOAD_BYTES, bench.seed).payload,
    );
    const servers: ChildServer[] = [];
    try {
      origin.be(200, MAKING_MS);
      for (const dataDir of dirs) {
        const configFile = origin.configFile(dataDir, { [READ_THROUGH]: {} });
        const env = {
          ...PATIENCE,
          HEADRACE_REDIS_TIMEOUT: '5s',
          HEADRACE_REDIS_URL: redis.url,
          HEADRACE_CONFIG_FILE: configFile,
        };
        servers.push(await startHeadrace({ dataDir, env }));
      }
      return [await leased(bench, servers), await readThrough(bench, servers, origin)];
    } finally {
      await Promise.all(servers.map(server => server.stop()));
      await origin.stop();
      await redis.stop();
      for (const dir of dirs) removeDir(dir);
    }
  },
};

async function leased(bench: Bench, servers: readonly ChildServer[]): Promise<CaseResult> {
  const { clients: count } = bench.size;
  const payload = new EntryMaker(LEASED, PAYLOAD_BYTES, bench.seed).payload;
  const instances = Array.from({ length: Math.ceil(count / CALLS_EACH) }, (_, n) => {
    const { host, port } = servers[n % servers.length] as ChildServer;
    return connect({ url: `http://${host}:${port}`, timeoutMs: TIMEOUT_MS });
  });
  try {
    let made = 0;
    const make = async (_key: string) => {
      made++;
      await new Promise(resolve => setTimeout(resolve, MAKING_MS));
      return payload;
    };
    const patience = { timeoutMs: TIMEOUT_MS, waitMs: TIMEOUT_MS };
    const cached = instances.map(client =>
      client.cached(make, { cache: LEASED, key: key => key, ...patience }),
    );
    const play: PlayRound = async key => {
      const madeBefore = made;
      const calls = cached.flatMap(read =>
        Array.from({ length: CALLS_EACH }, () => timed(read(key), payload)),
      );
      const answersMs = await Promise.all(calls);
      return { made: made - madeBefore, answersMs };
    };
    return await playAll(bench, 'leased', play);
  } finally {
    await Promise.all(instances.map(client => client.close()));
  }
}

/** Milliseconds until the promise has the value; `undefined` when it has another, or none. */
async function timed(promise: Promise<string>, wanted: string): Promise<number | undefined> {
  const beganMs = performance.now();
  const value = await promise.catch(() => undefined);
  return value === wanted ? performance.now() - beganMs : undefined;
}

async function readThrough(
  bench: Bench,
  servers: readonly ChildServer[],
  origin: OriginForBench,
): Promise<CaseResult> {
  const maker = new EntryMaker(READ_THROUGH, PAYLOAD_BYTES, bench.seed);
  const each = Math.ceil(bench.size.clients / servers.length);
  const pools = await Promise.all(servers.map(server => Connections.open(server, each, TIMEOUT_MS)));
  try {
    const ask = (pool: Connections, server: ChildServer, key: string) =>
      new Promise<number | undefined>(resolve => {
        const request = wireRequest(server, { method: 'GET', path: maker.path(key), headers: {} });
        const beganMs = performance.now();
        pool.send(request, answer => {
          const isGood = typeof answer !== 'string' && answer.status === 200;
          resolve(isGood ? performance.now() - beganMs : undefined);
        });
      });
    const play: PlayRound = async key => {
      const callsBefore = origin.calls;
      const asked = pools.flatMap((pool, at) =>
        Array.from({ length: each }, () => ask(pool, servers[at] as ChildServer, key)),
      );
      const answersMs = await Promise.all(asked);
      return { made: origin.calls - callsBefore, answersMs };
    };
    return await playAll(bench, 'origin', play);
  } finally {
    for (const pool of pools) pool.close();
  }
}

/** As many rounds as there are keys, the first for the servers' code to be compiled. */
async function playAll(bench: Bench, variant: string, play: PlayRound): Promise<CaseResult> {
  bench.say(variant);
  const maker = new EntryMaker(variant, PAYLOAD_BYTES, bench.seed);
  await play(maker.keyOf(0));
  const tally = new Tally();
  const startMs = performance.now();
  let madeMost = 0;
  let count = 0;
  for (let key = 1; key <= bench.size.coldKeys; key++) {
    const { made, answersMs } = await play(maker.keyOf(key));
    madeMost = Math.max(madeMost, made);
    count = answersMs.length;
    for (const ms of answersMs) {
      tally.arrivals += 1;
      if (ms === undefined) tally.failure(TIMEOUT_MS, 'broken');
      else tally.response(ms, GOOD, true);
    }
  }
  const elapsedMs = performance.now() - startMs;
  return {
    scenario: 'cache-stampede',
    variant,
    clients: { count, elapsedMs, tally, cpuUsPerRequest: undefined },
    figures: [
      { metric: 'origin_calls', label: 'times that a key was made, at most', value: madeMost, unit: '' },
    ],
  };
}

const GOOD = {
  status: 200,
  bodyBytes: PAYLOAD_BYTES,
  cacheStatus: '',
  serverTiming: '',
  closes: false,
} as const;
