/** The tier against a real server. */
import type { Document } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import type { SlowCommand } from '../../src/tiers/mongo-figures.js';
import { encodeTombstone } from '../../src/views/record-codec.js';
import { type OpenMongo, openTestMongo, recordWrite } from '../support/mongo-fixture.js';
import { noServer, testDatabaseUrl } from '../support/mongo-server.js';
import { tierSuite } from './tier-suite.js';

const RACED_IDS = 30;

describe.skipIf(noServer !== undefined)('on a real server', () => {
  tierSuite('MongoDB', openTestMongo, 100);

  describe('MongoDB', () => {
    let opened: OpenMongo;

    beforeEach(async () => {
      opened = await openTestMongo();
    });

    afterEach(() => opened.close());

    const find = (filter: Document) =>
      opened.connection.database
        .collection<{ _id: string }>('records_7')
        .find(filter, { promoteBuffers: true })
        .toArray();
    const idsOf = async (filter: Document) => (await find(filter)).map(({ _id }) => _id).sort();

    it('keeps metadata, tags and expiry as fields that can be queried', async () => {
      await opened.tier.putMany([
        recordWrite('a', 2 ** 53 - 1, {
          tags: ['new', 'sale'],
          metadata: '{"lang":"de","price":{"cents":1999},"sizes":[1,2],"ok":true,"none":null}',
          expiresAt: 1_800_000_000_123,
        }),
        recordWrite('b', 1, { tags: ['new'], metadata: '{"lang":"en","price":{"cents":5}}' }),
        recordWrite('c', 1),
      ]);
      expect(await idsOf({ tags: 'new' })).toEqual(['a', 'b']);
      expect(await idsOf({ tags: { $in: ['sale'] } })).toEqual(['a']);
      expect(await idsOf({ 'metadata.lang': 'en' })).toEqual(['b']);
      expect(await idsOf({ 'metadata.price.cents': { $gt: 100 } })).toEqual(['a']);
      expect(await idsOf({ 'metadata.sizes': 2 })).toEqual(['a']);
      expect(await idsOf({ expireAt: { $lt: new Date(1_850_000_000_000) } })).toEqual(['a']);
      expect(await idsOf({ version: { $gt: 5 } })).toEqual(['a']);
      expect(await find({ _id: 'a' })).toMatchObject([
        { version: 2 ** 53 - 1, expireAt: new Date(1_800_000_000_123), metadata: { none: null, ok: true } },
      ]);
      expect(Object.keys((await find({ _id: 'c' }))[0] ?? {}).sort()).toEqual([
        '_id',
        'expireAt',
        'record',
        'version',
      ]);
    });

    it('replaces all of a document, and says that a tombstone is one', async () => {
      await opened.tier.putMany([recordWrite('a', 1, { tags: ['x'], metadata: '{"k":1}' })]);
      await opened.tier.putMany([recordWrite('a', 2)]);
      expect(await idsOf({ $or: [{ tags: 'x' }, { 'metadata.k': 1 }] })).toEqual([]);
      expect(await idsOf({ tombstone: true })).toEqual([]);
      await opened.tier.putMany([tombstone('a', 3)]);
      expect(await idsOf({ tombstone: true })).toEqual(['a']);
    });

    it.each([
      ['dots', '{"a.b":1}', { 'metadata.a．b': 1 }],
      ['dollars', '{"$set":{"$x":1}}', { 'metadata.＄set.＄x': 1 }],
      ['NUL', '{"k\\u0000":1}', { 'metadata.k␀': 1 }],
      ['an empty name', '{"":{"a":1},"b":1}', { 'metadata.b': 1 }],
      ['__proto__', '{"__proto__":{"a":1}}', { 'metadata.__proto__.a': 1 }],
      ['an _id', '{"_id":{"a":1}}', { 'metadata._id.a': 1 }],
      ['names that become one', '{"a.b":1,"a．b":2}', { 'metadata.a．b': 2 }],
      ['arrays in arrays', '{"m":[[1,2],[3,[4]]]}', { 'metadata.m.1.1.0': 4 }],
      ['numbers without end', '{"n":1e999,"x":[-1e999],"z":-0.0}', { 'metadata.n': null }],
      ['large numbers', '{"n":123456789012345678901234567890}', { 'metadata.n': { $gt: 1e29 } }],
      ['nothing', '{}', { metadata: {} }],
      ['a byte that is no text', '{"t":"a\\u0000b"}', { 'metadata.t': 'a\0b' }],
      ['depth', `${'{"a":'.repeat(31)}1${'}'.repeat(31)}`, { [`metadata${'.a'.repeat(31)}`]: 1 }],
    ])('takes metadata with %s, and keeps it as it came in the record', async (_, metadata, filter) => {
      const write = recordWrite('a', 1, { metadata });
      expect(await opened.tier.putMany([write])).toEqual([null]);
      expect(await idsOf(filter)).toEqual(['a']);
      expect((await opened.tier.getMany([write.key]))[0]).toEqual(Buffer.from(write.value));
    });

    it('refuses ids that are not UTF-8, which could be taken for each other', async () => {
      const key = (...bytes: number[]) => Buffer.from([0, 0, 0, 7, ...bytes]);
      const value = recordWrite('a', 1).value;
      for (const bad of [key(0xff), key(0xc3), key(0xed, 0xa0, 0x80)]) {
        await expect(opened.tier.getMany([bad])).rejects.toMatchObject({ code: 'bad-id' });
        const writes = [recordWrite('a', 1), { key: bad, value, version: 1 as Version }];
        await expect(opened.tier.putMany(writes)).rejects.toMatchObject({ code: 'bad-id' });
        await expect(opened.tier.deleteMany([bad])).rejects.toMatchObject({ code: 'bad-id' });
      }
      expect(await find({})).toEqual([]);
      const odd = ['e\u0301', 'é', '\ufeff', '\ufffd', '$where', 'a.b', '{"$oid":"0"}', '5'];
      await opened.tier.putMany(odd.map((id, n) => recordWrite(id, n + 1)));
      const values = await opened.tier.getMany(odd.map(id => storageKey(7, id)));
      expect(values).toEqual(odd.map((id, n) => Buffer.from(recordWrite(id, n + 1).value)));
    });

    it('has no more records of a view that was dropped, and makes its collection again when it is written to', async () => {
      const [a, b] = [recordWrite('a', 5), { ...recordWrite('a', 5), key: storageKey(8, 'a') }];
      await opened.tier.putMany([a, b]);
      await opened.tier.dropView(7);
      await opened.tier.dropView(9);
      expect((await opened.tier.getMany([a.key, b.key])).map(value => value !== undefined)).toEqual([
        false,
        true,
      ]);
      expect(await opened.tier.putMany([recordWrite('a', 1)])).toEqual([null]);
    });

    it('indexes tags, and where the server can, expires records by itself', async () => {
      await opened.tier.putMany([recordWrite('a', 1)]);
      const indexes = await opened.connection.database.collection('records_7').indexes();
      const { isFerretDb } = await opened.connection.kind();
      expect(indexes.map(({ key }) => key)).toEqual([
        { _id: 1 },
        { tags: 1 },
        ...(isFerretDb ? [] : [{ expireAt: 1 }]),
      ]);
      if (!isFerretDb) expect(indexes.at(-1)).toMatchObject({ expireAfterSeconds: 0 });
    });

    it('keeps the larger version when two clients write new records at once', async () => {
      const url = await testDatabaseUrl();
      const clients = [await openTestMongo({ url }), await openTestMongo({ url })];
      const ids = Array.from({ length: RACED_IDS }, (_, n) => `raced ${n}`);
      const versions = [7, 9];
      // Each client has the larger version of every second record.
      const versionOf = (client: number, n: number) => versions[(client + n) % 2] as number;
      const results = await Promise.all(
        clients.map(({ tier }, client) =>
          Promise.all(ids.map((id, n) => tier.putMany([recordWrite(id, versionOf(client, n))]))),
        ),
      );
      const values = await clients[0]?.tier.getMany(ids.map(id => storageKey(7, id)));
      expect(values).toEqual(ids.map(id => Buffer.from(recordWrite(id, 9).value)));
      results.forEach((answers, client) => {
        answers.forEach(([answer], n) => {
          expect(versionOf(client, n) === 9 ? [null] : [null, 9]).toContain(answer);
        });
      });
      for (const { close } of clients) await close();
    });

    it('keeps the larger version when two clients replace records at once, if replacing is one step', async () => {
      const url = await testDatabaseUrl();
      const clients = [await openTestMongo({ url }), await openTestMongo({ url })];
      const key = storageKey(7, 'a');
      await clients[0]?.tier.putMany([recordWrite('a', 1)]);
      const versions = Array.from({ length: RACED_IDS }, (_, n) => n + 2);
      const answers = await Promise.all(
        versions.map(version => clients[version % 2]?.tier.putMany([recordWrite('a', version)])),
      );
      const [value] = (await clients[0]?.tier.getMany([key])) ?? [];
      // FerretDB looks and replaces in two steps: which of two is last there is not ours to say.
      const { isFerretDb } = await opened.connection.kind();
      const largest = versions.at(-1) ?? 0;
      const allowed = isFerretDb ? [largest - 1, largest] : [largest];
      expect(allowed.map(version => Buffer.from(recordWrite('a', version).value))).toContainEqual(value);
      versions.forEach((version, n) => {
        const answer = answers[n]?.[0];
        if (answer !== null) expect(answer).toBeGreaterThan(version);
      });
      for (const { close } of clients) await close();
    });

    it('counts connections and commands, and tells of slow ones', async () => {
      const slow: SlowCommand[] = [];
      const { tier, connection, close } = await openTestMongo({
        slowMs: -1,
        onSlow: command => slow.push(command),
      });
      expect(connection.figures()).toEqual({
        connectionsCreated: 0,
        connectionsInUse: 0,
        connectionsAvailable: 0,
        checkOutsFailed: 0,
        commands: {},
      });
      await tier.putMany([recordWrite('a', 1)]);
      // A single write that is not refused needs no other question.
      expect(connection.figures().commands['find']).toBeUndefined();
      await Promise.all([1, 2, 3].map(() => tier.getMany([storageKey(7, 'a')])));
      const reads = connection.figures();
      expect(reads.commands['find']?.count).toBeGreaterThanOrEqual(3);
      expect(reads.commands['update']).toMatchObject({ count: 1, errors: 0, totalMs: expect.any(Number) });
      expect(reads).toMatchObject({ connectionsInUse: 0, checkOutsFailed: 0 });
      expect(reads.connectionsAvailable).toBe(reads.connectionsCreated);
      expect(slow.find(({ command }) => command === 'update')).toEqual({
        command: 'update',
        database: connection.database.databaseName,
        server: expect.stringMatching(/:\d+$/),
        durationMs: expect.any(Number),
        failed: false,
      });
      await expect(connection.database.command({ nonsense: 1 })).rejects.toThrow();
      expect(connection.figures().commands['nonsense']).toMatchObject({ count: 1, errors: 1 });
      expect(slow.at(-1)).toMatchObject({ command: 'nonsense', failed: true });
      await close();
      expect(connection.figures()).toMatchObject({ connectionsInUse: 0, connectionsAvailable: 0 });
    });
  });
});

function tombstone(id: string, version: number) {
  return {
    key: storageKey(7, id),
    value: encodeTombstone(version as Version, 1, 1_900_000_000_000),
    version: version as Version,
  };
}
