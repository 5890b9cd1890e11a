import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MongoCatalog } from '../../src/tiers/mongo-catalog.js';
import { MongoConnection } from '../../src/tiers/mongo-connection.js';
import type { StoredView } from '../../src/views/schema.js';
import { noServer, testDatabaseUrl } from '../support/mongo-server.js';

function viewNamed(name: string, uid: number, more: Partial<StoredView> = {}): StoredView {
  return {
    name,
    uid,
    slot: 0,
    schema: 1,
    entity: 'document',
    ttlMs: 1_000,
    features: [
      ['price', 'float32'],
      ['a.$b\u0000', 'string'],
    ],
    l1Bytes: undefined,
    eviction: 's3-fifo',
    ...more,
  };
}

describe.skipIf(noServer !== undefined)('the catalog in MongoDB', () => {
  const connections: MongoConnection[] = [];
  let url: string;

  /** Another instance. */
  function openCatalog(): MongoCatalog {
    const connection = new MongoConnection({ url });
    connections.push(connection);
    return new MongoCatalog(connection);
  }

  async function declare(catalog: MongoCatalog, name: string): Promise<StoredView> {
    const view = viewNamed(name, await catalog.nextUid());
    await catalog.put(view);
    return view;
  }

  beforeEach(async () => {
    url = await testDatabaseUrl();
  });

  afterEach(async () => {
    for (const connection of connections.splice(0)) await connection.close();
  });

  it('is empty at first', async () => {
    const catalog = openCatalog();
    expect(await catalog.views()).toEqual([]);
    expect(await catalog.dropped()).toEqual([]);
  });

  it('shows the views of one instance to another, exactly', async () => {
    const view = await declare(openCatalog(), 'product');
    expect(await openCatalog().views()).toEqual([view]);
  });

  it('gives no uid twice, however many instances ask at once', async () => {
    const catalogs = Array.from({ length: 4 }, openCatalog);
    const uids = await Promise.all(
      catalogs.flatMap(catalog => Array.from({ length: 5 }, () => catalog.nextUid())),
    );
    expect(new Set(uids).size).toBe(20);
    expect(Math.min(...uids)).toBeGreaterThan(0);
  });

  it('lets one of several instances win that declare the same view at once', async () => {
    const catalogs = Array.from({ length: 5 }, openCatalog);
    const results = await Promise.allSettled(catalogs.map(catalog => declare(catalog, 'product')));
    const won = results.filter(result => result.status === 'fulfilled');
    expect(won).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'view-conflict' });
    }
    for (const catalog of catalogs) expect(await catalog.views()).toEqual([won[0]?.value]);
  });

  it('lets one of several instances win that change the same view at once', async () => {
    const view = await declare(openCatalog(), 'product');
    const catalogs = Array.from({ length: 5 }, openCatalog);
    for (const catalog of catalogs) await catalog.views();
    const results = await Promise.allSettled(
      catalogs.map((catalog, index) => catalog.put({ ...view, ttlMs: 2_000 + index })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const winner = results.findIndex(({ status }) => status === 'fulfilled');
    expect(await openCatalog().views()).toEqual([{ ...view, ttlMs: 2_000 + winner }]);
  });

  it('refuses a change of what another instance has changed since, until it is read again', async () => {
    const [one, other] = [openCatalog(), openCatalog()];
    const view = await declare(one, 'product');
    await other.views();
    const grown = viewNamed('product', view.uid, {
      schema: 2,
      features: [...view.features, ['stock', 'int64']],
    });
    await one.put(grown);
    await expect(other.put({ ...view, ttlMs: 5 })).rejects.toMatchObject({ code: 'view-conflict' });
    await other.views();
    await other.put({ ...grown, ttlMs: 5 });
    expect(await one.views()).toEqual([{ ...grown, ttlMs: 5 }]);
  });

  it('takes the same view again without a change', async () => {
    const [one, other] = [openCatalog(), openCatalog()];
    const view = await declare(one, 'product');
    await other.put(view);
    await other.put({ ...view, ttlMs: 5 });
    expect(await one.views()).toEqual([{ ...view, ttlMs: 5 }]);
  });

  it('remembers a dropped view until its records are gone, and never its uid again', async () => {
    const catalog = openCatalog();
    const view = await declare(catalog, 'product');
    await catalog.drop({ name: 'product', uid: view.uid + 1 });
    expect(await catalog.views()).toEqual([view]);
    await catalog.drop(view);
    expect([await catalog.views(), await catalog.dropped()]).toEqual([[], [view.uid]]);
    await expect(catalog.put(view)).rejects.toMatchObject({ code: 'view-conflict' });
    await catalog.erased(view.uid);
    expect(await catalog.dropped()).toEqual([]);
    const again = await declare(catalog, 'product');
    expect(again.uid).toBeGreaterThan(view.uid);
    await expect(catalog.put({ ...view, name: 'other' })).rejects.toMatchObject({ code: 'view-conflict' });
    expect(await openCatalog().views()).toEqual([again]);
  });

  it('keeps no more than the last change of each view', async () => {
    const catalog = openCatalog();
    for (let round = 0; round < 5; round++) {
      const view = await declare(catalog, 'product');
      await catalog.put({ ...view, ttlMs: round + 5 });
      await catalog.drop(view);
      await catalog.erased(view.uid);
    }
    expect(await connections[0]?.database.collection('catalog').countDocuments()).toBe(1);
  });

  it('tells other instances of changes, and no more once it is stopped', async () => {
    const [one, other] = [openCatalog(), openCatalog()];
    await other.views();
    const told: string[][] = [];
    const stop = other.watch({ intervalMs: 10, onChange: views => told.push(views.map(({ name }) => name)) });
    const { uid } = await declare(one, 'product');
    await vi.waitFor(() => expect(told.at(-1)).toEqual(['product']));
    await one.drop({ name: 'product', uid });
    await vi.waitFor(() => expect(told.at(-1)).toEqual([]));
    stop();
    const calls = told.length;
    await declare(one, 'later');
    expect(await other.views()).toHaveLength(1);
    expect(told.length).toBe(calls);
  });
});
