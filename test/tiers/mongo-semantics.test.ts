/** What MongoDB does and FerretDB does not, against a stand-in that does it. */
import { Collection } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { type OpenMongo, openTestMongo } from '../support/mongo-fixture.js';
import { MongoStub } from '../support/mongo-stub.js';
import { tierSuite, write } from './tier-suite.js';

async function openStub(): Promise<OpenMongo & { readonly stub: MongoStub }> {
  const stub = new MongoStub();
  const opened = await openTestMongo({ url: await stub.listen() });
  const close = async () => {
    await opened.close();
    await stub.close();
  };
  return { ...opened, stub, close };
}

tierSuite('MongoDB with writes of one step', openStub);

describe('MongoDB with writes of one step', () => {
  let opened: Awaited<ReturnType<typeof openStub>>;

  beforeEach(async () => {
    opened = await openStub();
  });

  afterEach(() => opened.close());

  const other = (id: string, version: number) => {
    const { value } = write(id, version);
    opened.stub.put('records_7', { _id: id, version, record: value });
  };

  it('asks once for any number of keys and writes, and once more where a larger version was held', async () => {
    const { tier, stub } = opened;
    const writes = Array.from({ length: 500 }, (_, n) => write(`id ${n}`, 5));
    await tier.putMany([write('first', 1)]);
    stub.commands.length = 0;
    await tier.putMany(writes);
    expect(stub.commands).toEqual(['update']);
    const values = await tier.getMany(writes.map(({ key }) => key));
    expect(values.filter(value => value !== undefined)).toHaveLength(500);
    expect(stub.commands).toEqual(['update', 'find']);
    const results = await tier.putMany(
      writes.map((item, n) => ({ ...item, version: (n % 2 ? 6 : 5) as Version })),
    );
    expect(results).toEqual(writes.map((_, n) => (n % 2 ? null : 5)));
    expect(stub.commands).toEqual(['update', 'find', 'update', 'find']);
  });

  it('reads from the primary what is to be all that was acknowledged, wherever else it reads from', async () => {
    const find = vi.spyOn(Collection.prototype, 'find');
    try {
      const { tier } = opened;
      await tier.getMany([storageKey(7, 'a')]);
      await tier.getMany([storageKey(7, 'a')], undefined, 'primary');
      for await (const keys of tier.keysOf(7)) expect(keys).toEqual([]);
      const preferences = find.mock.calls.map(([, options]) => options?.readPreference);
      expect(preferences).toEqual([undefined, 'primary', 'primary']);
    } finally {
      find.mockRestore();
    }
  });

  it('sends a write again that lost to an older one which was first by chance', async () => {
    const { tier, stub } = opened;
    let meetings = 3;
    stub.beforeWrite = id => {
      if (meetings-- > 0) other(id, 9);
    };
    // The stand-in lets version 9 in before each try: the first write is beaten, the second is larger.
    expect(await tier.putMany([write('a', 8), write('b', 10)])).toEqual([9, null]);
    expect((await tier.getMany([storageKey(7, 'b')]))[0]).toEqual(write('b', 10).value);
  });

  it('gives up, with an error, on a record that is there and gone at every look', async () => {
    const { tier, stub } = opened;
    stub.beforeWrite = id => other(id, 9);
    stub.beforeRead = () => other('a', 1);
    await expect(tier.putMany([write('a', 8)])).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('races'),
    });
  });

  it('is told when no majority has acknowledged a write', async () => {
    const { tier, stub } = opened;
    stub.writeConcernError = { code: 64, errmsg: 'waiting for replication timed out' };
    await expect(tier.putMany([write('a', 1)])).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/may yet be applied.*replication timed out/),
    });
    // A larger version is held as well, which no majority has acknowledged either.
    other('b', 5);
    stub.writeConcernError = { code: 64, errmsg: 'waiting for replication timed out' };
    await expect(tier.putMany([write('b', 1)])).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('reads answers of more than one reply', async () => {
    const { tier } = opened;
    const writes = [1, 2, 3, 4, 5].map(n => write(`big ${n}`, n, 6 * 2 ** 20));
    await tier.putMany(writes);
    const values = await tier.getMany(writes.map(({ key }) => key));
    expect(values.map(value => value?.length)).toEqual(writes.map(({ value }) => value.length));
  });

  it('shows a document without a record as damaged', async () => {
    const { tier, stub } = opened;
    stub.put('records_7', { _id: 'text', version: 1, record: 'text' });
    stub.put('records_7', { _id: 'none', version: 1 });
    const values = await tier.getMany([storageKey(7, 'text'), storageKey(7, 'none'), storageKey(7, 'other')]);
    expect(values.map(value => value?.length)).toEqual([0, 0, undefined]);
  });

  it('writes nothing of a call with a record that is larger than a document may be', async () => {
    const { tier, stub } = opened;
    const value = Buffer.concat([write('b', 1).value, Buffer.alloc(16 * 2 ** 20)]);
    const tooLarge = { key: storageKey(8, 'b'), value, version: 1 as Version };
    await expect(tier.putMany([write('a', 1), tooLarge])).rejects.toMatchObject({
      code: 'invalid-record',
      message: expect.stringMatching(/take 16\d+ bytes in MongoDB, 16\d+ are allowed/),
    });
    expect(stub.commands).toEqual([]);
    const largest = { ...tooLarge, value: value.subarray(0, 16 * 2 ** 20 - 65 * 2 ** 10) };
    expect(await tier.putMany([largest])).toEqual([null]);
  });

  it('waits for every part of a call before it says that one failed', async () => {
    const { tier, stub } = opened;
    const elsewhere = { ...write('a', 1), key: storageKey(8, 'a') };
    stub.writeConcernError = { code: 64, errmsg: 'waiting for replication timed out' };
    await expect(tier.putMany([write('a', 1), elsewhere])).rejects.toMatchObject({ code: 'unavailable' });
    expect(stub.commands.filter(name => name === 'update')).toHaveLength(2);
  });
});
