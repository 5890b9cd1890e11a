import { afterAll, beforeAll, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { RedisCatalog } from '../../src/tiers/redis-catalog.js';
import { RedisCleaner } from '../../src/tiers/redis-cleaner.js';
import type { RedisConnection } from '../../src/tiers/redis-connection.js';
import type { CatalogedView } from '../../src/views/schema.js';
import { RedisTestCluster } from '../support/redis-cluster.js';
import { describeWithRedis, RedisServer } from '../support/redis-server.js';
import { type CatalogPlace, catalogSuite, draft } from './catalog-suite.js';
import { connectTo, openRedisTier } from './redis-fixture.js';
import { write } from './tier-suite.js';

let opened = 0;

/** A catalog that is empty because its prefix is new. */
async function emptyCatalog(url: string): Promise<CatalogPlace> {
  const prefix = `catalog-${process.pid}-${++opened}:`;
  const connections: RedisConnection[] = [];
  return {
    open: (viewsMax = 100) => {
      const connection = connectTo(`${url}?prefix=${prefix}`);
      connections.push(connection);
      return new RedisCatalog<CatalogedView>({ connection, limits: { viewsMax, builtInMax: viewsMax } });
    },
    close: async () => {
      for (const connection of connections) connection.close();
    },
  };
}

const writes = Array.from({ length: 2_500 }, (_, n) => write(`n${n}`, 1));
const kept = { ...write('kept', 1), key: storageKey(77, 'kept') };

async function cleanerErases(url: string): Promise<void> {
  const { connection, tier, close } = await openRedisTier(url);
  await tier.putMany([...writes, kept]);
  const cleaner = new RedisCleaner(connection);
  let removed = 0;
  let steps = 0;
  for (let isDone = false; !isDone; steps++) {
    const step = await cleaner.eraseStep(7);
    removed += step.removed;
    isDone = step.isDone;
  }
  expect(removed).toBe(writes.length);
  expect(steps).toBeGreaterThanOrEqual(4);
  expect((await tier.getMany([kept.key, ...writes.map(({ key }) => key)])).filter(Boolean)).toHaveLength(1);
  await close();
}

describeWithRedis('one server', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server?.close());

  catalogSuite({ name: 'Redis', shared: true, place: () => emptyCatalog(server.url) });

  it('holds a catalog that says which entry cannot be read', async () => {
    const connection = connectTo(server.url);
    const catalog = new RedisCatalog<CatalogedView>({ connection, limits: { viewsMax: 9, builtInMax: 9 } });
    await server.admin.hset('headrace:catalog', 'view/x', '7 {broken');
    const unreadable = { code: 'unavailable', message: expect.stringMatching(/7 \{broken/) };
    await expect(catalog.views()).rejects.toMatchObject(unreadable);
    await expect(catalog.create(draft('x'), 1)).rejects.toMatchObject(unreadable);
    expect((await catalog.create(draft('y'), 1)).won).toBe(true);
    connection.close();
  });

  it('loses the records of one view to the cleaner', () => cleanerErases(server.url));
});

describeWithRedis('a cluster', () => {
  let cluster: RedisTestCluster;
  beforeAll(async () => {
    cluster = await RedisTestCluster.start();
  });
  afterAll(() => cluster?.close());

  catalogSuite({ name: 'Redis Cluster', shared: true, place: () => emptyCatalog(cluster.url) });

  it('loses the records of one view to the cleaner, on every master', () => cleanerErases(cluster.url));
});
