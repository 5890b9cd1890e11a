/** Caches that are switched off and on while the server runs: off, nothing is served or kept; on again, nothing that is out of date. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { type Answer, ApiClient } from './api-client.js';
import { expectProblem, placesOf } from './both-fronts.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

interface Instance {
  readonly server: ServerProcess;
  readonly api: ApiClient;
  readonly admin: ApiClient;
}

const started: Instance[] = [];
afterAll(async () => {
  for (const { server, api, admin } of started) {
    api.close();
    admin.close();
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(server.errorOutput).toBe('');
  }
});

async function open(env: Readonly<Record<string, string>> = {}): Promise<Instance> {
  const server = await startServerProcess({ env });
  const instance = { server, api: new ApiClient(server.port), admin: new ApiClient(server.adminPort) };
  started.push(instance);
  return instance;
}

const pathOf = (cache: string, key: string) => `/v1/caches/${cache}/entries/${encodeURIComponent(key)}`;
const statusOf = ({ status, headers }: Answer) => [status, headers['cache-status']];
const OFF = [404, 'headrace; fwd=bypass'];

async function switched({ admin }: Instance, path: string, enabled: boolean): Promise<unknown> {
  const answer = await admin.post(`/admin/caches${path}`, { enabled });
  expect([answer.status, answer.status === 200 ? '' : answer.text]).toEqual([200, '']);
  return answer.json();
}

test('one cache: reads are misses, writes are not kept, and what they replace is gone afterwards', async () => {
  const one = await open();
  const { api, admin } = one;
  const put = (key: string, body: string) => api.put(pathOf('results', key), body);
  for (const key of ['kept', 'deleted', 'written', 'invalidated', 'tagged'])
    await api.request('PUT', pathOf('results', key), `old ${key}`, { 'cache-tags': `of-${key}` });
  await api.put(pathOf('popular', 'kept'), 'other');

  expect(await switched(one, '/results', false)).toEqual({ cache: 'results', enabled: false });
  for (const key of ['kept', 'deleted', 'never'])
    expect(statusOf(await api.get(pathOf('results', key)))).toEqual(OFF);
  const batch = await api.post('/v1/caches/results/entries:batchGet', { keys: ['kept'] });
  expect(statusOf(batch)).toEqual([200, 'headrace; fwd=bypass']);
  expect(batch.json()).toEqual({ cache: 'results', entries: [{ key: 'kept', status: 'NOT_FOUND' }] });
  expect(((await api.get('/v1/caches/results')).json() as { enabled: boolean }).enabled).toBe(false);
  expect((await admin.get('/admin/caches/results')).json()).toEqual({ cache: 'results', enabled: false });
  // Others go on.
  expect((await api.get(pathOf('popular', 'kept'))).text).toBe('other');

  expect(statusOf(await put('written', 'new'))).toEqual([204, 'headrace; fwd=method; stored=?0']);
  await put('fresh', 'new');
  expect((await api.delete(pathOf('results', 'deleted'))).status).toBe(204);
  await api.post('/v1/caches/results/invalidate', { ids: ['invalidated'] });
  await api.post('/v1/caches/results/invalidate', { tags: ['of-tagged'] });

  expect(await switched(one, '/results', true)).toEqual({ cache: 'results', enabled: true });
  expect((await api.get(pathOf('results', 'kept'))).text).toBe('old kept');
  for (const key of ['written', 'fresh', 'deleted', 'invalidated', 'tagged'])
    expectProblem(await api.get(pathOf('results', key)), 404, 'entry-not-found');
  expect(statusOf(await put('written', 'newer'))).toEqual([204, 'headrace; fwd=method; stored']);
  expect((await api.get(pathOf('results', 'written'))).text).toBe('newer');
});

test('all caches at once; features go on being served', async () => {
  const one = await open();
  const { api, admin } = one;
  await api.put(pathOf('results', 'k'), 'x');
  await api.put('/v1/views/docs', { entity: 'doc', features: { n: 'int64' } });
  await api.put('/v1/views/docs/records/a', { features: { n: 7 } });
  const names = (
    (await admin.get('/admin/caches')).json() as { caches: { cache: string; enabled: boolean }[] }
  ).caches.map(({ cache }) => cache);
  expect(names).toContain('embeddings');
  expect(await switched(one, '', false)).toEqual({ caches: names.map(cache => ({ cache, enabled: false })) });
  for (const name of names) expect(statusOf(await api.get(pathOf(name, 'k')))).toEqual(OFF);
  expect((await api.get('/v1/views/docs/records/a')).json()).toMatchObject({ features: { n: 7 } });
  await switched(one, '', true);
  expect((await api.get(pathOf('results', 'k'))).text).toBe('x');
  const told = one.server.log.filter(({ caches }) => caches !== undefined).map(({ msg }) => msg);
  expect(told).toEqual(['switched off', 'switched on']);
});

test('is asked for with a body, and with the key of the operator', async () => {
  const { admin, api } = await open({ HEADRACE_ADMIN_KEY: 'a-long-enough-secret-key' });
  const key = { authorization: 'Bearer a-long-enough-secret-key' };
  expectProblem(await admin.post('/admin/caches', { enabled: false }), 401, 'unauthorised');
  expectProblem(await admin.get('/admin/caches'), 401, 'unauthorised');
  const cases = [
    ['{}', ['enabled']],
    ['{"enabled":"no"}', ['enabled', 'enabled']],
    ['{"enabled":false,"ttl":"1h"}', ['ttl']],
    ['[]', ['the body']],
  ] as const;
  for (const [body, places] of cases) {
    const problem = expectProblem(await admin.post('/admin/caches/results', body, key), 400, 'bad-request');
    expect([body, placesOf(problem)]).toEqual([body, places]);
  }
  expectProblem(await admin.post('/admin/caches/results', '{', key), 400, 'bad-json');
  expectProblem(await admin.post('/admin/caches/none', { enabled: false }, key), 404, 'cache-not-found');
  expectProblem(await admin.post('/admin/cachesx', { enabled: false }, key), 404, 'not-found');
  expectProblem(await admin.request('DELETE', '/admin/caches', undefined, key), 405, 'method-not-allowed');
  expectProblem(await admin.post('/admin/caches', 'x'.repeat(2_000), key), 413, 'body-too-large');
  // None of it has switched anything, and the data port knows nothing of it.
  await api.put(pathOf('results', 'k'), 'x');
  expect((await api.get(pathOf('results', 'k'))).text).toBe('x');
  expectProblem(await api.post('/admin/caches', { enabled: false }), 404, 'not-found');
});

describeWithRedis('a cache that one of two servers has switched off', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
  });
  afterAll(() => redis.close());

  test('is not served out of date by the other, nor later by the one', async () => {
    const env = { HEADRACE_REDIS_URL: redis.url, HEADRACE_REDIS_TIMEOUT: '2s' };
    const [one, two] = await Promise.all([open(env), open(env)]);
    await eventually(
      () =>
        [one, two].every(
          ({ server }) => server.log.filter(({ msg }) => msg === 'redis tells of changes').length >= 2,
        ),
      'both are told of changes',
    );
    await one.api.put(pathOf('results', 'k'), 'old');
    await eventually(async () => (await two.api.get(pathOf('results', 'k'))).text === 'old', 'both have it');
    await switched(one, '/results', false);
    await one.api.put(pathOf('results', 'k'), 'new');
    await eventually(async () => (await two.api.get(pathOf('results', 'k'))).status === 404, 'it is gone');
    await two.api.put(pathOf('results', 'k'), 'newer');
    await switched(one, '/results', true);
    await eventually(async () => (await one.api.get(pathOf('results', 'k'))).text === 'newer', 'it is newer');
  });
});
