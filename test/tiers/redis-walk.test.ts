/** Going through all keys of a view in Redis: in parts of one command each, over as soon as nobody asks, of one server. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { type OpenRedisTier, openRedisTier } from './redis-fixture.js';
import { write } from './tier-suite.js';

const STRANGERS = 20_000;

describeWithRedis('the keys of a view in Redis', () => {
  let server: RedisServer;
  let opened: OpenRedisTier;

  beforeAll(async () => {
    server = await RedisServer.start();
    const pairs = Array.from({ length: STRANGERS }, (_, n) => [`stranger:${n}`, 'x']).flat();
    await server.admin.mset(pairs);
  });
  beforeEach(async () => {
    opened = await openRedisTier(server.url);
    await opened.tier.putMany([write('a', 1)]);
  });
  afterEach(() => opened.close());
  afterAll(() => server?.close());

  const scans = async () =>
    Number(/cmdstat_scan:calls=(\d+)/.exec(await server.admin.info('commandstats'))?.[1] ?? 0);

  it('come in parts, of which one that finds nothing is one too', async () => {
    const before = await scans();
    const parts: string[][] = [];
    for await (const keys of opened.tier.keysOf(7))
      parts.push(keys.map(key => Buffer.from(key).toString('hex')));
    expect(parts.flat()).toEqual([storageKey(7, 'a').toString('hex')]);
    expect(parts.length).toBe((await scans()) - before);
    expect(parts.length).toBeGreaterThanOrEqual(STRANGERS / 2_000);
  });

  it('are not gone through any further when nobody asks', async () => {
    const before = await scans();
    const walk = opened.tier.keysOf(7);
    const first = walk.next();
    // While it is being answered.
    const end = walk.return(undefined);
    await Promise.all([first, end]);
    expect((await scans()) - before).toBe(1);
    expect(await walk.next()).toEqual({ value: undefined, done: true });
    expect((await scans()) - before).toBe(1);
  });

  it('are to be gone through anew when the connection was made anew: a cursor is of one server', async () => {
    const walk = opened.tier.keysOf(7);
    expect((await walk.next()).done).toBe(false);
    await server.admin.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await eventually(
      () =>
        opened.tier.ping().then(
          () => true,
          () => false,
        ),
      'there is a connection again',
    );
    const before = await scans();
    await expect(walk.next()).rejects.toMatchObject({ code: 'unavailable' });
    expect(await scans()).toBe(before);
    const again: number[] = [];
    for await (const keys of opened.tier.keysOf(7)) again.push(keys.length);
    expect(again.reduce((sum, count) => sum + count, 0)).toBe(1);
  });
});
