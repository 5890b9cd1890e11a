/**
 * `headrace doctor` against a real server of MongoDB's protocol (FerretDB, so what it lacks is named), and its
 * judgements of what only MongoDB itself has.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Document, MongoClient } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { judgeReplication, judgeVersion } from '../../src/tiers/mongo-settings-check.js';
import { openTestMongo, recordWrite } from '../support/mongo-fixture.js';
import { FerretDbServer, noOwnServer, noServer, testDatabaseUrl } from '../support/mongo-server.js';
import { freePort } from '../support/redis-server.js';
import { changesOf, findingsOf, linesOf } from './doctor-findings.js';

const mongoLines = async (mongodbUrl: string, secret?: string) =>
  linesOf(await findingsOf({ mongodbUrl }, secret), 'mongodb');

/** Of what is not there, the driver shall not wait for all of a check's time. */
const SOON = 'serverSelectionTimeoutMS=500&connectTimeoutMS=200';

describe.skipIf(noServer !== undefined)('doctor, of MongoDB', () => {
  it('finds what the server is and lacks, and leaves nothing behind', async () => {
    const url = await testDatabaseUrl('w=1');
    const lines = await mongoLines(url);
    expect(lines.map(line => line.split(/[ :]/, 2)[1])).toEqual([
      ...['url', 'server', 'version', 'replication', 'write', 'indexes', 'latency'],
    ]);
    expect(lines.filter(line => line.startsWith('problem'))).toEqual([]);
    expect(lines).toContainEqual(
      expect.stringMatching(/^ok write concern: .* majority, journalled; w of the URL/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^ok indexes: no view has records yet/));
    const client = new MongoClient(url);
    try {
      expect(await client.db().listCollections().toArray()).toEqual([]);
    } finally {
      await client.close();
    }
  });

  it('finds the indexes of views, and what it says of one that is missing is enough', async () => {
    const url = await testDatabaseUrl();
    const mongo = await openTestMongo({ url });
    const client = new MongoClient(url);
    try {
      await mongo.tier.putMany([recordWrite('a', 1)]);
      expect(await mongoLines(url)).toContainEqual(
        expect.stringMatching(/^ok indexes: those of all views are there \(1\)/),
      );
      await client.db().collection('records_8').insertOne({ a: 1 });
      const ill = await findingsOf({ mongodbUrl: url });
      const { indexes = '' } = changesOf(ill, 'mongodb');
      expect(indexes).toContain('db.records_8.createIndex({ tags: 1 }, { sparse: true })');
      expect(indexes).not.toContain('records_7');
      await client.db().collection('records_8').createIndex({ tags: 1 }, { sparse: true });
      const { indexes: left = '' } = changesOf(await findingsOf({ mongodbUrl: url }), 'mongodb');
      expect(left).not.toContain('tags');
    } finally {
      await client.close();
      await mongo.close();
    }
  });
});

describe.skipIf(noOwnServer !== undefined)('doctor, of a server that fails', () => {
  it('names what FerretDB lacks', async () => {
    const server = await FerretDbServer.start();
    const lines = await mongoLines(server.url());
    expect(lines).toContainEqual(
      expect.stringMatching(/^warning version: FerretDB v1.*no TTL index, no replica set/),
    );
    expect(lines).toContainEqual(
      expect.stringMatching(/^warning replication: .*a majority is this one machine/),
    );
  });

  it('names one that hangs', async () => {
    const server = await FerretDbServer.start();
    server.stop();
    try {
      const lines = await mongoLines(server.url(SOON));
      expect(lines.at(-1)).toMatch(/^problem server: it hangs, or cannot be reached/);
    } finally {
      server.resume();
    }
  });

  it('names a login that is refused, without the password', async () => {
    const server = await FerretDbServer.start();
    const url = server.url(SOON).replace('//', '//user:s3same-0pen@');
    expect((await mongoLines(url, 's3same-0pen')).at(-1)).toMatch(
      /^problem server: it refuses the user or password/,
    );
  });

  it('names a replica set that is none', async () => {
    const server = await FerretDbServer.start();
    const lines = await mongoLines(server.url(`replicaSet=rs0&${SOON}`));
    expect(lines.at(-1)).toMatch(/^problem server: there is no primary/);
  });
});

describe('doctor, of what is no MongoDB', () => {
  it('names a place where nothing listens', async () => {
    const lines = await mongoLines(`mongodb://127.0.0.1:${await freePort()}/?${SOON}`);
    expect(lines.at(-1)).toMatch(/^problem server: nothing listens there/);
  });

  it('finds a problem in a server that speaks something else', async () => {
    for (const answer of [undefined, 'HTTP/1.1 400 Bad Request\r\n\r\n', '\u0010\0\0\0aaaabbbbcccc']) {
      const server = createServer(socket => {
        socket.on('error', () => undefined);
        if (answer === undefined) socket.destroy();
        else socket.on('data', () => socket.write(answer));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      try {
        const address = server.address();
        const port = typeof address === 'string' ? 0 : address?.port;
        expect((await mongoLines(`mongodb://127.0.0.1:${port}/?${SOON}`)).at(-1)).toMatch(
          /^problem server: /,
        );
      } finally {
        server.close();
      }
    }
  });

  it('names a URL that is none, without what is in it', async () => {
    for (const url of [
      'http://u:s3same-0pen@h',
      'mongodb://u:s3same-0pen/x@h/y',
      'mongodb://u:s3same-0pen@h/%zz',
    ]) {
      const lines = await mongoLines(url, 's3same-0pen');
      expect(lines).toEqual([expect.stringMatching(/^problem url: HEADRACE_MONGODB_URL cannot be used/)]);
    }
  });
});

describe('of MongoDB itself', () => {
  const replication = (hello: Document) => {
    const { status, says } = judgeReplication(hello, undefined);
    return `${status} ${says}`;
  };
  const set = (hosts: number, arbiters = 0) => ({
    setName: 'rs0',
    hosts: Array.from({ length: hosts }, (_, n) => `h${n}`),
    ...(arbiters === 0 ? {} : { arbiters: Array.from({ length: arbiters }, (_, n) => `a${n}`) }),
  });

  it('a replica set is ok when one member may fail', () => {
    expect(replication(set(3))).toBe('ok replica set rs0, members with data: 3');
    expect(replication({ ...set(2), passives: ['p'] })).toBe('ok replica set rs0, members with data: 3');
    expect(replication(set(5))).toMatch(/^ok/);
    expect(replication({ msg: 'isdbgrid' })).toMatch(/^ok sharded/);
  });

  it('is a warning when a majority is one machine, or every member with data', () => {
    expect(replication({})).toMatch(/^warning standalone; a majority is this one machine/);
    expect(replication(set(1))).toMatch(
      /^warning replica set rs0, members with data: 1; a majority is this one machine/,
    );
    expect(replication(set(2))).toMatch(/^warning .* when one of these fails/);
    expect(replication(set(2, 1))).toMatch(/^warning .* with data: 2, arbiters: 1; when one/);
  });

  it('that is old is a warning', () => {
    expect(judgeVersion('8.0.4', undefined)).toEqual({ status: 'ok', says: 'MongoDB 8.0.4' });
    expect(judgeVersion('6.0.20', undefined)).toMatchObject({ status: 'warning' });
  });
});
