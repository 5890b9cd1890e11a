/** The tier and the tracking behind a real Sentinel, while the master fails over. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { RedisTestSentinel } from '../support/redis-sentinel.js';
import { describeWithRedis, eventually } from '../support/redis-server.js';
import { type OpenRedisTier, openRedisTier } from './redis-fixture.js';
import { News } from './redis-news.js';
import { write } from './tier-suite.js';

describeWithRedis('Redis behind Sentinel', () => {
  let servers: RedisTestSentinel;
  let opened: OpenRedisTier;
  let news: News;

  beforeEach(async () => {
    servers = await RedisTestSentinel.start();
    opened = await openRedisTier(servers.url);
    news = new News(opened.connection);
    await news.whole();
  });
  afterEach(async () => {
    news?.tracking.close();
    await opened?.close();
    await servers?.close();
  });

  it.each([
    ['is told to', () => servers.failOver()],
    ['has lost the master', () => servers.master.kill().then(() => servers.promoted())],
  ])('finds the new master when Sentinel %s', async (_reason, failOver) => {
    const { tier } = opened;
    expect(await tier.putMany([write('a', 5)])).toEqual([null]);
    expect(await servers.master.admin.exists('headrace:7:a')).toBe(1);
    await eventually(() => servers.replica.admin.exists('headrace:7:a'), 'the replica has it');
    await failOver();
    await news.heard('restored', 'lost', 'restored');
    await news.whole();
    await eventually(async () => (await tier.putMany([write('b', 1)])).length === 1, 'it is written');
    expect(await servers.replica.admin.exists('headrace:7:b')).toBe(1);
    expect(await tier.putMany([write('a', 4)])).toEqual([5]);
    expect((await tier.getMany([storageKey(7, 'a')]))[0]).toEqual(write('a', 5).value);
    await servers.replica.admin.set('headrace:7:by-another', 1);
    await eventually(() => news.ids.includes('by-another'), 'the new master is heard');
  });
});
