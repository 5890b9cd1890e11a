/** The tier behind a network that lies: every call ends in time, with values of the right number or an honest error. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { SEED } from '../base/seeded.js';
import { type ProxyMode, RedisProxy } from '../support/redis-proxy.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { openRedisTier } from './redis-fixture.js';
import { News } from './redis-news.js';
import { write } from './tier-suite.js';

const QUICK = { commandTimeoutMs: 150, connectTimeoutMs: 150 };
const ids = Array.from({ length: 20 }, (_, n) => `k${n}`);
const keys = ids.map(id => storageKey(7, id));

describeWithRedis('Redis behind a network that fails', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server?.close());

  it.each<ProxyMode>(['hold', 'cut', 'half-close', 'corrupt', 'garbage'])('survives: %s', async mode => {
    await server.admin.flushall();
    const proxy = await RedisProxy.start(server.port, SEED);
    const { tier, connection, close } = await openRedisTier(proxy.url, {}, QUICK);
    const news = new News(connection, { heartbeatMs: 50, heartbeatTimeoutMs: 100 });
    try {
      await news.whole();
      await tier.putMany(ids.map(id => write(id, 1, 200)));
      for (let round = 0; round < 6; round++) {
        proxy.mode = mode;
        const calls = Array.from({ length: 5 }, (_, n) => [
          tier.getMany(keys),
          tier.putMany(ids.map(id => write(id, 100 * round + n + 2, 200))),
        ]);
        for (const outcome of await Promise.allSettled(calls.flat())) {
          if (outcome.status === 'fulfilled') expect(outcome.value).toHaveLength(ids.length);
          else expect(outcome.reason).toMatchObject({ name: 'HeadraceError', code: 'unavailable' });
        }
        proxy.mode = 'pass';
        await eventually(async () => (await tier.getMany(keys)).length === ids.length, 'it answers again');
      }
      await news.heard('restored', 'lost', 'restored');
      await news.whole();
      await eventually(
        async () => (await tier.putMany([write('k0', 9_999)]))[0] === null,
        'it takes a write',
      );
      expect((await tier.getMany([storageKey(7, 'k0')]))[0]).toEqual(write('k0', 9_999).value);
      await eventually(() => news.ids.includes('k0'), 'it is heard of');
    } finally {
      news.tracking.close();
      await close();
      proxy.close();
    }
  });
});
