/**
 * What readers notice of an origin that gets slow, and of one that fails: reads of entries that get old all the time, at
 * a steady rate, first with the origin well, then from the moment on when it is not. Entries of the one cache may be
 * served stale while they are made anew, those of the other only where that fails.
 */
import { EntryMaker } from '../data/entries.js';
import { Random } from '../data/random.js';
import { closedPass } from '../load/closed-pass.js';
import type { Address } from '../load/connections.js';
import type { LoadRequest } from '../load/open-loop.js';
import { percentileOf } from '../report/figures.js';
import { startHeadrace } from '../servers/headrace.js';
import { OriginForBench } from '../servers/origin.js';
import { removeDir, temporaryDir } from '../servers/temporary-dir.js';
import { measureOpen, wireRequest } from './measure.js';
import type { Bench, CaseResult, OpenResult, Scenario } from './scenario.js';

const CACHE = 'results';
const PAYLOAD_BYTES = 256;
const KEYS = 100;
const CONNECTIONS = 64;
const RATE_SHARE = 1 / 5;
const WARM_CLIENTS = 16;
const TIMEOUT_MS = 30_000;

const WELL = { status: 200, delayMs: 20 } as const;
const TROUBLES = [
  { trouble: 'slow', status: 200, delayMs: 2_000 },
  { trouble: 'failing', status: 503, delayMs: WELL.delayMs },
] as const;
const CACHES = {
  revalidate: { ttl: '500ms', staleWhileRevalidate: '1h', staleIfError: '1h' },
  'if-error': { ttl: '500ms', staleWhileRevalidate: '0ms', staleIfError: '1h' },
} as const;

export const cacheStale: Scenario = {
  name: 'cache-stale',
  about: 'stale answers while the origin is slow or fails, beside those while it is well',
  needsOwnServer: true,
  async run(bench: Bench): Promise<CaseResult[]> {
    const results: CaseResult[] = [];
    for (const [kind, options] of Object.entries(CACHES))
      results.push(...(await measureKind(bench, kind, options)));
    return results;
  },
};

async function measureKind(bench: Bench, kind: string, options: object): Promise<CaseResult[]> {
  const maker = new EntryMaker(CACHE, PAYLOAD_BYTES, bench.seed);
  const dataDir = temporaryDir('stale');
  const origin = await OriginForBench.start(maker.payload);
  const env = { HEADRACE_CONFIG_FILE: origin.configFile(dataDir, { [CACHE]: options }) };
  const server = await startHeadrace({ dataDir, env });
  try {
    const random = new Random(bench.seed, 'cache-stale');
    const get = (key: number) =>
      wireRequest(server, { method: 'GET', path: maker.path(maker.keyOf(key)), headers: {} });
    const rate = bench.rate ?? bench.size.rate * RATE_SHARE;
    const request = () => get(random.below(KEYS));
    const measure = () => measureOpen(bench, server, { rate, connections: CONNECTIONS, request });
    const measureWell = () => {
      origin.be(WELL.status, WELL.delayMs);
      return measure();
    };
    await readAll(server, get);
    // Not counted: the server's code is compiled meanwhile.
    await measureWell();
    bench.say(`${kind}-well`);
    const well = await measureWell();
    const results: CaseResult[] = [{ scenario: 'cache-stale', variant: `${kind}-well`, open: well }];
    for (const { trouble, status, delayMs } of TROUBLES) {
      const variant = `${kind}-${trouble}`;
      bench.say(variant);
      origin.be(status, delayMs);
      const open = await measure();
      const value = p95(open) / p95(well);
      const label = 'P95, to that while the origin is well';
      const figures = [{ metric: 'p95_ratio', label, value, unit: '' }] as const;
      results.push({ scenario: 'cache-stale', variant, open, figures });
      // What was slow is over then.
      await measureWell();
    }
    return results;
  } finally {
    await server.stop();
    await origin.stop();
    removeDir(dataDir);
  }
}

/** Every entry is there, and the origin has been asked for it. */
async function readAll(address: Address, get: (key: number) => LoadRequest): Promise<void> {
  let sent = 0;
  await closedPass(address, {
    clients: WARM_CLIENTS,
    requestsEach: Math.ceil(KEYS / WARM_CLIENTS),
    timeoutMs: TIMEOUT_MS,
    next: () => get(sent++ % KEYS),
  });
}

function p95({ tally }: OpenResult): number {
  return percentileOf(tally.latencyUs, 95);
}
