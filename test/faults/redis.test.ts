/** Redis as the store of record fails in the ways it can, under load. */
import { afterEach, test } from 'vitest';
import { SEED } from '../base/seeded.js';
import { type ProxyMode, RedisProxy } from '../support/redis-proxy.js';
import { describeWithRedis, RedisServer } from '../support/redis-server.js';
import { FAULT_MS, networkFault, play, type Scene } from './scene.js';

const TIMEOUT = { timeout: 60_000 + FAULT_MS };
/** What is acknowledged is in a file that survives the process. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'everysec'];

describeWithRedis('Redis as the store of record', () => {
  const servers: RedisServer[] = [];
  const start = async (args: readonly string[]) => {
    const redis = await RedisServer.start(args);
    servers.push(redis);
    return { redis, env: { HEADRACE_REDIS_URL: redis.url } };
  };
  afterEach(async () => {
    for (const redis of servers.splice(0)) await redis.close();
  });

  test('stopped', TIMEOUT, async () => {
    const { redis, env } = await start(DURABLE);
    await play({
      name: 'Redis stopped',
      env,
      fault: { begin: () => redis.stop(), end: () => redis.resume() },
      hurt: ['other', 'write'],
      breaker: 'redis',
    });
  });

  test('killed and restarted', TIMEOUT, async () => {
    const { redis, env } = await start(DURABLE);
    await play({
      name: 'Redis killed',
      env,
      fault: { begin: () => redis.kill(), end: () => redis.restart() },
      hurt: ['other', 'write'],
      breaker: 'redis',
    });
  });

  test('restarted empty', TIMEOUT, async () => {
    const { redis, env } = await start([]);
    await play({
      name: 'Redis restarted empty',
      env,
      fault: { begin: () => redis.kill(), end: () => redis.restart() },
      hurt: ['other', 'write'],
      breaker: 'redis',
      leave: { mayLose: true },
    });
  });

  test('out of memory', TIMEOUT, async () => {
    const { redis, env } = await start([...DURABLE, '--maxmemory-policy', 'noeviction']);
    await play({
      name: 'Redis out of memory',
      env,
      fault: {
        begin: () => redis.admin.config('SET', 'maxmemory', '1'),
        end: () => redis.admin.config('SET', 'maxmemory', '0'),
      },
      // It answers reads, and its refusal of writes is no failure: the breaker stays closed.
      unhurt: ['hot', 'other'],
      hurt: ['write'],
    });
  });

  test.each<[ProxyMode, Pick<Scene, 'hurt' | 'breaker'>]>([
    ['hold', { hurt: ['other', 'write'], breaker: 'redis' }],
    ['delay', { hurt: ['other', 'write'], breaker: 'redis' }],
    ['cut', { hurt: ['other', 'write'], breaker: 'redis' }],
    ['half-close', { hurt: ['other', 'write'], breaker: 'redis' }],
    ['corrupt', {}],
    ['garbage', { hurt: ['other', 'write'], breaker: 'redis' }],
  ])('behind a network that fails: %s', TIMEOUT, async (mode, expected) => {
    const { redis } = await start(DURABLE);
    const proxy = await RedisProxy.start(redis.port, SEED);
    try {
      await play({
        name: `Redis behind a network that fails: ${mode}`,
        env: { HEADRACE_REDIS_URL: proxy.url },
        fault: networkFault(proxy, mode),
        ...expected,
      });
    } finally {
      proxy.close();
    }
  });
});
