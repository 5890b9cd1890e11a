/** The pings of the tiers: answered by whoever is there, by nobody when nobody is, and leaving nothing behind. */
import { afterEach, describe, expect, test } from 'vitest';
import { openTestMongo } from '../support/mongo-fixture.js';
import { FerretDbServer, noOwnServer } from '../support/mongo-server.js';
import { RedisTestCluster } from '../support/redis-cluster.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { openRedisTier } from '../tiers/redis-fixture.js';

const TIMEOUT_MS = 300;
const PINGS = 20;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

describeWithRedis('the ping of Redis', () => {
  const timeouts = { commandTimeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS };

  test('is answered while the server is, and fails in time while it is not', async () => {
    const redis = await RedisServer.start();
    closers.push(() => redis.close());
    const { tier, close } = await openRedisTier(redis.url, {}, timeouts);
    closers.push(close);
    await tier.ping();
    redis.stop();
    await expect(tier.ping()).rejects.toMatchObject({ code: 'unavailable' });
    redis.resume();
    await eventually(() => tier.ping().then(() => true), 'it is answered again');
    await redis.kill();
    await expect(tier.ping()).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('is answered by a cluster while one master is', async () => {
    const cluster = await RedisTestCluster.start();
    closers.push(() => cluster.close());
    const { tier, close } = await openRedisTier(cluster.url, {}, timeouts);
    closers.push(close);
    const masters = [0, 1, 2].map(place => cluster.at(place));
    for (const master of masters.slice(1)) master.stop();
    try {
      for (let n = 0; n < PINGS; n++) await tier.ping();
      masters[0]?.stop();
      await expect(tier.ping()).rejects.toMatchObject({ code: 'unavailable' });
    } finally {
      for (const master of masters) master.resume();
    }
  });
});

describe.skipIf(noOwnServer !== undefined)('the ping of MongoDB', () => {
  test('is answered while the server is, and leaves no connection in use when it is given up', async () => {
    const mongo = await FerretDbServer.start();
    closers.push(() => mongo.close());
    const { connection, tier, close } = await openTestMongo({ url: mongo.url(), tuning: { maxPoolSize: 4 } });
    closers.push(close);
    await tier.ping(new AbortController().signal);
    mongo.stop();
    for (let n = 0; n < PINGS; n++) {
      await expect(tier.ping(AbortSignal.timeout(10))).rejects.toMatchObject({ code: 'unavailable' });
    }
    mongo.resume();
    await eventually(
      () => tier.ping(AbortSignal.timeout(TIMEOUT_MS)).then(() => true),
      'it is answered again',
    );
    expect(connection.figures().connectionsInUse).toBe(0);
  });
});
