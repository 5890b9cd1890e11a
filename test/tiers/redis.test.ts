/** What is Redis's own beside the suite: races, expiry, damage, and servers that fail in every way that can be arranged. */
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import type { RedisTier } from '../../src/tiers/redis.js';
import { RedisConnection } from '../../src/tiers/redis-connection.js';
import { packRedisValue } from '../../src/tiers/redis-value.js';
import { SEED, Seeded } from '../base/seeded.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { connectTo, openRedisTier, targetOf } from './redis-fixture.js';
import { write } from './tier-suite.js';

const REFUSED = { name: 'TierRefusal', code: 'unavailable' };
const UNAVAILABLE = { name: 'HeadraceError', code: 'unavailable' };
const QUICK = { commandTimeoutMs: 300, connectTimeoutMs: 300 };
const keyA = storageKey(7, 'a');

describeWithRedis('Redis', () => {
  let server: RedisServer;
  let admin: Redis;
  let tier: RedisTier;
  let connection: RedisConnection;

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  beforeEach(async () => {
    admin = server.admin;
    await admin.flushall();
    ({ tier, connection } = await openRedisTier(server.url, {}, QUICK));
  });
  afterEach(() => tier.close());
  afterAll(() => server?.close());

  it('keeps the largest version when several connections race, and tells each write the truth', async () => {
    const random = new Seeded(SEED);
    const tiers = await Promise.all(Array.from({ length: 4 }, () => openRedisTier(server.url)));
    const applied = new Map<string, number[]>();
    const largest = new Map<string, number>();
    const calls = Array.from({ length: 200 }, (_, call) => {
      const writes = Array.from({ length: 10 }, () => ({
        id: `k${random.below(5)}`,
        version: 1 + random.below(10_000),
      }));
      for (const { id, version } of writes) largest.set(id, Math.max(version, largest.get(id) ?? 0));
      const results = tiers[call % 4]?.tier.putMany(writes.map(({ id, version }) => write(id, version)));
      return results?.then(held => {
        for (const [place, { id, version }] of writes.entries()) {
          if (held[place] === null) applied.set(id, [...(applied.get(id) ?? []), version]);
          else expect(held[place]).toBeGreaterThanOrEqual(version);
        }
      });
    });
    await Promise.all(calls);
    for (const [id, version] of largest) {
      expect(await tier.putMany([write(id, 1)])).toEqual([version]);
      expect(applied.get(id)?.filter(other => other === version)).toHaveLength(1);
      expect(new Set(applied.get(id)).size).toBe(applied.get(id)?.length);
    }
    await Promise.all(tiers.map(({ close }) => close()));
  });

  it('writes 3,000 records at once and reads them in one call', async () => {
    const writes = Array.from({ length: 3_000 }, (_, n) => write(`n${n}`, n + 1, 4 * (n % 9)));
    expect(new Set(await tier.putMany(writes))).toEqual(new Set([null]));
    const values = await tier.getMany(writes.map(({ key }) => key));
    expect(
      values.every(
        (value, n) => Buffer.compare(value ?? Buffer.alloc(0), writes[n]?.value ?? Buffer.alloc(1)) === 0,
      ),
    ).toBe(true);
    await tier.deleteMany(writes.map(({ key }) => key));
    expect(await admin.dbsize()).toBe(0);
  });

  it('lets a key live as long as its value says', async () => {
    let expiresAt = Date.now() + 3_600_000.5;
    const { tier: other, close } = await openRedisTier(server.url, { expiresAtOf: () => expiresAt });
    await other.putMany([write('a', 1)]);
    expect(await admin.pexpiretime('headrace:7:a')).toBe(Math.floor(expiresAt));
    expiresAt = Number.POSITIVE_INFINITY;
    await other.putMany([write('a', 2)]);
    expect(await admin.pttl('headrace:7:a')).toBe(-1);
    for (const past of [Date.now() - 1, 0, -5, Number.MIN_SAFE_INTEGER]) {
      expiresAt = past;
      expect(await other.putMany([write('b', 1)])).toEqual([null]);
      expect(await other.getMany([storageKey(7, 'b')])).toEqual([undefined]);
    }
    await close();
  });

  it('shows what is damaged or cut short as empty, what is no string as absent, and writes over it', async () => {
    const flipped = packRedisValue(write('a', 5).version, write('a', 5).value);
    flipped[0] = 0x10;
    const damaged = new Uint8Array(0);
    for (const [make, seen] of [
      [() => admin.set('headrace:7:a', ''), damaged],
      [() => admin.set('headrace:7:a', 'short'), damaged],
      [() => admin.set('headrace:7:a', 'no header that anybody packed'), damaged],
      [() => admin.set('headrace:7:a', flipped), damaged],
      [() => admin.lpush('headrace:7:a', 'x'), undefined],
    ] as const) {
      await admin.del('headrace:7:a');
      await make();
      expect(await tier.getMany([keyA])).toEqual([seen]);
      expect(await tier.putMany([write('a', 1)])).toEqual([null]);
      expect((await tier.getMany([keyA]))[0]).toEqual(write('a', 1).value);
    }
  });

  it('discards what is damaged, unless it was replaced since it was read', async () => {
    const broken = Buffer.from(packRedisValue(write('a', 5).version, write('a', 5).value));
    await admin.set('headrace:7:a', broken);
    await tier.putMany([write('b', 1), write('c', 1)]);
    await admin.set('headrace:7:d', 'no header');
    const keys = ['a', 'b', 'c', 'd', 'none'].map(id => storageKey(7, id));
    const values = await tier.getMany(keys);
    await tier.putMany([write('b', 2)]);
    await tier.discardMany(keys.map((key, at) => ({ key, value: values[at] ?? new Uint8Array(0) })));
    expect((await tier.getMany(keys)).map(value => value?.length)).toEqual([
      undefined,
      write('b', 2).value.length,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('sends its script again when the server has forgotten it', async () => {
    await tier.putMany([write('a', 1)]);
    await admin.script('FLUSH');
    const writes = [2, 3, 4].map(version => tier.putMany([write('a', version)]));
    expect(await Promise.all(writes)).toEqual([[null], [null], [null]]);
  });

  it('says so when the server is out of memory, is a replica, or forbids', async () => {
    await tier.putMany([write('a', 1)]);
    await admin.config('SET', 'maxmemory', '1');
    await expect(tier.putMany([write('a', 2)])).rejects.toMatchObject({
      ...REFUSED,
      message: /out of memory/,
    });
    expect((await tier.getMany([keyA]))[0]).toEqual(write('a', 1).value);
    await admin.config('SET', 'maxmemory', '0');
    await admin.replicaof('127.0.0.1', '1');
    await expect(tier.putMany([write('a', 2)])).rejects.toMatchObject({ ...REFUSED, message: /replica/ });
    await admin.call('REPLICAOF', 'NO', 'ONE');
    await eventually(async () => (await tier.putMany([write('a', 2)]))[0] === null, 'it takes writes again');
    await admin.acl('SETUSER', 'reader', 'on', '>pass', '~*', '+@all', '-eval', '-evalsha');
    const { tier: reader, close } = await openRedisTier(server.url.replace('//', '//reader:pass@'));
    expect((await reader.getMany([keyA]))[0]).toEqual(write('a', 2).value);
    await expect(reader.putMany([write('a', 3)])).rejects.toMatchObject({
      ...REFUSED,
      message: /ACL user/,
    });
    await close();
  });

  it('does not come in with a wrong password, nor show it', async () => {
    await admin.acl('SETUSER', 'someone', 'on', '>right', '~*', '+@all');
    const errors: Error[] = [];
    const target = targetOf(server.url.replace('//', '//someone:Zq7wXv9s@'));
    const refused = new RedisConnection(target, { ...QUICK, onError: error => errors.push(error) });
    await expect(refused.ready()).rejects.toMatchObject(UNAVAILABLE);
    expect(errors.map(String).join()).toMatch(/WRONGPASS/);
    expect(errors.map(String).join()).not.toContain('Zq7wXv9s');
    refused.close();
  });

  it('fails while the server hangs, at once when too many wait, and works when it goes on', async () => {
    await tier.putMany([write('a', 1)]);
    server.stop();
    try {
      await expect(tier.getMany([keyA])).rejects.toMatchObject(UNAVAILABLE);
      await eventually(() => !connection.isReady, 'the hanging connection is given up');
      const outcomes: string[] = [];
      const calls = Array.from({ length: 200 }, (_, call) =>
        tier.getMany([keyA]).catch((error: Error) => outcomes.push(`${call} ${error.message}`)),
      );
      await Promise.all(calls);
      expect(outcomes).toHaveLength(200);
      expect(outcomes.filter(text => /64 calls wait/.test(text))).toHaveLength(136);
    } finally {
      server.resume();
    }
    await eventually(async () => (await tier.getMany([keyA]))[0], 'it is read again');
  });

  it('fails while the server is gone, and works when it is back, empty', async () => {
    await tier.putMany([write('a', 9)]);
    await server.kill();
    await expect(tier.putMany([write('a', 10)])).rejects.toMatchObject(UNAVAILABLE);
    await expect(tier.getMany([keyA])).rejects.toMatchObject(UNAVAILABLE);
    await server.restart();
    await eventually(async () => (await tier.getMany([keyA])).length === 1, 'it answers');
    expect(await tier.putMany([write('a', 1)])).toEqual([null]);
  });

  it('answers each call under way when its connection is cut, and repeats none of them', async () => {
    const calls = Array.from({ length: 50 }, (_, n) =>
      tier.putMany([write('a', n + 1, 100_000)]).catch(error => error.code),
    );
    await admin.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    const outcomes = await Promise.all(calls);
    const lost = outcomes.filter(outcome => outcome === 'unavailable').length;
    expect(outcomes.filter(outcome => Array.isArray(outcome)).length + lost).toBe(50);
    await eventually(async () => (await tier.getMany([keyA])).length === 1, 'it answers');
    // Nothing is told that its own version is held, which is what a write sent twice would be told.
    for (const [n, outcome] of outcomes.entries())
      if (Array.isArray(outcome)) expect(outcome, `${n}`).toEqual([null]);
  });

  it('can do nothing once it is closed', async () => {
    await tier.close();
    await expect(tier.getMany([keyA])).rejects.toMatchObject(UNAVAILABLE);
    await expect(tier.putMany([write('a', 1)])).rejects.toMatchObject(UNAVAILABLE);
    await expect(tier.deleteMany([keyA])).rejects.toMatchObject(UNAVAILABLE);
  });

  it('fails when nobody listens, and names a file that it cannot read', async () => {
    const nobody = connectTo('redis://127.0.0.1:1', QUICK);
    await expect(nobody.ready()).rejects.toMatchObject(UNAVAILABLE);
    nobody.close();
    expect(() => connectTo('rediss://127.0.0.1:1?ca=/no/such/file')).toThrow(/parameter ca cannot be read/);
  });
});

describeWithRedis('Redis that must not lose an acknowledged write', () => {
  it('waits for replicas, and fails when they do not keep up', async () => {
    const master = await RedisServer.start(['--repl-diskless-sync-delay', '0']);
    const replica = await RedisServer.start(['--replicaof', `127.0.0.1 ${master.port}`]);
    const durable = { replicas: 1, aof: false, timeoutMs: 200 };
    const reads = connectTo(master.url);
    const { tier, close } = await openRedisTier(master.url, { durable, reads });
    try {
      const hasReplica = async () =>
        (await master.admin.set('x', 1)) && (await master.admin.wait(1, 100)) === 1;
      await eventually(hasReplica, 'the replica keeps up');
      expect(await tier.putMany([write('a', 1)])).toEqual([null]);
      expect(await replica.admin.exists('headrace:7:a')).toBe(1);
      replica.stop();
      await expect(tier.putMany([write('a', 2)])).rejects.toMatchObject({
        ...UNAVAILABLE,
        message: /0 of 1 replicas/,
      });
      // Whoever is told that a newer one is held can rely on that one.
      await expect(tier.putMany([write('a', 1)])).rejects.toMatchObject(UNAVAILABLE);
      expect((await tier.getMany([keyA]))[0]).toEqual(write('a', 2).value);
      replica.resume();
      expect(await tier.putMany([write('a', 1)])).toEqual([2]);
      await tier.deleteMany([keyA]);
      expect(await replica.admin.exists('headrace:7:a')).toBe(0);
    } finally {
      await close();
      await Promise.all([replica.close(), master.close()]);
    }
  });
});
