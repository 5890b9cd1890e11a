/**
 * The tier, the tracking and the catalog on a real cluster, while masters fail over and slots move. One cluster for all
 * tests, as starting it takes seconds: they leave it whole, but for the last two.
 */
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { RedisCatalog } from '../../src/tiers/redis-catalog.js';
import { RedisCleaner } from '../../src/tiers/redis-cleaner.js';
import { rawCommand } from '../../src/tiers/redis-command.js';
import type { StoredView } from '../../src/views/schema.js';
import { RedisTestCluster } from '../support/redis-cluster.js';
import { describeWithRedis, eventually, type RedisServer } from '../support/redis-server.js';
import { type OpenRedisTier, openRedisTier } from './redis-fixture.js';
import { News } from './redis-news.js';
import { write } from './tier-suite.js';

describeWithRedis('a Redis Cluster', () => {
  const ids = Array.from({ length: 60 }, (_, n) => `k${n}`);
  let cluster: RedisTestCluster;
  let mine: OpenRedisTier;
  let other: OpenRedisTier;
  let news: News;
  let version = 0;

  beforeAll(async () => {
    cluster = await RedisTestCluster.start();
  });
  beforeEach(async () => {
    mine = await openRedisTier(cluster.url);
    other = await openRedisTier(cluster.url);
    news = new News(mine.connection);
    await news.whole();
  });
  afterEach(async () => {
    news?.tracking.close();
    await Promise.all([mine?.close(), other?.close()]);
  });
  afterAll(() => cluster?.close());

  /** Writes keys of all masters by another instance, and sees to it that they are read and heard of here. */
  async function worksEverywhere(): Promise<void> {
    version++;
    const writes = ids.map(id => write(id, version));
    news.ids = [];
    await eventually(async () => (await other.tier.putMany(writes)).length === ids.length, 'all are written');
    await eventually(() => ids.every(id => news.ids.includes(id)), 'all are heard of');
    let values: readonly (Uint8Array | undefined)[] = [];
    await eventually(async () => {
      values = await mine.tier.getMany(writes.map(({ key }) => key));
      return true;
    }, 'all are read');
    expect(values.map(value => Buffer.from(value ?? []))).toEqual(
      writes.map(({ value }) => Buffer.from(value)),
    );
  }

  it('reads and writes on all masters, and hears of them', async () => {
    await worksEverywhere();
    expect(news.events).toEqual(['restored']);
    const sizes = await Promise.all([0, 1, 2].map(index => cluster.at(index).admin.dbsize()));
    expect(Math.min(...sizes)).toBeGreaterThan(0);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(ids.length);
  });

  it('keeps the catalog on one of its masters', async () => {
    const catalogs = [mine, other].map(
      ({ connection }) =>
        new RedisCatalog<StoredView>({ connection, limits: { viewsMax: 9, builtInMax: 9 } }),
    );
    const draft = { name: 'v', schema: 1, features: [] } as unknown as StoredView;
    const outcomes = await Promise.all(catalogs.map(catalog => catalog.create(draft, 1)));
    expect(outcomes.map(({ won }) => won).sort()).toEqual([false, true]);
    expect(outcomes[0]?.view).toEqual(outcomes[1]?.view);
    await news.heard('restored', 'catalog');
  });

  it('erases the records of a dropped view on every master', async () => {
    const kept = { ...write('kept', 1), key: storageKey(77, 'kept') };
    const writes = Array.from({ length: 1_500 }, (_, n) => ({
      ...write('', 1),
      key: storageKey(70, `n${n}`),
    }));
    await mine.tier.putMany([...writes, kept]);
    const cleaner = new RedisCleaner(mine.connection);
    let removed = 0;
    for (let isDone = false; !isDone; ) {
      const step = await cleaner.eraseStep(70);
      removed += step.removed;
      isDone = step.isDone;
    }
    expect(removed).toBe(writes.length);
    const values = await mine.tier.getMany([kept.key, ...writes.map(({ key }) => key)]);
    expect(values.filter(value => value !== undefined)).toHaveLength(1);
    await mine.tier.deleteMany([kept.key]);
    expect(await mine.tier.getMany([kept.key])).toEqual([undefined]);
  });

  it('reads, writes and hears while a slot moves to a new master', async () => {
    await worksEverywhere();
    const added = await cluster.addMaster();
    try {
      await eventually(async () => (await trackingClients(added.admin)) === 1, 'the new master is tracked');
      await news.whole();
      const losses = news.events.filter(event => event === 'lost').length;
      const slot = rawCommand('get', ['headrace:7:k0']).getSlot();
      const from = await ownerOf(slot);
      await cluster.moveSlot(slot, from, added, async () => {
        // The key is at the new master, which has no slots yet: both answer with a redirection.
        await other.tier.putMany([write('k0', ++version)]);
        await eventually(() => news.ids.at(-1) === 'k0', 'the write at the new master is heard of');
        expect((await mine.tier.getMany([storageKey(7, 'k0')]))[0]).toEqual(write('k0', version).value);
        expect(await mine.tier.putMany([write('k0', 1)])).toEqual([version]);
      });
      await worksEverywhere();
      expect(await added.admin.dbsize()).toBe(1);
      await cluster.moveSlot(slot, added, from);
      await worksEverywhere();
      expect(news.events.filter(event => event === 'lost')).toHaveLength(losses);
    } finally {
      await added.close();
    }
  });

  it('goes on when a replica takes over from a master that stays', async () => {
    await worksEverywhere();
    await cluster.failOver(0);
    await news.heard('restored', 'lost', 'restored');
    await news.whole();
    await worksEverywhere();
  });

  it('goes on when a master dies, without the writes that were not acknowledged', async () => {
    await worksEverywhere();
    await cluster.at(1).kill();
    await news.heard('restored', 'lost', 'restored');
    await news.whole();
    await worksEverywhere();
  });

  it('fails while slots have no master', async () => {
    await cluster.at(5).kill();
    await cluster.at(2).kill();
    const keys = ids.map(id => storageKey(7, id));
    await eventually(
      async () =>
        await mine.tier.getMany(keys).then(
          () => false,
          error => /cluster is down/.test(error.message),
        ),
      'it says that the cluster is down',
    );
    await expect(mine.tier.putMany(ids.map(id => write(id, 1)))).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  async function ownerOf(slot: number): Promise<RedisServer> {
    for (const server of cluster.servers) {
      const nodes = String(await server.admin.call('CLUSTER', 'NODES'));
      const own = nodes.split('\n').find(line => line.includes('myself,master')) ?? '';
      const ranges = own
        .split(' ')
        .slice(8)
        .map(range => range.split('-').map(Number));
      if (ranges.some(([first = -1, last = first]) => slot >= first && slot <= last)) return server;
    }
    throw new Error(`no master has the slot ${slot}`);
  }
});

async function trackingClients(admin: Redis): Promise<number> {
  return Number(/tracking_clients:(\d+)/.exec(await admin.info('clients'))?.[1]);
}
