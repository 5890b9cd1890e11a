import { MongoServerError } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MongoCatalog } from '../../src/tiers/mongo-catalog.js';
import { MongoConnection } from '../../src/tiers/mongo-connection.js';
import { noServer, testDatabaseUrl } from '../support/mongo-server.js';
import { type CatalogPlace, catalogSuite, draft, view } from './catalog-suite.js';

class MongoPlace implements CatalogPlace {
  readonly #url: string;
  readonly #connections: MongoConnection[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  open(viewsMax = 100): MongoCatalog {
    return new MongoCatalog(this.connect(), { viewsMax, builtInMax: viewsMax });
  }

  connect(): MongoConnection {
    const connection = new MongoConnection({ url: this.#url });
    this.#connections.push(connection);
    return connection;
  }

  /** An instance, and the collection as it alone sees it. */
  openSpied() {
    const { database } = this.connect();
    const changes = database.collection<{ _id: number }>('catalog', { readPreference: 'primary' });
    const connection = {
      database: { collection: () => changes },
      connect: async () => undefined,
    } as unknown as MongoConnection;
    return { catalog: new MongoCatalog(connection, { viewsMax: 100, builtInMax: 100 }), changes };
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) await connection.close();
  }
}

async function emptyPlace(): Promise<MongoPlace> {
  return new MongoPlace(await testDatabaseUrl());
}

describe.skipIf(noServer !== undefined)('MongoDB', () => {
  catalogSuite({ name: 'MongoDB', shared: true, place: emptyPlace });

  describe('its list of changes', () => {
    let place: MongoPlace;
    beforeEach(async () => {
      place = await emptyPlace();
    });
    afterEach(() => place.close());

    const listed = (filter: object) => place.connect().database.collection('catalog').countDocuments(filter);

    it('has no more than the last change of each view, and marks', async () => {
      const catalog = place.open();
      for (let round = 0; round < 3; round++) {
        const { view: made } = await catalog.create(draft('a'), 1);
        await catalog.put({ ...made, ttlMs: round + 5 });
        await catalog.put({ ...made, ttlMs: round + 5 });
        await catalog.drop(made);
        await catalog.erased(made.uid);
      }
      await catalog.create(draft('a'), 1);
      expect(await listed({})).toBe(13);
      expect(await listed({ kind: { $ne: 'past' } })).toBe(4);
      expect(await listed({ kind: { $ne: 'live' }, view: { $exists: true } })).toBe(0);
    });

    it('forgets marks when very many changes have come after them', async () => {
      const { catalog, changes } = place.openSpied();
      const past = [2, 3, 11_000].map(_id => ({ _id, uid: 1, nextUid: 3, kind: 'past' }));
      await changes.insertMany([
        { _id: 1, uid: 1, nextUid: 2, kind: 'dropped' } as { _id: number },
        ...past,
        { _id: 4, uid: 1, nextUid: 3, kind: 'erased' },
        { _id: 5, uid: 2, nextUid: 3, kind: 'erased' },
        { _id: 20_000, uid: 3, nextUid: 9, kind: 'erased' },
      ]);
      await catalog.create(draft('a'), 1);
      // What is erased is not forgotten in the same change as that which it ended.
      const numbers = async () => (await changes.find().sort({ _id: 1 }).toArray()).map(({ _id }) => _id);
      expect(await numbers()).toEqual([4, 11_000, 20_000, 20_001]);
      await catalog.create(draft('b'), 1);
      expect(await numbers()).toEqual([11_000, 20_000, 20_001, 20_002]);
      expect(await catalog.views()).toEqual([view('a', 9), view('b', 10)]);
      expect(await catalog.dropped()).toEqual([]);
    });

    it('takes no change that was decided long ago, though its number was free then', async () => {
      const { catalog: slow, changes } = place.openSpied();
      const other = place.open();
      const insert = changes.insertOne.bind(changes);
      vi.spyOn(changes, 'insertOne').mockImplementationOnce(async change => {
        await other.create(draft('a'), 1);
        await other.put({ ...view('a', 1), ttlMs: 5 });
        await other.put({ ...view('a', 1), ttlMs: 6 });
        return insert(change);
      });
      const held = { ...view('a', 1), ttlMs: 6 };
      expect(await slow.create(draft('a', 2), 1)).toEqual({ view: held, won: false });
      expect(await other.views()).toEqual([held]);
    });

    it('brings nothing back when the one that made a change ended before it had marked what is past', async () => {
      const { catalog, changes } = place.openSpied();
      const { view: made } = await catalog.create(draft('a'), 1);
      const update = vi.spyOn(changes, 'updateMany').mockRejectedValue(new Error('ended'));
      await catalog.drop(made);
      await catalog.erased(made.uid);
      update.mockRestore();
      const other = place.open();
      for (const name of ['b', 'c']) {
        expect(await other.create(draft(name), 1)).toMatchObject({ won: true });
        expect((await other.views()).map(({ uid }) => uid)).not.toContain(made.uid);
        expect(await other.dropped()).toEqual([]);
      }
      expect(await listed({ uid: made.uid, kind: { $ne: 'past' } })).toBe(1);
    });

    it('gives up, changing nothing, when others are faster every time', async () => {
      const { catalog, changes } = place.openSpied();
      const insert = vi
        .spyOn(changes, 'insertOne')
        .mockImplementation(() => Promise.reject(new MongoServerError({ code: 11_000 })));
      await expect(catalog.create(draft('a'), 1)).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('100 races'),
      });
      expect(insert).toHaveBeenCalledTimes(100);
      expect(await catalog.views()).toEqual([]);
    });

    it('says which entry cannot be read', async () => {
      const { catalog, changes } = place.openSpied();
      await changes.insertOne({ _id: 1, uid: 1, nextUid: 2, kind: 'live', name: 'a', view: '{broken' } as {
        _id: number;
      });
      const unreadable = { code: 'unavailable', message: expect.stringContaining('{broken') };
      await expect(catalog.views()).rejects.toMatchObject(unreadable);
      await expect(catalog.create(draft('a'), 1)).rejects.toMatchObject(unreadable);
      expect((await catalog.create(draft('b'), 1)).view.uid).toBe(2);
    });

    it('tells of changes until the views are read, and no more once it is stopped', async () => {
      const [one, other] = [place.open(), place.open()];
      await other.views();
      let calls = 0;
      const stop = other.watch({ intervalMs: 5, onChange: () => calls++ });
      const { view: made } = await one.create(draft('a'), 1);
      // Whoever could not read them is told again.
      await vi.waitFor(() => expect(calls).toBeGreaterThanOrEqual(3));
      expect(await other.views()).toEqual([made]);
      stop();

      const told: string[][] = [];
      const onChange = async () => {
        calls++;
        told.push((await other.views()).map(({ name }) => name));
      };
      const stopAgain = other.watch({ intervalMs: 5, onChange });
      await other.create(draft('b'), 1);
      await vi.waitFor(() => expect(told.at(-1)).toEqual(['a', 'b']));
      await one.drop(made);
      await vi.waitFor(() => expect(told.at(-1)).toEqual(['b']));
      // A catalog that was lost has a smaller number.
      await place.connect().database.collection('catalog').drop();
      await vi.waitFor(() => expect(told.at(-1)).toEqual([]));
      stopAgain();
      const callsBefore = calls;
      await one.create(draft('later'), 1);
      expect(await other.views()).toHaveLength(1);
      expect(calls).toBe(callsBefore);
    });
  });
});
