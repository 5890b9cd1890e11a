/** The tier behind a network that lies: every call ends in time, with values of the right number or an honest error. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { idOfStorageKey, storageKey } from '../../src/base/keys.js';
import type { TierWrite } from '../../src/base/tier.js';
import { SEED } from '../base/seeded.js';
import { type ProxyMode, RedisProxy } from '../support/redis-proxy.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { openRedisTier } from './redis-fixture.js';
import { News } from './redis-news.js';
import { write } from './tier-suite.js';

const QUICK = { commandTimeoutMs: 150, connectTimeoutMs: 150 };
const ids = Array.from({ length: 20 }, (_, n) => `k${n}`);
const keys = ids.map(id => storageKey(7, id));

/** A value that says which record it is, and carries a checksum as records do. */
function sealed(id: string, version: number): TierWrite {
  const body = Buffer.from(`${id} ${version} ${'x'.repeat(150)}`);
  return { ...write(id, version), value: Buffer.concat([body, digest(body)]) };
}

/** Whatever passes its checksum must be the record that was asked for. */
function check(value: Uint8Array | undefined, key: Uint8Array | undefined): void {
  if (value === undefined || key === undefined) return;
  const body = Buffer.from(value).subarray(0, -20);
  if (!digest(body).equals(Buffer.from(value).subarray(-20))) return;
  expect(body.toString().split(' ')[0]).toBe(idOfStorageKey(key));
}

function digest(body: Buffer): Buffer {
  return createHash('sha1').update(body).digest();
}

describeWithRedis('Redis behind a network that fails', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server?.close());

  it.each<ProxyMode>(['hold', 'cut', 'half-close', 'corrupt', 'garbage'])('survives: %s', async mode => {
    await server.admin.flushall();
    const proxy = await RedisProxy.start(server.port, SEED);
    const { tier, connection, close } = await openRedisTier(proxy.url, {}, QUICK);
    const news = new News(connection, { heartbeatMs: 50, heartbeatTimeoutMs: 100 });
    try {
      await news.whole();
      await tier.putMany(ids.map(id => sealed(id, 1)));
      for (let round = 0; round < (mode === 'corrupt' ? 100 : 6); round++) {
        proxy.mode = mode;
        const reads = Array.from({ length: 5 }, (_, n) => {
          // Neighbours ask for different keys, and as many: the answer to one would fit the other.
          const asked = [...keys.slice(n), ...keys.slice(0, n)];
          return tier.getMany(asked).then(values => {
            for (const [at, value] of values.entries()) check(value, asked[at]);
          });
        });
        const writes = Array.from({ length: 5 }, (_, n) => {
          const results = tier.putMany(ids.map(id => sealed(id, 100 * round + n + 2)));
          return results.then(held => expect(held).toHaveLength(ids.length));
        });
        for (const outcome of await Promise.allSettled([...reads, ...writes])) {
          if (outcome.status === 'rejected') {
            expect(outcome.reason).toMatchObject({ name: 'HeadraceError', code: 'unavailable' });
          }
        }
        proxy.mode = 'pass';
        await eventually(async () => (await tier.getMany(keys)).length === ids.length, 'it answers again');
      }
      await news.heard('restored', 'lost', 'restored');
      await news.whole();
      await eventually(
        async () => (await tier.putMany([write('k0', 9_999)]))[0] === null,
        'it takes a write',
      );
      expect((await tier.getMany([storageKey(7, 'k0')]))[0]).toEqual(write('k0', 9_999).value);
      await eventually(() => news.ids.includes('k0'), 'it is heard of');
    } finally {
      news.tracking.close();
      await close();
      proxy.close();
    }
  });
});
