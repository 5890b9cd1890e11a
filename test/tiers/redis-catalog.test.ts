import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { RedisCatalog } from '../../src/tiers/redis-catalog.js';
import { RedisCleaner } from '../../src/tiers/redis-cleaner.js';
import type { RedisConnection } from '../../src/tiers/redis-connection.js';
import type { StoredView } from '../../src/views/schema.js';
import { describeWithRedis, RedisServer } from '../support/redis-server.js';
import { connectTo, openRedisTier } from './redis-fixture.js';
import { write } from './tier-suite.js';

function draft(name: string, features = 1): Omit<StoredView, 'uid'> {
  return {
    name,
    slot: 0,
    schema: 1,
    entity: 'doc',
    ttlMs: 1_000,
    features: Array.from({ length: features }, (_, n) => [`f${n}`, 'float32'] as const),
    l1Bytes: 5,
    eviction: 'lru',
  };
}

function catalogsOn(connections: readonly RedisConnection[], viewsMax = 100): RedisCatalog<StoredView>[] {
  return connections.map(connection => new RedisCatalog<StoredView>({ connection, viewsMax }));
}

describeWithRedis('the catalog in Redis', () => {
  let server: RedisServer;
  let connections: RedisConnection[];
  let catalogs: RedisCatalog<StoredView>[];
  let catalog: RedisCatalog<StoredView>;

  beforeAll(async () => {
    server = await RedisServer.start();
    connections = Array.from({ length: 4 }, () => connectTo(server.url));
  });
  beforeEach(async () => {
    await server.admin.flushall();
    catalogs = catalogsOn(connections);
    catalog = catalogs[0] ?? new RedisCatalog({ connection: connectTo(server.url), viewsMax: 1 });
  });
  afterAll(async () => {
    for (const connection of connections) connection.close();
    await server.close();
  });

  it('keeps views, dropped views and uids', async () => {
    expect([await catalog.views(), await catalog.dropped()]).toEqual([[], []]);
    const { view: b } = await catalog.create(draft('b'), 1);
    const { view: a } = await catalog.create(draft('a "quoted" é'), 1);
    expect([b.uid, a.uid]).toEqual([1, 2]);
    expect(await catalog.views()).toStrictEqual([a, b]);
    await catalog.drop(b);
    await catalog.drop(b);
    expect([await catalog.views(), await catalog.dropped()]).toEqual([[a], [1]]);
    expect((await catalog.create(draft('b'), 1)).view.uid).toBe(3);
    await catalog.drop(b);
    expect((await catalog.views()).map(({ uid }) => uid)).toEqual([2, 3]);
    await catalog.erased(1);
    expect(await catalog.dropped()).toEqual([]);
  });

  it('gives no uid that the caller has met, though the catalog was lost', async () => {
    expect((await catalog.create(draft('a'), 41)).view.uid).toBe(41);
    expect((await catalog.create(draft('b'), 1)).view.uid).toBe(42);
  });

  it('makes a view once, when instances declare it at once', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, n) => catalogs[n % 4]?.create(draft(`v${n % 5}`, 1 + (n % 3)), 1)),
    );
    const views = await catalog.views();
    expect(views.map(({ name }) => name)).toEqual(['v0', 'v1', 'v2', 'v3', 'v4']);
    expect(new Set(views.map(({ uid }) => uid)).size).toBe(5);
    expect(outcomes.filter(outcome => outcome?.won)).toHaveLength(5);
    for (const outcome of outcomes) expect(views).toContainEqual(outcome?.view);
  });

  it('lets one of several changes stand, each following from what it knew', async () => {
    const { view } = await catalog.create(draft('v'), 1);
    const changes = catalogs.map((other, n) =>
      other.put({ ...view, schema: 2, features: [...view.features, [`new${n}`, 'bool']] }),
    );
    const outcomes = await Promise.all(changes);
    const [held] = await catalog.views();
    expect(outcomes.filter(outcome => outcome?.won)).toHaveLength(1);
    for (const outcome of outcomes) expect(outcome?.view).toEqual(held);
    // Other options, the same features: the last one stands.
    expect(await catalog.put({ ...held, ttlMs: 5 } as StoredView)).toMatchObject({
      won: true,
      view: { ttlMs: 5 },
    });
    expect(await catalog.put({ ...view, ttlMs: 6 })).toMatchObject({
      won: false,
      view: { ttlMs: 5, schema: 2 },
    });
    await catalog.drop(view);
    expect(await catalog.put({ ...view, schema: 2 })).toBeUndefined();
    expect(await catalog.views()).toEqual([]);
  });

  it('holds so many views and no more, and says which entry it cannot read', async () => {
    const [small] = catalogsOn(connections, 2);
    await small?.create(draft('a'), 1);
    await small?.create(draft('b'), 1);
    await expect(small?.create(draft('c'), 1)).rejects.toMatchObject({ code: 'too-many-views' });
    expect(await small?.create(draft('a'), 1)).toMatchObject({ won: false });
    await server.admin.hset('headrace:catalog', 'view/x', '7 {broken');
    await expect(catalog.views()).rejects.toMatchObject({ code: 'unavailable', message: /7 \{broken/ });
  });
});

describeWithRedis('the cleaner in Redis', () => {
  const writes = Array.from({ length: 2_500 }, (_, n) => write(`n${n}`, 1));
  const kept = { ...write('kept', 1), key: storageKey(77, 'kept') };

  async function erases(url: string): Promise<void> {
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

  it('erases the records of one view on one server', async () => {
    const server = await RedisServer.start();
    await erases(server.url).finally(() => server.close());
  });
});
