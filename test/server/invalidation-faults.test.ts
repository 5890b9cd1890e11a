/** Invalidations while threads, servers and stores fail: what was invalidated stays so, and is erased in the end. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { expectProblem } from './both-fronts.js';
import { makeDataDir, type ServerProcess, startServerProcess } from './server-process.js';

const CACHE = '/v1/caches/results';
const ENTRIES = 1_000;
const KEYS = Array.from({ length: ENTRIES }, (_, n) => `k${n}`);
const TAGGED = KEYS.filter((_, n) => n % 4 === 0);

const pathOf = (key: string) => `${CACHE}/entries/${key}`;

async function fill(api: ApiClient): Promise<void> {
  await Promise.all(
    KEYS.map(async (key, n) => {
      const headers = n % 4 === 0 ? { 'cache-tags': 'fourth' } : {};
      expect((await api.request('PUT', pathOf(key), key, headers)).status).toBe(204);
    }),
  );
}

async function present(api: ApiClient, keys: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (let from = 0; from < keys.length; from += 1_000) {
    const answer = await api.post(`${CACHE}/entries:batchGet`, { keys: keys.slice(from, from + 1_000) });
    const { entries } = answer.json() as { entries: { key: string; status: string }[] };
    for (const { key, status } of entries) {
      expect([key, status]).not.toEqual([key, 'UNAVAILABLE']);
      if (status === 'PRESENT') found.push(key);
    }
  }
  return found;
}

async function invalidating(api: ApiClient): Promise<number> {
  const { figures } = (await api.get(CACHE)).json() as { figures: { invalidating: number } };
  return figures.invalidating;
}

const invalidate = async (api: ApiClient, body: unknown) =>
  expect((await api.post(`${CACHE}/invalidate`, body)).status).toBe(200);

test('survive a server that is killed during the walk, and the walk goes on after', async () => {
  const dataDir = makeDataDir();
  const first = await startServerProcess({ dataDir });
  const api = new ApiClient(first.port);
  await fill(api);
  await invalidate(api, { tags: ['fourth'] });
  expect(await invalidating(api)).toBe(1);
  api.close();
  await first.kill();
  const second = await startServerProcess({ dataDir });
  const again = new ApiClient(second.port);
  expect(await present(again, TAGGED)).toEqual([]);
  await eventually(async () => (await invalidating(again)) === 0, 'what was invalidated is erased', 30_000);
  expect(await present(again, KEYS)).toEqual(KEYS.filter(key => !TAGGED.includes(key)));
  again.close();
  await second.stop();
});

test('survive lanes that die during the walk', async () => {
  const server = await startServerProcess({
    nodeArgs: ['--import', new URL('lane-killer.js', import.meta.url).href],
    env: { HEADRACE_LANES: '2' },
  });
  const api = new ApiClient(server.port);
  await fill(api);
  const orders = () => server.log.filter(({ msg }) => msg === 'ordered').length;
  const deaths = () => server.log.filter(({ kind }) => kind === 'restarted').length;
  await invalidate(api, { prefix: 'k1' });
  for (let death = 0; death < 3; death++) {
    const before = deaths();
    server.signal('SIGUSR2');
    // All that were to die: a thread that has not begun yet hears no order.
    const isOver = () => deaths() > before && deaths() >= orders();
    await eventually(isOver, 'each lane that has died has another thread', 30_000);
  }
  await invalidate(api, { prefix: 'k2' });
  const left = KEYS.filter(key => !/^k[12]/.test(key));
  const shown = async () => (await present(api, KEYS)).join();
  expect(await shown()).toBe(left.join());
  await eventually(async () => (await invalidating(api)) === 0, 'what was invalidated is erased', 30_000);
  expect(await shown()).toBe(left.join());
  api.close();
  await server.stop();
});

describeWithRedis('invalidations of two servers on one Redis', () => {
  let redis: RedisServer;
  const servers: ServerProcess[] = [];

  const open = async (dataDir = makeDataDir(), env: Readonly<Record<string, string>> = {}) => {
    const shared = { HEADRACE_REDIS_URL: redis.url, HEADRACE_REDIS_TIMEOUT: '2s', ...env };
    const server = await startServerProcess({ dataDir, env: shared });
    servers.push(server);
    return { server, api: new ApiClient(server.port) };
  };

  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
  });
  afterAll(async () => {
    for (const server of servers) await server.stop();
    await redis.close();
  });

  test('hold on the other, and after a restart, when the one that was asked is killed at once', async () => {
    const [one, two] = await Promise.all([open(), open()]);
    await fill(one.api);
    expect(await present(two.api, TAGGED)).toEqual(TAGGED);
    await invalidate(one.api, { tags: ['fourth'] });
    await one.server.kill();
    await eventually(async () => (await present(two.api, TAGGED)).length === 0, 'they are gone');
    const again = await open(one.server.dataDir);
    expect(await present(again.api, TAGGED)).toEqual([]);
    // What is put anew is there, on both, while the rest is still to be erased.
    expect(await invalidating(again.api)).toBe(1);
    const key = String(TAGGED[1]);
    const put = await again.api.request('PUT', pathOf(key), 'anew', { 'cache-tags': 'fourth' });
    expect(put.status).toBe(204);
    await eventually(async () => (await two.api.get(pathOf(key))).text === 'anew', 'the other serves it');
    expect(await present(again.api, TAGGED)).toEqual([key]);
    // The next one sees to all.
    await invalidate(two.api, { prefix: 'none' });
    for (const { api } of [two, again])
      await eventually(async () => (await invalidating(api)) === 0, 'what was invalidated is erased', 30_000);
    const left = KEYS.filter(id => !TAGGED.includes(id) || id === key);
    for (const { api } of [two, again]) {
      expect(await present(api, KEYS)).toEqual(left);
      api.close();
    }
  });

  test('and reads are refused, and not misses, while the cache is not known', async () => {
    const config = join(makeDataDir(), 'config.json');
    writeFileSync(
      config,
      JSON.stringify({ caches: { fresh: {}, vectors: { embedding: { dimensions: 2 } } } }),
    );
    const before = await open();
    await before.server.stop();
    before.api.close();
    redis.stop();
    const { server, api } = await open(before.server.dataDir, {
      HEADRACE_CONFIG_FILE: config,
      HEADRACE_REDIS_TIMEOUT: '100ms',
    });
    const path = '/v1/caches/fresh/entries';
    const read = await api.get(`${path}/k`);
    expectProblem(read, 503, 'unavailable');
    expect([read.headers['retry-after'], read.headers['cache-status']]).toEqual([
      '1',
      'headrace; fwd=miss; detail=unavailable',
    ]);
    for (const cache of ['fresh', 'vectors']) {
      const batch = await api.post(`/v1/caches/${cache}/entries:batchGet`, { keys: ['k', 'l'] });
      expect([batch.status, batch.headers['cache-status']]).toEqual([
        200,
        'headrace; fwd=miss; detail=unavailable',
      ]);
      const { entries } = batch.json() as { entries: { status: string }[] };
      expect(entries.map(({ status }) => status)).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    }
    const scored = await api.post('/v1/embeddings/vectors/score', { query: [1, 2], candidates: ['k'] });
    expect(scored.json()).toMatchObject({ matches: [], missing: [], unavailable: ['k'] });
    const { figures } = (await api.get('/v1/caches/vectors')).json() as { figures: unknown };
    const scoring = { questions: 1, scored: 0, missing: 0, unavailable: 1, malformed: 0 };
    const leases = { held: 0, waiting: 0, granted: 0, refused: 0, expired: 0, crowded: 0 };
    expect(figures).toEqual({ leases, scoring });
    expectProblem(await api.post('/v1/caches/fresh/invalidate', { all: true }), 503, 'unavailable');
    redis.resume();
    await eventually(async () => (await api.get(`${path}/k`)).status === 404, 'the cache is known', 30_000);
    api.close();
    await server.stop();
  });
});
