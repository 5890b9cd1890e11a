/** Two servers that keep their entries in one Redis: what one is told of them, the other serves. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

interface Instance {
  readonly server: ServerProcess;
  readonly api: ApiClient;
}

const pathOf = (key: string) => `/v1/caches/results/entries/${encodeURIComponent(key)}`;
const KEYS = ['a:1', 'a:2', 'b:1', 'b:2'];

describeWithRedis('entries of two servers on one Redis', () => {
  let redis: RedisServer;
  let one: Instance;
  let two: Instance;

  const open = async (): Promise<Instance> => {
    const env = { HEADRACE_REDIS_URL: redis.url, HEADRACE_REDIS_TIMEOUT: '2s' };
    const server = await startServerProcess({ env });
    return { server, api: new ApiClient(server.port) };
  };

  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
    // Both at once: each makes the views of the caches, or finds them made.
    [one, two] = await Promise.all([open(), open()]);
    const tellings = ({ log }: ServerProcess) =>
      log.filter(({ msg }) => msg === 'redis tells of changes').length;
    await eventually(
      () => [one, two].every(({ server }) => tellings(server) >= 2),
      'both are told of changes',
    );
  }, 60_000);

  afterAll(async () => {
    for (const { server, api } of [one, two]) {
      api.close();
      expect(await server.stop()).toEqual({ code: 0, signal: null });
      expect(server.errorOutput).toBe('');
    }
    await redis.close();
  });

  const put = async ({ api }: Instance, key: string, body: string) =>
    expect((await api.request('PUT', pathOf(key), body, { 'cache-tags': `tag:${key[2]}` })).status).toBe(204);
  const read = async ({ api }: Instance, key: string) => {
    const { status, text } = await api.get(pathOf(key));
    return status === 200 ? text : status;
  };
  const isHit = async ({ api }: Instance, key: string) =>
    /; hit; /.test(String((await api.get(pathOf(key))).headers['cache-status']));

  test('are served by both, each time the newest, whoever wrote it', async () => {
    await put(one, 'k', 'first');
    expect(await read(two, 'k')).toBe('first');
    expect(await isHit(two, 'k')).toBe(true);
    await put(two, 'k', 'second');
    expect(await read(two, 'k')).toBe('second');
    await eventually(async () => (await read(one, 'k')) === 'second', 'the other serves it too');
    await one.api.delete(pathOf('k'));
    expect(await read(one, 'k')).toBe(404);
    await eventually(async () => (await read(two, 'k')) === 404, 'it is gone from the other too');
    await put(two, 'k', 'third');
    await eventually(async () => (await read(one, 'k')) === 'third', 'and back again');
  });

  test.each([
    [{ ids: ['a:2', 'none'] }, ['a:2']],
    [{ prefix: 'a:' }, ['a:1', 'a:2']],
    [{ tags: ['tag:1'] }, ['a:1', 'b:1']],
    [{ pattern: '*:2' }, ['a:2', 'b:2']],
    [{ all: true }, KEYS],
  ])('that are invalidated by %j on one are gone from both, and no others', async (body, gone) => {
    for (const key of KEYS) await put(one, key, key);
    // Until the news of the writes have come, what is read is not kept.
    await eventually(async () => {
      for (const key of KEYS) expect(await read(two, key)).toBe(key);
      return (await Promise.all(KEYS.map(key => isHit(two, key)))).every(hit => hit);
    }, 'the other has them in memory');
    const answer = await one.api.post('/v1/caches/results/invalidate', body);
    // Of all, those are counted that were in memory; what else is meant only the walk knows.
    const count = 'all' in body ? expect.any(Number) : 'ids' in body ? gone.length : null;
    expect([answer.status, answer.json()]).toEqual([200, { invalidated: count }]);
    const left = KEYS.map(key => (gone.includes(key) ? 404 : key));
    expect(await Promise.all(KEYS.map(key => read(one, key)))).toEqual(left);
    await eventually(
      async () => (await Promise.all(KEYS.map(key => read(two, key)))).join() === left.join(),
      'they are gone from the other',
    );
    for (const key of KEYS) await put(two, key, `${key} anew`);
    await eventually(
      async () =>
        (await Promise.all(KEYS.map(key => read(one, key)))).join() === KEYS.map(key => `${key} anew`).join(),
      'they can be put again',
    );
  });

  test('are gone from both when Redis is flushed, and can be put and invalidated again', async () => {
    await put(one, 'k', 'first');
    expect(await read(two, 'k')).toBe('first');
    await redis.admin.flushall();
    const reads = () => Promise.all([one, two].map(instance => read(instance, 'k')));
    // The caches are made anew meanwhile: they are not ready for a moment, and what was put just before is gone too.
    await eventually(async () => {
      await one.api.request('PUT', pathOf('k'), 'second');
      return (await reads()).join() === 'second,second';
    }, 'both serve it');
    const body = { prefix: 'k' };
    await eventually(
      async () => (await two.api.post('/v1/caches/results/invalidate', body)).status === 200,
      'it is invalidated',
    );
    await eventually(async () => (await reads()).join() === '404,404', 'it is gone from both');
  });
});
