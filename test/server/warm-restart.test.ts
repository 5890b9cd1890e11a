/** A server that is stopped and started again has in memory what was hot before, and nothing that is stale. */

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { open as openLmdb } from '../../src/tiers/lmdb-module.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { ApiClient, recordPath } from './api-client.js';
import { viewBody } from './both-fronts.js';
import { type LogLine, makeDataDir, type ServerProcess, startServerProcess } from './server-process.js';

const COUNT = 4_000;
const HOT_KEYS = 1_000;
const idsFrom = (first: number, count: number) => Array.from({ length: count }, (_, n) => `doc-${first + n}`);
const HOT = idsFrom(0, HOT_KEYS);
const COLD = idsFrom(HOT_KEYS, COUNT - HOT_KEYS);
/** Hits of one record that make it hotter than any other. */
const USES = 6;

interface Instance {
  readonly server: ServerProcess;
  readonly api: ApiClient;
}

async function start(dataDir: string, env: Readonly<Record<string, string>> = {}): Promise<Instance> {
  const server = await startServerProcess({
    dataDir,
    env: { HEADRACE_HOT_KEYS_MAX: String(HOT_KEYS), ...env },
  });
  return { server, api: new ApiClient(server.port) };
}

async function stop({ server, api }: Instance): Promise<void> {
  api.close();
  expect(await server.stop()).toEqual({ code: 0, signal: null });
}

/** Each record's `n` is its number. */
async function fill({ api }: Instance, view = 'docs', count = COUNT): Promise<void> {
  expect((await api.put(`/v1/views/${view}`, viewBody({ n: 'int64' }, { ttl: '1h' }))).status).toBe(201);
  const lines = idsFrom(0, count).map((id, n) => `{"id":"${id}","features":{"n":${n}}}`);
  expect((await api.load(view, lines.join('\n'))).json()).toMatchObject({ applied: count });
}

async function use({ api }: Instance, ids: readonly string[], times = USES, view = 'docs'): Promise<void> {
  for (let time = 0; time < times; time++)
    await api.post(`/v1/views/${view}/lookup`, { ids, features: ['n'] });
}

/** Ids whose record comes from shared memory: nothing is brought there by asking for few others. */
async function inMemory({ api }: Instance, ids: readonly string[], view = 'docs'): Promise<string[]> {
  const answers = await Promise.all(ids.map(id => api.get(recordPath(view, id))));
  return ids.filter((_, n) => String(answers[n]?.headers['cache-status']).startsWith('headrace; hit'));
}

const logged = ({ server }: Instance, message: string): LogLine | undefined =>
  server.log.find(({ msg }) => msg === message);

async function warm(instance: Instance): Promise<LogLine> {
  await eventually(() => logged(instance, 'warm') !== undefined, 'all that was hot is read');
  return logged(instance, 'warm') as LogLine;
}

async function readiness({ server }: Instance): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${server.adminUrl}/readyz`);
  return { status: answer.status, body: await answer.json() };
}

test('what was hot is in memory again, and what was not is not, whatever the number of lanes', async () => {
  const dataDir = makeDataDir();
  const first = await start(dataDir);
  await fill(first);
  await use(first, HOT);
  await stop(first);

  for (const lanes of ['2', '3', '1']) {
    const next = await start(dataDir, { HEADRACE_LANES: lanes });
    const { added, of } = await warm(next);
    // Each lane saves its share of the keys, and shares by hash are not quite equal.
    expect(Number(added)).toBe(Number(of));
    expect(Number(of)).toBeGreaterThan(0.9 * HOT_KEYS);
    expect(Number(of)).toBeLessThanOrEqual(HOT_KEYS);
    expect((await inMemory(next, COLD.slice(0, 500))).length).toBeLessThanOrEqual(0.1 * HOT_KEYS);
    expect((await inMemory(next, HOT)).length).toBeGreaterThan(0.9 * HOT_KEYS);
    expect(await readiness(next)).toEqual({ status: 200, body: { status: 'ready' } });
    await use(next, HOT);
    await stop(next);
  }
});

test('the hottest are read first, at the rate that is set, and it can be watched', async () => {
  const dataDir = makeDataDir();
  const first = await start(dataDir);
  await fill(first);
  const [hottest, others] = [HOT.slice(0, 300), HOT.slice(300)];
  await use(first, HOT, 2);
  await use(first, hottest, 40);
  await stop(first);

  const second = await start(dataDir, { HEADRACE_WARM_RATE: '200' });
  let halfway = { done: 0, of: 0 };
  await eventually(async () => {
    const { status, body } = await readiness(second);
    expect(status).toBe(200);
    halfway = (body as { warming?: typeof halfway }).warming ?? halfway;
    return halfway.of > 0 && halfway.done >= 0.45 * halfway.of;
  }, 'half of it is read');
  expect(halfway.of).toBeGreaterThan(0.9 * HOT_KEYS);
  // A record that is asked for comes into memory: each is asked for once.
  const early = await inMemory(second, others.slice(-100));
  expect((await inMemory(second, hottest)).length).toBe(hottest.length);
  expect(early.length).toBeLessThan(70);
  const { of, tookMs } = await warm(second);
  // At most two batches of 64 are not waited for in each of two lanes, and what was asked for here was not read again.
  expect(Number(tookMs)).toBeGreaterThan(((Number(of) - 4 * 64 - 100) / 200) * 1000);
  expect(logged(second, 'reading what was hot before the start')).toMatchObject({ of });
  await stop(second);

  // A stop in the middle of it leaves the list as it was.
  const third = await start(dataDir, { HEADRACE_WARM_RATE: '50' });
  await stop(third);
  const fourth = await start(dataDir);
  expect(Number((await warm(fourth))['of'])).toBeGreaterThan(0.9 * HOT_KEYS);
  await stop(fourth);
  const off = await start(dataDir, { HEADRACE_WARM_RATE: '0' });
  expect(await inMemory(off, hottest.slice(0, 20))).toEqual([]);
  await stop(off);
});

test('dropped views are skipped, and a list that is damaged is ignored and logged', async () => {
  const dataDir = makeDataDir();
  const first = await start(dataDir);
  await fill(first);
  await fill(first, 'passing', 500);
  await use(first, idsFrom(0, 200));
  await use(first, idsFrom(0, 200), 2 * USES, 'passing');
  await stop(first);
  const second = await start(dataDir, { HEADRACE_WARM_RATE: '0' });
  expect((await second.api.delete('/v1/views/passing')).status).toBe(204);
  await stop(second);

  const third = await start(dataDir);
  const { added, of } = await warm(third);
  expect(Number(of) - Number(added)).toBeGreaterThanOrEqual(200);
  expect((await inMemory(third, idsFrom(0, 200))).length).toBe(200);
  await stop(third);

  await damage(dataDir);
  const fourth = await start(dataDir);
  await eventually(
    () => fourth.server.log.filter(({ msg }) => /hot keys.* damaged/.test(String(msg))).length === 2,
    'both lanes say that it is damaged',
  );
  expect(await inMemory(fourth, idsFrom(0, 20))).toEqual([]);
  expect(logged(fourth, 'warm')).toBeUndefined();
  await stop(fourth);
});

/** Flips a bit of everything that is saved of hot keys. */
async function damage(dataDir: string): Promise<void> {
  const root = openLmdb({ path: join(dataDir, 'headrace.mdb'), maxDbs: 8, overlappingSync: false });
  const hotKeys = root.openDB<Buffer, string>({ name: 'hot-keys', encoding: 'binary' });
  let flipped = 0;
  for (const name of [...hotKeys.getKeys()]) {
    if (name.endsWith('current')) continue;
    const chunk = Buffer.from(hotKeys.getBinary(name) ?? []);
    chunk.writeUInt8(chunk.readUInt8(chunk.length >> 1) ^ 1, chunk.length >> 1);
    await hotKeys.put(name, chunk);
    flipped++;
  }
  expect(flipped).toBeGreaterThanOrEqual(2);
  await root.close();
}

describeWithRedis('on Redis', () => {
  test('what changed while the server was down is served as changed', async () => {
    const redis = await RedisServer.start();
    const env = { HEADRACE_REDIS_URL: redis.url, HEADRACE_REDIS_TIMEOUT: '1s' };
    const [dataDir, otherDir] = [makeDataDir(), makeDataDir()];
    const first = await start(dataDir, env);
    await eventually(
      () => first.server.log.filter(({ msg }) => msg === 'redis tells of changes').length === 2,
      'changes are told of',
    );
    await fill(first);
    await use(first, HOT);
    const other = await start(otherDir, env);
    await stop(first);
    const changed = HOT.slice(0, 100);
    const lines = changed.map(id => `{"id":"${id}","features":{"n":-1}}`);
    expect((await other.api.load('docs', lines.join('\n'))).json()).toMatchObject({ applied: 100 });
    const deleted = HOT.slice(100, 110);
    for (const id of deleted) expect((await other.api.delete(recordPath('docs', id))).status).toBe(204);

    const again = await start(dataDir, env);
    const { added } = await warm(again);
    expect(Number(added)).toBeGreaterThan(0.9 * HOT_KEYS);
    const looked = await again.api.post('/v1/views/docs/lookup', { ids: HOT, features: ['n'] });
    const { columns } = looked.json() as { columns: (number | null)[][] };
    expect(columns[0]?.slice(0, 100)).toEqual(changed.map(() => -1));
    expect(columns[0]?.slice(100, 110)).toEqual(deleted.map(() => null));
    expect(columns[0]?.slice(110)).toEqual(HOT.slice(110).map((_, n) => n + 110));
    // Copies that are told of: a change by the other reaches what was warmed.
    const [, , , , , id = ''] = HOT;
    expect(await inMemory(again, [id])).toEqual([id]);
    await other.api.put(recordPath('docs', id), { features: { n: 77 } });
    await eventually(
      async () => (await again.api.get(recordPath('docs', id))).text.includes('"n":77'),
      'the change is served',
    );
    await stop(again);
    await stop(other);
    await redis.close();
  }, 60_000);
});

describe('embedded', () => {
  test('what was changed and deleted while the table was warming is served as it is', async () => {
    const dataDir = makeDataDir();
    const first = await start(dataDir);
    await fill(first);
    await use(first, HOT);
    await stop(first);
    const second = await start(dataDir, { HEADRACE_WARM_RATE: '1000' });
    const lines = HOT.map(id => `{"id":"${id}","features":{"n":-2}}`);
    expect((await second.api.load('docs', lines.join('\n'))).json()).toMatchObject({ applied: HOT_KEYS });
    await warm(second);
    const looked = await second.api.post('/v1/views/docs/lookup', { ids: HOT, features: ['n'] });
    expect(looked.json()).toMatchObject({ columns: [HOT.map(() => -2)] });
    await stop(second);
  });
});
