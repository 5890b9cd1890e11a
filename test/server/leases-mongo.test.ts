/** Leases of two servers that keep their entries in MongoDB: alone, where nobody tells of changes, and with Redis above it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noServer, testDatabaseUrl } from '../support/mongo-server.js';
import { eventually, RedisServer, redisMissing } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { LeaseClient, leaseEnvironment } from './lease-client.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

const isWithoutRedis = redisMissing !== undefined && process.env['CI'] !== 'true';
if (isWithoutRedis) console.warn(`skipped: leases of two servers on MongoDB below Redis: ${redisMissing}`);
const STORES: readonly (readonly [where: string, isBelow: boolean])[] = [
  ['alone', false],
  ...(isWithoutRedis ? [] : [['below Redis', true] as const]),
];

describe.skipIf(noServer !== undefined).each(STORES)('leases of two servers on MongoDB %s', (_, isBelow) => {
  let redis: RedisServer | undefined;
  let servers: readonly ServerProcess[] = [];
  let apis: readonly ApiClient[] = [];
  let keys = 0;
  const freshKey = () => `key ${++keys}`;
  const clients = () => apis.map(api => new LeaseClient(api)) as [LeaseClient, LeaseClient];

  beforeAll(async () => {
    const url = await testDatabaseUrl();
    redis = isBelow ? await RedisServer.start() : undefined;
    const env = {
      HEADRACE_REDIS_URL: redis?.url ?? '',
      HEADRACE_REDIS_TIMEOUT: '2s',
      HEADRACE_MONGODB_URL: url,
      HEADRACE_MONGODB_TIMEOUT: '5s',
      ...leaseEnvironment(),
    };
    servers = [await startServerProcess({ env }), await startServerProcess({ env })];
    apis = servers.map(({ port }) => new ApiClient(port));
  }, 60_000);

  afterAll(async () => {
    for (const api of apis) api.close();
    for (const server of servers) {
      expect(await server.stop()).toEqual({ code: 0, signal: null });
      expect(server.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
    }
    await redis?.close();
  });

  test('are given by one and good at both, and wake whoever waits at the other', async () => {
    const [one, two] = clients();
    const key = freshKey();
    const token = await one.lease(key);
    expect(await two.read(key)).toMatchObject({ status: 404, lease: undefined, retryAfter: /./ });
    const waiting = [one.read(key, '30s'), two.read(key, '30s'), two.read(key, '30s')];
    await eventually(async () => (await two.figures()).waiting === 2, 'both wait');
    await two.fill(key, 'made', token);
    for (const answer of await Promise.all(waiting))
      expect(answer).toMatchObject({ status: 200, text: 'made', lease: undefined });
    await one.expectRefused(key, 'again', token);
  });

  test('are void after a write or a deletion at the other, and follow a deletion', async () => {
    const [one, two] = clients();
    const key = freshKey();
    const first = await one.lease(key);
    await two.put(key, 'by another');
    await one.expectRefused(key, 'of before', first);
    await two.remove(key);
    const next = await two.lease(key);
    await one.remove(key);
    for (const client of [one, two]) await client.expectRefused(key, 'of before', next);
  });

  test('go with what is stale to one caller of both', async () => {
    const [one, two] = clients();
    const key = freshKey();
    await one.put(key, 'stale', '', { 'cache-control': 'max-age=0, stale-while-revalidate=60' });
    const reads = [await one.read(key), await two.read(key), await one.read(key), await two.read(key)];
    expect(reads.map(({ text }) => text)).toEqual(Array(4).fill('stale'));
    const tokens = reads.flatMap(({ lease }) => lease ?? []);
    expect(tokens.length).toBe(1);
    await two.fill(key, 'fresh', tokens[0] ?? '');
    expect((await two.read(key)).text).toBe('fresh');
  });
});
