/**
 * A tier that gets one call: when that one meets a fault, the breaker is open within a second of it, with the default
 * options.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { printConfig, readConfig } from '../../src/config.js';
import { ApiClient, recordPath } from '../server/api-client.js';
import { startServerProcess } from '../server/server-process.js';
import { FerretDbServer, noOwnServer } from '../support/mongo-server.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { breakerChanges, OPEN_MS_MAX } from './scene.js';

/** The tests' own default is longer. */
const DEADLINE = printConfig(readConfig({})).get('deadline') ?? '';
const BODY = { features: { n: 1 } };

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function hurt(
  tier: 'redis' | 'mongodb',
  env: Readonly<Record<string, string>>,
  begin: () => unknown,
): Promise<void> {
  const server = await startServerProcess({
    env: { HEADRACE_LANES: '1', HEADRACE_DEADLINE: DEADLINE, ...env },
  });
  closers.push(() => server.stop());
  const api = new ApiClient(server.port);
  closers.push(() => api.close());
  const put = () => api.put(recordPath('docs', 'a'), BODY);
  const view = { entity: 'doc', ttl: '1h', features: { n: 'int64' } };
  await eventually(async () => (await api.put('/v1/views/docs', view)).status < 300, 'the view is declared');
  await eventually(async () => (await put()).status === 200, 'a write is taken');
  await eventually(() => breakerChanges(server, tier).at(-1)?.to !== 'open', 'the breaker is closed');
  const before = breakerChanges(server, tier).length;
  await begin();
  const begunMs = Date.now();
  const answer = put();
  await eventually(() => breakerChanges(server, tier).length > before, 'the breaker opens');
  const { to, atMs } = breakerChanges(server, tier)[before] ?? { to: '', atMs: 0 };
  console.log(`${tier}: one write, breaker ${to} after ${atMs - begunMs} ms`);
  expect(to).toBe('open');
  expect(atMs - begunMs).toBeLessThanOrEqual(OPEN_MS_MAX);
  await answer;
}

describeWithRedis('one write to Redis, the store of record', () => {
  test.each(['stop', 'kill'] as const)('that met its %s', async fault => {
    const redis = await RedisServer.start();
    closers.push(() => redis.close());
    await hurt('redis', { HEADRACE_REDIS_URL: redis.url }, () => redis[fault]());
  });
});

describe.skipIf(noOwnServer !== undefined)('one write to MongoDB', () => {
  test.each(['stop', 'kill'] as const)('that met its %s', async fault => {
    const mongo = await FerretDbServer.start();
    closers.push(() => mongo.close());
    await hurt('mongodb', { HEADRACE_MONGODB_URL: mongo.url() }, () => mongo[fault]());
  });
});
