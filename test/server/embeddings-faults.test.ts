/** Scores while something is wrong: lanes die, time runs out, the vectors are another server's. Every candidate is accounted for. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FRONT_ELEMENTS_MAX } from '../../src/lookup/scoring.js';
import { SEED } from '../base/seeded.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { configured, DIMENSIONS, load, type ScoreAnswer, score, scorePath } from './embeddings.js';
import { type ServerOptions, type ServerProcess, startServerProcess } from './server-process.js';

const MANY = Math.ceil(FRONT_ELEMENTS_MAX / DIMENSIONS) + 500;
/** The n-th vector is n in each element: its dot product with ones tells which it is. */
const lines = Array.from({ length: MANY }, (_, n) => ({
  key: `doc ${n}`,
  vector: Array<number>(DIMENSIONS).fill(n),
}));
const candidates = lines.map(({ key }) => key);
const sorted = candidates.toSorted().join('\n');
const question = { query: Array<number>(DIMENSIONS).fill(1), candidates, k: MANY, metric: 'dot' };
const env = {
  ...configured({ docs: { embedding: { dimensions: DIMENSIONS } } }),
  // A test that the machine gives no time for a while keeps its connections.
  ...{ HEADRACE_FRONT: 'node', HEADRACE_IDLE_TIMEOUT: '5m' },
};

const started: { readonly server: ServerProcess; readonly api: ApiClient }[] = [];
afterAll(async () => {
  for (const { server, api } of started) {
    api.close();
    expect(await server.stop()).toEqual({ code: 0, signal: null });
  }
});

async function open(options: ServerOptions = {}): Promise<{ server: ServerProcess; api: ApiClient }> {
  const server = await startServerProcess({ ...options, env: { ...env, ...options.env } });
  const opened = { server, api: new ApiClient(server.port) };
  started.push(opened);
  return opened;
}

/** Each candidate is scored, and right, or said to be unavailable; how many are. */
function expectAccounted({ matches, missing, unavailable }: ScoreAnswer): number {
  for (const match of matches) expect(match.score).toBe(DIMENSIONS * Number(match.id.slice('doc '.length)));
  expect(missing).toEqual([]);
  const told = [...matches.map(({ id }) => id), ...unavailable];
  expect(told.toSorted().join('\n')).toBe(sorted);
  return unavailable.length;
}

describe('scores', () => {
  test('of lanes that die are right or unavailable, and all there again afterwards', async () => {
    console.log(`seed ${SEED}`);
    const { server, api } = await open({
      nodeArgs: ['--import', new URL('lane-killer.js', import.meta.url).href],
      env: { HEADRACE_LANES: '3', HEADRACE_TEST_SEED: String(SEED) },
    });
    await load(api, 'docs', lines);
    const deaths = () => server.log.filter(({ kind }) => kind === 'down').length;
    for (let asked = 0; asked < 24 || deaths() < 5; asked++) {
      if (asked % 4 === 0) server.signal('SIGUSR2');
      const answers = await Promise.all([score(api, 'docs', question), score(api, 'docs', question)]);
      for (const answer of answers) expectAccounted(answer);
    }
    await eventually(async () => expectAccounted(await score(api, 'docs', question)) === 0, 'all are there');
  }, 300_000);

  test('that are not there by the deadline are unavailable, which Cache-Status says', async () => {
    const first = await open();
    await load(first.api, 'docs', lines);
    await first.server.stop();
    const { api } = await open({
      dataDir: first.server.dataDir,
      env: { HEADRACE_DEADLINE: '1ms', HEADRACE_WARM_RATE: '0' },
    });
    const statuses = new Set<unknown>();
    await eventually(async () => {
      const answer = await api.post(scorePath('docs'), question);
      expect(answer.status).toBe(200);
      const status = answer.headers['cache-status'];
      statuses.add(status);
      const isLate = expectAccounted(answer.json() as ScoreAnswer) > 0;
      expect(isLate).toBe(status === 'headrace; fwd=partial; detail=deadline');
      return isLate;
    }, 'one was late');
    expect([...statuses].filter(status => !/detail=(L1|L3|deadline)$/.test(String(status)))).toEqual([]);
  }, 60_000);
});

describeWithRedis('scores of two servers on one Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
  });
  afterAll(() => redis.close());

  test('are of the vectors that either has loaded, and of the newest', async () => {
    const more = { HEADRACE_REDIS_URL: redis.url, HEADRACE_REDIS_TIMEOUT: '2s' };
    const [one, two] = await Promise.all([open({ env: more }), open({ env: more })]);
    await load(one.api, 'docs', lines);
    expect(expectAccounted(await score(two.api, 'docs', question))).toBe(0);
    await eventually(
      async () =>
        (await two.api.post(scorePath('docs'), question)).headers['cache-status'] ===
        'headrace; hit; detail=L1',
      'they are in its memory now',
    );
    await load(one.api, 'docs', [{ key: 'doc 7', vector: Array<number>(DIMENSIONS).fill(-1) }]);
    await eventually(async () => {
      const { matches } = await score(two.api, 'docs', { ...question, candidates: ['doc 7'] });
      return matches[0]?.score === -DIMENSIONS;
    }, 'the other scores the newest');
  }, 60_000);
});
