/** Two servers that keep their records in one Redis: what one is told, the other serves. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithRedis, eventually, freePort, RedisServer } from '../support/redis-server.js';
import { ApiClient, recordPath } from './api-client.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

const VIEW = { entity: 'doc', ttl: '1h', features: { n: 'int64', text: 'string' } };

interface Instance {
  readonly server: ServerProcess;
  readonly api: ApiClient;
}

describeWithRedis('two servers on one Redis', () => {
  let redis: RedisServer;
  let one: Instance;
  let two: Instance;

  const open = async (): Promise<Instance> => {
    const env = {
      HEADRACE_REDIS_URL: redis.url,
      HEADRACE_REDIS_TIMEOUT: '1s',
      HEADRACE_BREAKER_HALF_OPEN: '200ms',
    };
    const server = await startServerProcess({ env });
    return { server, api: new ApiClient(server.port) };
  };

  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
    [one, two] = [await open(), await open()];
    expect((await one.api.put('/v1/views/docs', VIEW)).status).toBe(201);
    await eventually(
      async () => (await two.api.get('/v1/views/docs')).status === 200,
      'the view is known to both',
    );
    await eventually(
      () => [one, two].every(({ server }) => tellings(server) >= 2),
      'both are told of changes',
    );
  }, 60_000);

  afterAll(async () => {
    for (const { server, api } of [one, two]) {
      api.close();
      expect(await server.stop()).toEqual({ code: 0, signal: null });
    }
    await redis.close();
  });

  const read = async ({ api }: Instance, id: string) => {
    const answer = await api.get(recordPath('docs', id));
    const n =
      answer.status === 200 ? (answer.json() as { features: { n: number } }).features.n : answer.status;
    return { n, from: String(answer.headers['cache-status']) };
  };
  const put = async ({ api }: Instance, id: string, n: number) => {
    const answer = await api.put(recordPath('docs', id), { features: { n, text: `n ${n}` } });
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('"applied":true')]);
  };

  test('a record written on one is served by the other, from memory the second time', async () => {
    await put(one, 'a', 1);
    expect(await read(two, 'a')).toMatchObject({ n: 1, from: expect.stringContaining('fwd=miss') });
    expect(await read(two, 'a')).toMatchObject({ n: 1, from: expect.stringContaining('hit') });
  });

  test('a change, a deletion and a new record reach the copies that the other holds', async () => {
    await put(one, 'b', 1);
    await read(two, 'b');
    expect((await read(two, 'b')).from).toContain('hit');
    await put(one, 'b', 2);
    await eventually(async () => (await read(two, 'b')).n === 2, 'the change is served');
    await one.api.delete(recordPath('docs', 'b'));
    await eventually(async () => (await read(two, 'b')).n === 404, 'the deletion is served');
    // It is remembered as absent, until it is there again.
    expect((await read(two, 'b')).n).toBe(404);
    await put(one, 'b', 3);
    await eventually(async () => (await read(two, 'b')).n === 3, 'the new record is served');
  });

  test('the larger version wins, whoever writes it', async () => {
    const write = (at: Instance, n: number, version: number) =>
      at.api.put(recordPath('docs', 'c'), { features: { n, text: '' }, version });
    expect((await write(one, 1, 10)).json()).toEqual({ id: 'c', version: 10, applied: true });
    expect((await write(two, 2, 9)).json()).toEqual({ id: 'c', version: 10, applied: false });
    expect((await write(two, 3, 11)).json()).toEqual({ id: 'c', version: 11, applied: true });
    await eventually(async () => (await read(one, 'c')).n === 3, 'the larger version is served');
  });

  test('a view that is dropped and made anew on one is another view on both', async () => {
    expect((await one.api.put('/v1/views/passing', VIEW)).status).toBe(201);
    const path = recordPath('passing', 'a');
    expect((await one.api.put(path, { features: { n: 1, text: '' } })).status).toBe(200);
    await eventually(async () => (await two.api.get(path)).status === 200, 'the record is served by both');
    expect((await two.api.delete('/v1/views/passing')).status).toBe(204);
    await eventually(async () => (await one.api.get('/v1/views/passing')).status === 404, 'it is gone');
    expect((await two.api.put('/v1/views/passing', VIEW)).status).toBe(201);
    await eventually(
      async () => (await one.api.get('/v1/views/passing')).status === 200,
      'it is there again',
    );
    expect((await one.api.get(path)).status).toBe(404);
    expect((await two.api.get(path)).status).toBe(404);
  });

  test('a Redis that dies takes no server with it, and is used again when it is back', async () => {
    await put(one, 'd', 1);
    await redis.kill();
    const lost = await one.api.post('/v1/views/docs/lookup', { ids: ['never-asked'], features: ['n'] });
    expect([lost.status, (lost.json() as { statuses: string[] }).statuses]).toEqual([200, ['UNAVAILABLE']]);
    expect((await one.api.put(recordPath('docs', 'd'), { features: { n: 2, text: '' } })).status).toBe(503);
    await redis.restart();
    await eventually(async () => (await read(one, 'd')).n === 1, 'it is read again', 40_000);
    const body = { features: { n: 3, text: '' } };
    const write = () => one.api.put(recordPath('docs', 'd'), body);
    await eventually(async () => (await write()).status === 200, 'and written', 40_000);
    await eventually(async () => (await read(two, 'd')).n === 3, 'and read by the other', 40_000);
  }, 90_000);
});

describeWithRedis('a server whose Redis is not there yet', () => {
  test('waits for it when it starts', async () => {
    const port = await freePort();
    const starting = startServerProcess({ env: { HEADRACE_REDIS_URL: `redis://127.0.0.1:${port}` } });
    const refused = await fetch(`http://127.0.0.1:${port}`).then(
      () => false,
      () => true,
    );
    expect(refused).toBe(true);
    const redis = await RedisServer.start([], port);
    const server = await starting;
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    await redis.close();
  });
});

/** How many lanes have said that Redis tells them of changes. */
function tellings({ log }: ServerProcess): number {
  return log.filter(({ msg }) => msg === 'redis tells of changes').length;
}
