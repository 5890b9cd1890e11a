import { describe, expect, it } from 'vitest';
import { MongoConnection } from '../../src/tiers/mongo-connection.js';
import { databaseOfUrl, optionsOfUrl, shownUrl } from '../../src/tiers/mongo-url.js';

describe("MongoDB's connection string", () => {
  it.each([
    ['mongodb://localhost', 'mongodb://localhost'],
    ['mongodb://a:27017,b:27018/db?replicaSet=rs0', 'mongodb://a:27017,b:27018/db?replicaSet=rs0'],
    ['mongodb+srv://user@cluster.example/db', 'mongodb+srv://user:***@cluster.example/db'],
    ['mongodb://user:secret@host/db', 'mongodb://user:***@host/db'],
    ['mongodb://user:se@cr/e?t@host/db?w=1', 'mongodb://user:***@host/db?w=1'],
    ['mongodb://:secret@host', 'mongodb://:***@host'],
    [
      'mongodb://h/?tlsCertificateKeyFilePassword=secret&tls=true',
      'mongodb://h/?tlsCertificateKeyFilePassword=***&tls=true',
    ],
    [
      'mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:secret',
      'mongodb://h/?authMechanismProperties=***',
    ],
    ['user:secret@host', '***'],
    ['', '***'],
  ])('is shown without its secrets: %s', (url, shown) => {
    expect(shownUrl(url)).toBe(shown);
  });

  it('names a database, or none', () => {
    expect(databaseOfUrl('mongodb://u:p@a,b:1/features?x=1')).toBe('features');
    expect(databaseOfUrl('mongodb://a/a%20b')).toBe('a b');
    for (const url of ['mongodb://a', 'mongodb://a/', 'mongodb://a/?x=/y', 'mongodb://a?x=1']) {
      expect(databaseOfUrl(url)).toBeUndefined();
    }
  });

  it('says which options stand in it', () => {
    expect(optionsOfUrl('mongodb://a/?maxPoolSize=3&w=1')).toEqual(new Set(['maxpoolsize', 'w']));
    expect(optionsOfUrl('mongodb://a')).toEqual(new Set());
  });

  it('wins over what is handed in, which wins over the defaults; a majority is always asked', async () => {
    const connection = new MongoConnection({
      url: 'mongodb://127.0.0.1:1/features?MAXPOOLSIZE=3&w=1&journal=false&readPreference=secondaryPreferred&maxStalenessSeconds=120&retryReads=false',
      tuning: { maxPoolSize: 5, waitQueueTimeoutMS: 77, readPreference: 'nearest' },
    });
    const { client, databaseName, writeConcern, readPreference } = connection.database;
    const { options } = client;
    expect(databaseName).toBe('features');
    expect([options.maxPoolSize, options.waitQueueTimeoutMS, options.serverSelectionTimeoutMS]).toEqual([
      3, 77, 2_000,
    ]);
    expect([options.retryReads, options.retryWrites]).toEqual([false, true]);
    expect(readPreference).toMatchObject({ mode: 'secondaryPreferred', maxStalenessSeconds: 120 });
    expect(writeConcern).toMatchObject({ w: 'majority', j: true });
    expect(client.options.writeConcern).toMatchObject({ w: 'majority' });
    await connection.close();
  });

  it.each([
    'mongodb://user:hunter2:3@host/db',
    'mongodb://user:hunter2@@host/db',
    'mongodb://user:hunter2@host/db?nonsense=true',
    'mongodb://user:%hunter2@host/db',
    'mongodb://user:hunter2@host:99999/db',
    'mongodb://user:hunter2/3@host/db',
    'mongodb://user:hunter2@host/%E0%A4%A',
    'http://user:hunter2@host',
    '',
  ])('is refused without telling its secrets: %s', url => {
    let refusal: unknown;
    try {
      new MongoConnection({ url });
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/^HEADRACE_MONGODB_URL cannot/),
    });
    expect(String(refusal)).not.toContain('hunter2');
  });
});
