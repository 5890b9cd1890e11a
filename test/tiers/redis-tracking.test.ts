import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { idOfStorageKey, storageKey } from '../../src/base/keys.js';
import type { RedisTier } from '../../src/tiers/redis.js';
import { RedisConnection } from '../../src/tiers/redis-connection.js';
import { TrackedMaster } from '../../src/tiers/redis-tracked-master.js';
import { RedisTracking } from '../../src/tiers/redis-tracking.js';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { type OpenRedisTier, openRedisTier, targetOf } from './redis-fixture.js';
import { News } from './redis-news.js';
import { write } from './tier-suite.js';

const QUICK = { commandTimeoutMs: 300, connectTimeoutMs: 300 };

/** What it answers, or fails with. */
async function ping(client: Redis): Promise<unknown> {
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await client.ping();
  } catch (error) {
    return error;
  } finally {
    client.disconnect();
  }
}

describeWithRedis('tracking', () => {
  let server: RedisServer;
  let mine: OpenRedisTier;
  let other: OpenRedisTier;
  let tier: RedisTier;
  let news: News;

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  beforeEach(async () => {
    await server.admin.flushall();
    mine = await openRedisTier(server.url, {}, QUICK);
    other = await openRedisTier(server.url, {}, QUICK);
    tier = mine.tier;
    news = new News(mine.connection);
    await news.whole();
  });
  afterEach(async () => {
    news.tracking.close();
    await Promise.all([mine.close(), other.close()]);
  });
  afterAll(() => server?.close());

  /** What came before this write of another has been heard once this has. */
  async function marker(): Promise<void> {
    const id = `marker-${Math.random()}`;
    await other.tier.putMany([write(id, 1)]);
    await eventually(() => news.ids.includes(id), 'the marker is heard');
  }

  it('tells of what is written, deleted and expires, also by its own process', async () => {
    await tier.putMany([write('mine', 1)]);
    await other.tier.putMany([write('a', 1), write('b', 1), write('é\0💧', 1)]);
    await other.tier.deleteMany([storageKey(7, 'a')]);
    await marker();
    expect(news.ids.filter(id => !id.startsWith('marker')).sort()).toEqual(
      ['a', 'a', 'b', 'mine', 'é\0💧'].sort(),
    );
    // Refused writes change nothing, and are no news.
    news.ids = [];
    expect(await other.tier.putMany([write('b', 1)])).toEqual([1]);
    await marker();
    expect(news.ids).toHaveLength(1);
    await server.admin.pexpire('headrace:7:b', 1);
    await eventually(
      () => news.ids.filter(id => id === 'b').length >= 2,
      'that it is to expire, and that it has',
    );
    expect(news.events).toEqual(['restored']);
  });

  it('tells of the catalog, and of no other keys', async () => {
    await server.admin.set('other:7:a', 1);
    await server.admin.set('headrace:else', 1);
    await server.admin.set('headrace:catalog', 1);
    await marker();
    expect(news.ids).toHaveLength(1);
    expect(news.events).toEqual(['restored', 'catalog']);
  });

  it('tells when everything is gone', async () => {
    await server.admin.flushall();
    await news.heard('restored', 'everything');
  });

  it.each(['pubsub', 'normal'])('says so when its %s connection is cut, and comes back', async type => {
    await server.admin.client('KILL', 'TYPE', type, 'SKIPME', 'yes');
    await news.heard('restored', 'lost', 'restored');
    await eventually(() => other.connection.isReady, 'the other is back');
    await marker();
  });

  it('notices a server that hangs, and one that is started anew', async () => {
    server.stop();
    await news.heard('restored', 'lost');
    expect(news.tracking.isWhole).toBe(false);
    server.resume();
    await news.heard('restored', 'lost', 'restored');
    await server.kill();
    await news.heard('restored', 'lost', 'restored', 'lost');
    await server.restart();
    await news.heard('restored', 'lost', 'restored', 'lost', 'restored');
    await eventually(() => other.connection.isReady, 'the other is back');
    await marker();
  });

  it('takes nothing for a change that a server reads from its file when it starts', async () => {
    // It looks after its connections once in 1,024 commands, which are all that there is in its file.
    const slow = ['--appendonly', 'yes', '--key-load-delay', '100'];
    const durable = await RedisServer.start(slow);
    const connect = () => mine.connection.sibling('127.0.0.1', durable.port);
    const changed: string[] = [];
    let master: TrackedMaster | undefined;
    try {
      const writes = durable.admin.pipeline();
      for (let n = 0; n < 20_000; n++) writes.set(`headrace:7:doc-${n}`, 'x');
      await writes.exec();
      await durable.kill();
      const started = durable.restart();
      await eventually(async () => String(await ping(connect())).includes('LOADING'), 'it is loading');
      master = new TrackedMaster({
        prefix: 'headrace:',
        connect,
        onChanged: keys => changed.push(...(keys ?? ['all']).map(String)),
        onState: () => undefined,
        onTrouble: () => undefined,
      });
      await eventually(() => master?.isTracked, 'it is tracked');
      await started;
      await durable.admin.set('headrace:7:marker', 'x');
      await eventually(() => changed.includes('headrace:7:marker'), 'the marker is heard');
      expect(changed).toEqual(['headrace:7:marker']);
    } finally {
      master?.close();
      await durable.close();
    }
  });

  it('loses nothing when only the connection that carries the records is cut', async () => {
    await server.admin.client('KILL', 'ID', await mine.connection.client.client('ID'));
    await eventually(() => mine.connection.isReady, 'it is back');
    await marker();
    expect(news.events).toEqual(['restored']);
  });

  it('says nothing once it is closed', async () => {
    news.tracking.close();
    await other.tier.putMany([write('a', 1)]);
    await server.admin.flushall();
    await mine.tier.getMany([storageKey(7, 'a')]);
    expect([news.ids, news.events]).toEqual([[], ['restored']]);
  });

  it('says why it cannot track', async () => {
    await server.admin.acl('SETUSER', 'deaf', 'on', '>pass', '~*', '+@all', 'resetchannels');
    const errors: string[] = [];
    const target = targetOf(server.url.replace('//', '//deaf:pass@'));
    const connection = new RedisConnection(target, {
      ...QUICK,
      onError: error => errors.push(error.message),
    });
    const deaf = new News(connection);
    await eventually(
      () => errors.some(text => /tracking .*NOPERM.*channel/.test(text)),
      'the reason is reported',
    );
    expect(deaf.events).toEqual([]);
    deaf.tracking.close();
    connection.close();
  });

  it('lets no cache go stale, though its connections are cut at random', async () => {
    const random = new Seeded(SEED);
    const cache = new FollowingCache(mine);
    await eventually(() => cache.tracking.isWhole, 'it is tracked');
    const ids = Array.from({ length: 20 }, (_, n) => `k${n}`);
    const rounds = FULL ? 20_000 : 1_500;
    for (let round = 1; round <= rounds; round++) {
      const reads = Array.from({ length: 4 }, () => cache.read(random.pick(ids)).catch(() => undefined));
      // Written by a connection that is never cut.
      await server.admin.set(`headrace:7:${random.pick(ids)}`, String(round));
      if (random.below(25) === 0) {
        await cutOne(random);
        if (random.below(2) === 0) await eventually(() => cache.tracking.isWhole, 'it is tracked again');
      }
      await Promise.all(reads);
    }
    await eventually(() => cache.tracking.isWhole, 'it is tracked again');
    for (const id of ids) await eventually(() => cache.read(id).then(() => true), 'it is read');
    await server.admin.set('headrace:7:last', rounds);
    await eventually(() => cache.last === 'last', 'all news has come');
    expect(cache.held.size).toBeGreaterThan(0);
    for (const [id, value] of cache.held) expect(await server.admin.get(`headrace:7:${id}`), id).toBe(value);
    expect(cache.losses).toBeGreaterThan(rounds / 150);
    cache.tracking.close();
  });

  async function cutOne(random: Seeded): Promise<void> {
    const list = String(await server.admin.client('LIST'));
    const victims = [...list.matchAll(/^id=(\d+) .* name=headrace /gm)].map(([, id]) => id ?? '');
    if (victims.length > 0) await server.admin.client('KILL', 'ID', random.pick(victims));
  }
});

/** Caches what it reads, and keeps to what the tracking asks of who caches. */
class FollowingCache {
  readonly held = new Map<string, string>();
  readonly tracking: RedisTracking;
  losses = 0;
  last = '';
  readonly #mine: OpenRedisTier;
  /** Reads under way, by id: true when what they read may be old. */
  readonly #fences = new Map<string, { isOld: boolean }[]>();

  constructor(mine: OpenRedisTier) {
    this.#mine = mine;
    const options = { heartbeatMs: 100, heartbeatTimeoutMs: 300 };
    const listener = {
      onKeys: (keys: readonly Uint8Array[]) => {
        for (const key of keys) this.#drop(idOfStorageKey(key));
      },
      onCatalog: () => undefined,
      onEverything: () => this.#empty(),
      onLost: () => {
        this.losses++;
        this.#empty();
      },
      onRestored: () => this.#empty(),
    };
    this.tracking = new RedisTracking(mine.connection, listener, options);
  }

  async read(id: string): Promise<void> {
    if (this.held.has(id)) return;
    const fence = { isOld: false };
    this.#fences.set(id, [...(this.#fences.get(id) ?? []), fence]);
    const value = await this.#mine.connection.call(() =>
      this.#mine.connection.client.get(`headrace:7:${id}`),
    );
    if (value !== null && !fence.isOld) this.held.set(id, value);
  }

  #drop(id: string): void {
    this.last = id;
    this.held.delete(id);
    for (const fence of this.#fences.get(id) ?? []) fence.isOld = true;
    this.#fences.delete(id);
  }

  #empty(): void {
    this.held.clear();
    for (const fences of this.#fences.values()) for (const fence of fences) fence.isOld = true;
    this.#fences.clear();
  }
}
