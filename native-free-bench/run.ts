/**
 * Runs scenarios one after the other, each with a server and a data directory of its own, and hands back what they
 * measured. Both commands, `bench` and `gate`, go through here.
 */
import { KEY_PREFIX } from './data/entries.js';
import { BENCH_VIEWS } from './data/records.js';
import { ClosedLoop } from './load/closed-loop.js';
import { RIVALS, type RivalName } from './rivals/rival.js';
import type { Bench, CaseResult, Scenario } from './scenarios/scenario.js';
import type { ChildServer, Server } from './servers/child.js';
import { headraceAt, startHeadrace } from './servers/headrace.js';
import { call } from './servers/http-call.js';
import { findRedis, type RedisForBench } from './servers/redis.js';
import { removeDir, temporaryDir } from './servers/temporary-dir.js';
import type { Settings } from './settings.js';
import { SIZES } from './sizes.js';

export interface RunResult {
  readonly cases: readonly CaseResult[];
  /** Scenarios and rivals that were left out, with the reason. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

export async function runScenarios(
  scenarios: readonly Scenario[],
  settings: Settings,
  say: (line: string) => void,
): Promise<RunResult> {
  const cases: CaseResult[] = [];
  const skipped: { name: string; reason: string }[] = [];
  const skip = (name: string, reason: string) => {
    say(`${name}: skipped, ${reason}`);
    skipped.push({ name, reason });
  };
  const rivals = new Set(settings.rivals ? (Object.keys(RIVALS) as RivalName[]) : []);
  const onRedis = [...rivals].filter(name => name.startsWith('fastify-ioredis'));
  const redis = onRedis.length > 0 ? await findRedis() : '';
  for (const name of onRedis) if (typeof redis === 'string' && rivals.delete(name)) skip(name, redis);

  const closedLoop = new ClosedLoop();
  try {
    for (const scenario of scenarios) {
      if (scenario.needsOwnServer && settings.url !== undefined) {
        skip(scenario.name, 'it restarts the server, which --url does not allow');
        continue;
      }
      say(scenario.name);
      cases.push(...(await runScenario(scenario, settings, { rivals, redis, closedLoop, skip, say })));
    }
  } finally {
    await closedLoop.close();
    if (typeof redis !== 'string') await redis.stop();
  }
  return { cases, skipped };
}

interface Shared {
  readonly rivals: ReadonlySet<RivalName>;
  readonly redis: RedisForBench | string;
  readonly closedLoop: ClosedLoop;
  readonly skip: (name: string, reason: string) => void;
  readonly say: (line: string) => void;
}

async function runScenario(scenario: Scenario, settings: Settings, shared: Shared): Promise<CaseResult[]> {
  const dataDir = temporaryDir('data');
  let current: Server | undefined;
  const start = async (
    l1Bytes: number | undefined,
    env: Readonly<Record<string, string>> = {},
  ): Promise<ChildServer> => {
    const server = await startHeadrace({ dataDir, l1Bytes, env });
    current = server;
    return server;
  };
  const size = SIZES[settings.size];
  const bench: Bench = {
    seed: settings.seed,
    size,
    rate: settings.rate,
    durationMs: settings.durationMs ?? size.durationMs,
    arrivals: settings.arrivals,
    rivals: shared.rivals,
    redisUrl: typeof shared.redis === 'string' ? '' : shared.redis.url,
    queriesFile: settings.queries,
    closedLoop: shared.closedLoop,
    server: async (l1Bytes, env) =>
      settings.url === undefined ? start(l1Bytes, env) : headraceAt(settings.url, settings.pid),
    restart: async l1Bytes => {
      await current?.stop();
      return start(l1Bytes);
    },
    skip: shared.skip,
    say: line => shared.say(`${scenario.name}: ${line}`),
  };
  try {
    return await scenario.run(bench);
  } finally {
    await current?.stop();
    removeDir(dataDir);
    if (settings.url !== undefined) await removeAll(headraceAt(settings.url, undefined));
  }
}

/** A server that goes on running should not keep what benchmarks put there. Whether it lets go is not our result. */
async function removeAll(server: Server): Promise<void> {
  for (const view of Object.values(BENCH_VIEWS)) {
    await call(server, 'DELETE', `/v1/views/${view}`).catch(() => {});
  }
  const body = JSON.stringify({ prefix: KEY_PREFIX });
  await call(server, 'POST', '/v1/caches/results/invalidate', { body }).catch(() => {});
}
