/**
 * What an answer costs by where it lies: L1, Redis as L2, copies on local disk as L3, and each store of record. Single
 * reads, and lookups of 500 records of which a share is not in L1.
 *
 * L1 is small. Some documents are asked for again and again and stay in it; the others are gone through in a random
 * order, all of them before any comes twice, which is far more than L1 holds. Latency is that of an open loop at half of
 * what the closed loop reached, so that slow tiers are not measured by their queues.
 */
import { Random } from '../data/random.js';
import { documentId, RecordMaker } from '../data/records.js';
import type { ClosedRequest } from '../load/autocannon-child.js';
import { closedPass } from '../load/closed-pass.js';
import type { LoadRequest } from '../load/open-loop.js';
import type { Server } from '../servers/child.js';
import { ingest, lookupPath, warm } from '../servers/filling.js';
import { startHeadrace } from '../servers/headrace.js';
import { call } from '../servers/http-call.js';
import { removeDir, temporaryDir } from '../servers/temporary-dir.js';
import { UserError } from '../user-error.js';
import { FLATBUFFERS } from './encodings.js';
import { measureOpen, perRequest, TIMED_EVERY, wireRequest } from './measure.js';
import type { Bench, CaseResult, Round, Scenario } from './scenario.js';
import { openTierServers, type Stack, type TierServers } from './tiers-stacks.js';

const L1_BYTES = 2 * 2 ** 20;
/** A quarter of L1, about. */
const HOT_DOCUMENTS = 1_500;
const IDS = 500;
const SINGLE_CONNECTIONS = 32;
const BATCH_CONNECTIONS = 2;
const TIMEOUT_MS = 30_000;
/** All documents of a stand-in, of which none is hot. */
const STAND_IN_DOCUMENTS = 500;
/** Passes over all documents until the copies on disk answer for all of them. */
const FILLING_PASSES_MAX = 10;

export const tiers: Scenario = {
  name: 'tiers',
  about: 'single reads and lookups of 500, answered by L1 and by each tier below it',
  needsOwnServer: true,
  async run(bench: Bench): Promise<CaseResult[]> {
    const servers = await openTierServers((name, reason) => bench.skip(`tiers/${name}`, reason));
    try {
      const results: CaseResult[] = [];
      for (const stack of servers.stacks) {
        bench.say(stack.name);
        try {
          results.push(...(await measureStack(bench, stack, servers)));
        } catch (error) {
          // A stand-in may take longer than a client's connection is kept; the others are measured all the same.
          if (!(error instanceof UserError) || !stack.isStandIn) throw error;
          bench.skip(`tiers/${stack.name}`, error.message);
        }
      }
      return results;
    } finally {
      await servers.close();
    }
  },
};

async function measureStack(bench: Bench, stack: Stack, servers: TierServers): Promise<CaseResult[]> {
  const maker = new RecordMaker(50, bench.seed);
  const dataDir = temporaryDir('tiers');
  const server = await startHeadrace({ dataDir, l1Bytes: L1_BYTES, env: stack.env });
  try {
    const hot = stack.isStandIn ? 0 : HOT_DOCUMENTS;
    const cold = stack.isStandIn ? STAND_IN_DOCUMENTS : bench.size.coldDocuments;
    const documents = hot + cold;
    await call(server, 'PUT', `/v1/views/${maker.view}`, {
      headers: { 'content-type': 'application/json' },
      body: viewDefinition(maker),
    });
    await ingest(server, maker, documents);
    await fillTier(server, stack, servers, maker, documents);
    await requireAll(server, maker, documents);
    const reads = new Reads(server, maker, { hot, cold, seed: bench.seed });
    const results: CaseResult[] = [];
    for (const plan of casesOf(stack, reads, stack.isStandIn ? [100] : bench.size.missPercents)) {
      await keepInL1(server, maker, hot);
      results.push(await measureCase(bench, server, plan));
    }
    await requireAll(server, maker, documents);
    await call(server, 'DELETE', `/v1/views/${maker.view}`);
    return results;
  } finally {
    await server.stop();
    removeDir(dataDir);
  }
}

interface Documents {
  /** From 0; these stay in L1. */
  readonly hot: number;
  /** Those after them. */
  readonly cold: number;
  readonly seed: number;
}

/** What is asked for next, as it goes on the wire. */
class Reads {
  readonly #server: Server;
  readonly #maker: RecordMaker;
  readonly #random: Random;
  readonly #hot: number;
  readonly #cold: Uint32Array;
  #nextCold = 0;
  #asked = 0;

  constructor(server: Server, maker: RecordMaker, { hot, cold, seed }: Documents) {
    this.#server = server;
    this.#maker = maker;
    this.#random = new Random(seed, 'tiers');
    this.#hot = hot;
    this.#cold = this.#random.permutation(cold);
  }

  single(missShare: number): LoadRequest {
    const path = this.#maker.path(this.#document(missShare));
    return this.#wire({ method: 'GET', path, headers: { accept: FLATBUFFERS } });
  }

  /** The share of its ids is the same in every lookup. */
  lookup(missShare: number): LoadRequest {
    const misses = Math.round(missShare * IDS);
    const ids = Array.from({ length: IDS }, (_, at) => documentId(this.#document(at < misses ? 1 : 0)));
    return this.#wire({
      method: 'POST',
      path: lookupPath(this.#maker),
      headers: { accept: FLATBUFFERS, 'content-type': 'application/json' },
      body: JSON.stringify({ ids, features: this.#maker.featureNames }),
    });
  }

  #document(missShare: number): number {
    if (missShare === 0) return this.#random.below(this.#hot);
    return this.#hot + (this.#cold[this.#nextCold++ % this.#cold.length] ?? 0);
  }

  #wire(request: ClosedRequest): LoadRequest {
    return wireRequest(this.#server, request, this.#asked++ % TIMED_EVERY === 0);
  }
}

/** L1 then has these documents and no other. */
async function keepInL1(server: Server, maker: RecordMaker, hot: number): Promise<void> {
  await call(server, 'POST', `/v1/views/${maker.view}/invalidate`, {
    headers: { 'content-type': 'application/json' },
    body: '{"all":true}',
  });
  await warm(server, maker, Array(hot).keys());
}

/** LRU keeps nothing of documents that are gone through in turn; the default policy would keep some of them. */
function viewDefinition(maker: RecordMaker): string {
  return JSON.stringify({ ...JSON.parse(maker.viewDefinition()), l1: { eviction: 'lru' } });
}

/** What is all in L1 is the same whatever is below it, and measured once. */
function casesOf({ name, withL1 }: Stack, reads: Reads, missPercents: readonly number[]): Case[] {
  const single = (tier: string, missShare: number): Case => ({
    variant: `single-${tier}`,
    connections: SINGLE_CONNECTIONS,
    request: () => reads.single(missShare),
  });
  const lookup = (tier: string, missShare: number): Case => ({
    variant: `batch-${tier}`,
    connections: BATCH_CONNECTIONS,
    request: () => reads.lookup(missShare),
  });
  const hits = withL1 ? [single('l1', 0), lookup('l1', 0)] : [];
  const misses = missPercents.map(percent => lookup(`${name}-${percent}`, percent / 100));
  return [...hits, single(name, 1), ...misses];
}

interface Case {
  readonly variant: string;
  readonly connections: number;
  readonly request: () => LoadRequest;
}

async function measureCase(bench: Bench, server: Server, plan: Case): Promise<CaseResult> {
  const { variant, connections, request } = plan;
  bench.say(variant);
  const { rounds: count, roundMs, rate } = bench.size;
  const rounds: Round[] = [];
  for (let round = -1; round < count; round++) {
    const cpuBefore = server.cpuMicros();
    const { tally, elapsedMs } = await closedPass(server, {
      clients: connections,
      durationMs: roundMs,
      timeoutMs: TIMEOUT_MS,
      next: request,
    });
    const { responses, errors } = tally;
    const cpuUsPerRequest = perRequest(cpuBefore, server.cpuMicros(), responses);
    // The first is for the server's code to be compiled.
    if (round >= 0)
      rounds.push({ responses, errors, requestsPerSecond: responses / (elapsedMs / 1000), cpuUsPerRequest });
  }
  const reached = Math.min(...rounds.map(({ requestsPerSecond }) => requestsPerSecond));
  const open = await measureOpen(bench, server, {
    rate: bench.rate ?? Math.max(1, Math.min(rate, reached / 2)),
    connections,
    request,
  });
  return { scenario: 'tiers', variant, open, closed: { connections, headrace: rounds, rivals: [] } };
}

/** Reads all documents until the tier has them, and no other is asked. @throws UserError when that does not come about. */
async function fillTier(
  server: Server,
  { name, readsRedis }: Stack,
  { redisHits }: TierServers,
  maker: RecordMaker,
  documents: number,
): Promise<void> {
  for (let pass = 0; pass < FILLING_PASSES_MAX; pass++) {
    const before = await redisHits();
    await warm(server, maker, Array(documents).keys());
    const hits = (await redisHits()) - before;
    if (readsRedis === undefined || hits > 0 === readsRedis) return;
  }
  throw new UserError(
    `${name} was not what answered: reads ${readsRedis ? 'never reach' : 'still reach'} Redis`,
  );
}

/** A row of a lookup may say that its tier has failed, in an answer that is none: no figure is made of that. */
async function requireAll(server: Server, maker: RecordMaker, documents: number): Promise<void> {
  for (let from = 0; from < documents; from += IDS) {
    const ids = Array.from({ length: Math.min(IDS, documents - from) }, (_, at) => documentId(from + at));
    const { body } = await call(server, 'POST', lookupPath(maker), {
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ ids, features: maker.featureNames.slice(0, 1) }),
    });
    const { statuses } = JSON.parse(body.toString()) as { readonly statuses: readonly string[] };
    const other = statuses.find(status => status !== 'PRESENT');
    if (other !== undefined) throw new UserError(`a record that was loaded is ${other}`);
  }
}
