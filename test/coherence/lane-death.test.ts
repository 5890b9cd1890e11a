/** A lane that dies takes the news of other servers' changes with it: nothing may be served on as if they were told of. */
import { expect, test } from 'vitest';
import { ApiClient, recordPath } from '../server/api-client.js';
import { startServerProcess } from '../server/server-process.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';

const VIEW = { entity: 'doc', ttl: '1h', features: { n: 'int64' } };
const IDS = Array.from({ length: 40 }, (_, n) => `id${n}`);
/** Of a lane that dies every half a second or so, no thread lives so long. */
const STALE_MAX_MS = 5_000;
/** What a busy machine may add. */
const MARGIN_MS = 4_000;
const LANE_KILLER = new URL('../server/lane-killer.js', import.meta.url).href;

describeWithRedis('lanes that die again and again while nobody can be told of changes', () => {
  test('leave nothing that would be served for as long as that lasts', async () => {
    const redis = await RedisServer.start();
    const env = {
      HEADRACE_REDIS_URL: redis.url,
      HEADRACE_REDIS_TIMEOUT: '1s',
      HEADRACE_STALE_MAX: `${STALE_MAX_MS}ms`,
    };
    const [here, there] = await Promise.all([
      startServerProcess({ env, nodeArgs: ['--import', LANE_KILLER] }),
      startServerProcess({ env }),
    ]);
    const [reader, writer] = [new ApiClient(here.port), new ApiClient(there.port)];
    const logged = (message: string) => here.log.filter(({ msg }) => msg === message).length;
    const restarts = () => here.log.filter(({ kind }) => kind === 'restarted').length;
    const writeAll = (n: number) =>
      Promise.all(IDS.map(id => writer.put(recordPath('docs', id), { features: { n } })));
    const readAll = async () => {
      const answer = await reader.post('/v1/views/docs/lookup', { ids: IDS });
      return {
        ns: (answer.json() as { columns: number[][] }).columns[0],
        from: answer.headers['cache-status'],
      };
    };

    await writer.put('/v1/views/docs', VIEW);
    await eventually(() => logged('redis tells of changes') >= 2, 'both lanes are told of changes');
    await eventually(async () => (await reader.get('/v1/views/docs')).status === 200, 'the view is known');
    await writeAll(1);
    await eventually(async () => {
      const { ns, from } = await readAll();
      return ns?.every(n => n === 1) && String(from).includes('hit');
    }, 'all is in memory');

    await redis.admin.call('ACL', 'SETUSER', 'default', '-client|tracking');
    const kill = async () => {
      const before = restarts();
      here.signal('SIGUSR2');
      await eventually(() => restarts() > before, 'a lane has died and was replaced');
    };
    await kill();
    await writeAll(2);
    const deaths = restarts();
    await eventually(
      async () => {
        await kill();
        return (await readAll()).ns?.every(n => n === 2);
      },
      'all that was written is read, while lanes go on dying',
      STALE_MAX_MS + MARGIN_MS,
    );
    expect(restarts()).toBeGreaterThan(deaths);

    for (const client of [reader, writer]) client.close();
    await Promise.all([here.stop(), there.stop()]);
    await redis.close();
  });
});
