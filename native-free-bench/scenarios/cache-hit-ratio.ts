/**
 * How much a cache keeps from what it stands before, from cold on: a cache that is read through to an origin, empty at
 * the start. A hit is an answer from L1; what L1 has given up comes from the disk, and is no hit, but no question to the
 * origin either.
 *
 * - `80-20`: 100 clients ask 100 times each, four times of five for one of a fifth of 1,000 keys.
 * - `head-queries`: a stream of queries by Zipf's law with exponent 0.99, the names of Debian's packages as people would
 *   type them, each cached by its canonical key; L1 for about a fifth of the results. In `as-typed` the same stream is
 *   cached by what was typed.
 */
import { EntryMaker, entryPath } from '../data/entries.js';
import { queryKey, readQueries, typed } from '../data/queries.js';
import { Random } from '../data/random.js';
import { Zipf } from '../data/zipf.js';
import { type ClosedPassPlan, closedPass } from '../load/closed-pass.js';
import { PATIENCE } from '../servers/filling.js';
import { startHeadrace } from '../servers/headrace.js';
import { OriginForBench } from '../servers/origin.js';
import { removeDir, temporaryDir } from '../servers/temporary-dir.js';
import { perRequest, wireRequest } from './measure.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';
import { L1_BYTES_SMALL } from './single-miss.js';
import { EXPONENT, L1_SHARE } from './zipf.js';

const CACHE = 'results';
/** Ten results of a query, about. */
const PAYLOAD_BYTES = 4096;
/** With its key, and what L1 adds. */
const ENTRY_BYTES = PAYLOAD_BYTES + 256;
const CLIENTS = 100;
const REQUESTS_EACH = 100;
const KEYS = 1_000;
const HOT_SHARE = 0.2;
const HOT_REQUESTS = 0.8;
const QUERY_CLIENTS = 32;
/** Of its tiny size, where not all queries come to be asked. */
const QUERIES_PER_REQUEST_MAX = 1 / 5;
const TIMEOUT_MS = 30_000;

interface Stream {
  readonly variant: string;
  readonly l1Bytes: number | undefined;
  readonly clients: number;
  readonly requestsEach: number;
  readonly nextKey: () => string;
}

export const cacheHitRatio: Scenario = {
  name: 'cache-hit-ratio',
  about: 'hit ratio of a cold cache before an origin: an 80/20 pattern, and queries by Zipf 0.99',
  needsOwnServer: true,
  async run(bench: Bench): Promise<CaseResult[]> {
    const results: CaseResult[] = [];
    for (const stream of [eightyTwenty(bench), ...queryStreams(bench)])
      results.push(await measureStream(bench, stream));
    return results;
  },
};

function eightyTwenty({ seed }: Bench): Stream {
  const random = new Random(seed, '80-20');
  const hot = KEYS * HOT_SHARE;
  const nextKey = () => {
    const isHot = random.next() < HOT_REQUESTS;
    return `key-${isHot ? random.below(hot) : hot + random.below(KEYS - hot)}`;
  };
  return { variant: '80-20', l1Bytes: undefined, clients: CLIENTS, requestsEach: REQUESTS_EACH, nextKey };
}

function queryStreams({ seed, size, queriesFile }: Bench): Stream[] {
  const { queryRequests } = size;
  const all = readQueries(queriesFile);
  const queries = all.slice(0, Math.max(1, queryRequests * QUERIES_PER_REQUEST_MAX));
  const stream = (variant: string, keyOf: (text: string) => string): Stream => {
    const random = new Random(seed, 'head-queries');
    const ranks = new Zipf(queries.length, EXPONENT, random);
    // Which are asked most has nothing to do with the order of their names.
    const order = random.permutation(queries.length);
    return {
      variant,
      l1Bytes: Math.max(L1_BYTES_SMALL, Math.ceil(queries.length * ENTRY_BYTES * L1_SHARE)),
      clients: QUERY_CLIENTS,
      requestsEach: Math.ceil(queryRequests / QUERY_CLIENTS),
      nextKey: () => keyOf(typed(queries[order[ranks.next()] ?? 0] ?? '', random)),
    };
  };
  return [stream('head-queries', queryKey), stream('as-typed', text => text)];
}

async function measureStream(bench: Bench, stream: Stream): Promise<CaseResult> {
  const { variant, l1Bytes, clients: count, requestsEach, nextKey } = stream;
  bench.say(variant);
  const dataDir = temporaryDir('hit-ratio');
  const origin = await OriginForBench.start(new EntryMaker(CACHE, PAYLOAD_BYTES, bench.seed).payload);
  const env = { ...PATIENCE, HEADRACE_CONFIG_FILE: origin.configFile(dataDir, { [CACHE]: { ttl: '1h' } }) };
  const server = await startHeadrace({ dataDir, l1Bytes, env });
  try {
    const next: ClosedPassPlan['next'] = () =>
      wireRequest(server, { method: 'GET', path: entryPath(CACHE, nextKey()), headers: {} });
    const cpuBefore = server.cpuMicros();
    const outcome = await closedPass(server, { clients: count, requestsEach, timeoutMs: TIMEOUT_MS, next });
    const cpuUsPerRequest = perRequest(cpuBefore, server.cpuMicros(), outcome.tally.responses);
    const value = 1 - origin.calls / outcome.tally.responses;
    return {
      scenario: 'cache-hit-ratio',
      variant,
      clients: { count, ...outcome, cpuUsPerRequest },
      figures: [{ metric: 'without_origin', label: 'answered without the origin', value, unit: '' }],
    };
  } finally {
    await server.stop();
    await origin.stop();
    removeDir(dataDir);
  }
}
