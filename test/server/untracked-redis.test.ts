/** Two servers on one Redis that may not tell them of changes: what one is told, the other serves soon all the same. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { ApiClient, recordPath } from './api-client.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

const VIEW = { entity: 'doc', ttl: '1h', features: { n: 'int64' } };
/** Far longer than `HEADRACE_STALE_MAX` below, for a machine that is busy. */
const SOON_MS = 10_000;

describeWithRedis('two servers on a Redis whose user may not hear of changes', () => {
  let redis: RedisServer;
  const servers: { readonly process: ServerProcess; readonly api: ApiClient }[] = [];

  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
    await redis.admin.acl('SETUSER', 'deaf', 'on', '>secret', '~*', '+@all', 'resetchannels');
    for (let server = 0; server < 2; server++) {
      const env = {
        HEADRACE_REDIS_URL: redis.url.replace('//', '//deaf:secret@'),
        HEADRACE_REDIS_TIMEOUT: '5s',
        HEADRACE_STALE_MAX: '20ms',
      };
      const process = await startServerProcess({ env });
      servers.push({ process, api: new ApiClient(process.port) });
      if (server === 0) expect((await servers[0]?.api.put('/v1/views/docs', VIEW))?.status).toBe(201);
    }
  }, 60_000);

  afterAll(async () => {
    for (const { process, api } of servers) {
      api.close();
      await process.stop();
    }
    await redis.close();
  });

  test('no copy on disk outlives a change that nobody told of', async () => {
    const [one, two] = servers.map(({ api }) => api) as [ApiClient, ApiClient];
    const read = async () => {
      const answer = await two.get(recordPath('docs', 'a'));
      return answer.status === 200 ? (answer.json() as { features: { n: number } }).features.n : undefined;
    };
    for (let n = 1; n <= 5; n++) {
      expect((await one.put(recordPath('docs', 'a'), { features: { n } })).status).toBe(200);
      await eventually(async () => (await read()) === n, `the change to ${n} is served`, SOON_MS);
      // From whatever the other keeps now; its memory has let go of it several times meanwhile.
      const until = performance.now() + 100;
      await eventually(async () => (await read()) === n && performance.now() > until, 'it is served on');
    }
  }, 90_000);
});
