/** Leases of two servers that keep their entries in one Redis: one caller of both makes what is missing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from '../base/seeded.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { LEASE_MS, LeaseClient, leaseEnvironment, type Read, SHORT } from './lease-client.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

interface Instance {
  readonly server: ServerProcess;
  readonly api: ApiClient;
}

describeWithRedis('leases of two servers on one Redis', () => {
  let redis: RedisServer;
  let instances: readonly [Instance, Instance];
  let keys = 0;
  const freshKey = () => `key ${++keys}`;
  const clients = (cache?: string) =>
    instances.map(({ api }) => new LeaseClient(api, cache)) as [LeaseClient, LeaseClient];

  /** @param dimensions of the vectors that this one knows; the other's are of another format to it. */
  const open = async (dimensions: number): Promise<Instance> => {
    const env = {
      HEADRACE_REDIS_URL: redis.url,
      HEADRACE_REDIS_TIMEOUT: '2s',
      ...leaseEnvironment({ vectors: { embedding: { dimensions } } }),
    };
    const server = await startServerProcess({ env });
    return { server, api: new ApiClient(server.port, 64) };
  };

  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
    instances = await Promise.all([open(2), open(3)]);
    const tellings = ({ log }: ServerProcess) =>
      log.filter(({ msg }) => msg === 'redis tells of changes').length;
    await eventually(
      () => instances.every(({ server }) => tellings(server) >= 2),
      'both are told of changes',
    );
  }, 60_000);

  afterAll(async () => {
    for (const { server, api } of instances) {
      api.close();
      expect(await server.stop()).toEqual({ code: 0, signal: null });
      expect(server.errorOutput).toBe('');
      expect(server.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
    }
    await redis.close();
  });

  test('are given by one of them, and good at both', async () => {
    const [one, two] = clients();
    for (const [giver, taker] of [
      [one, two],
      [two, one],
      [one, one],
    ] as const) {
      const key = freshKey();
      const token = await giver.lease(key);
      for (const other of [one, two, one, two])
        expect(await other.read(key)).toEqual({
          ...{ status: 404, text: '', lease: undefined },
          retryAfter: expect.stringMatching(/^[23]\d\d$/),
        });
      await taker.fill(key, 'made', token);
      expect(await taker.read(key)).toMatchObject({ status: 200, text: 'made', lease: undefined });
      await eventually(async () => (await giver.read(key)).text === 'made', 'the other has it');
    }
  });

  test('are one for a thousand callers of both, who all get what it makes', async () => {
    const leases = clients('popular');
    const sum = async () => {
      const figures = await Promise.all(leases.map(client => client.figures()));
      const of = (name: 'granted' | 'waiting') => figures.reduce((total, each) => total + each[name], 0);
      return { granted: of('granted'), waiting: of('waiting') };
    };
    const { granted } = await sum();
    const key = freshKey();
    const many = instances.map(({ server }) => new ApiClient(server.port, 500));
    const reads = Array.from({ length: 1_000 }, (_, n) =>
      new LeaseClient(many[n % 2] as ApiClient, 'popular').read(key, '30s'),
    );
    const leased = await Promise.race(reads);
    expect(leased.status).toBe(404);
    await eventually(async () => (await sum()).waiting === 999, 'all others wait');
    await leases[0].fill(key, 'made once', leased.lease ?? '');
    const answers = await Promise.all(reads);
    expect(answers.filter(({ lease }) => lease !== undefined)).toEqual([leased]);
    expect(answers.filter(({ text }) => text === 'made once').length).toBe(999);
    expect((await sum()).granted).toBe(granted + 1);
    for (const api of many) api.close();
  });

  test('go to whoever waits at either of them when their time is over, and are worth nothing then', async () => {
    const [one, two] = clients(SHORT);
    const key = freshKey();
    const lost = await one.lease(key);
    const began = performance.now();
    const next = await two.read(key, '20s');
    expect([next.status, next.lease]).toEqual([404, expect.stringMatching(/./)]);
    expect(performance.now() - began).toBeGreaterThan(LEASE_MS * 0.8);
    for (const client of [one, two]) await client.expectRefused(key, 'too late', lost);
    await one.fill(key, 'in time', next.lease ?? '');
    await eventually(async () => (await two.read(key)).text === 'in time', 'the other has it');
  });

  test('are refused by both that are forged, used, or of another key, and counted', async () => {
    const both = clients();
    const [one, two] = both;
    const [key, other] = [freshKey(), freshKey()];
    const [token, others] = [await one.lease(key), await two.lease(other)];
    const refused = async () => (await one.figures()).refused + (await two.figures()).refused;
    const before = await refused();
    const [version = '', secret = ''] = token.split('.');
    const forged = [
      others,
      secret,
      `${version}.`,
      `${version}.${'A'.repeat(22)}`,
      `${others.split('.')[0]}.${secret}`,
      `${version.slice(0, -1)}${version.endsWith('0') ? '1' : '0'}.${secret}`,
      `${token}A`,
      'x'.repeat(5_000),
    ];
    for (const lease of forged) for (const client of both) await client.expectRefused(key, 'forged', lease);
    expect((await two.read(key)).status).toBe(404);
    await two.fill(key, 'made', token);
    for (const client of both) await client.expectRefused(key, 'again', token);
    expect(await refused()).toBe(before + 2 * forged.length + 2);
    expect((await two.read(key)).text).toBe('made');
  });

  test.each([
    ['a write', (client: LeaseClient, key: string) => client.put(key, 'by another')],
    ['a deletion', (client: LeaseClient, key: string) => client.remove(key)],
    ['an invalidation of it', (client: LeaseClient, key: string) => client.invalidate({ ids: [key] })],
    ['one of a prefix', (client: LeaseClient, key: string) => client.invalidate({ prefix: key })],
    ['one of a tag', (client: LeaseClient) => client.invalidate({ tags: ['any'] })],
    ['one of all', (client: LeaseClient) => client.invalidate({ all: true })],
  ])('are void at both after %s at one', async (_, change) => {
    const [one, two] = clients();
    const key = freshKey();
    const token = await one.lease(key);
    await change(two, key);
    // What a server takes before it is told of an invalidation is hidden when it is.
    await eventually(
      async () => (await one.invalidating()) === (await two.invalidating()),
      'the other is told of it',
    );
    for (const client of [one, two]) await client.expectRefused(key, 'of before', token);
    expect((await two.read(key)).text).not.toBe('of before');
  });

  test('on what is stale are void at both after an invalidation by another tag', async () => {
    const [one, two] = clients('fingerprints');
    const key = freshKey();
    await one.put(key, 'stale', '', {
      'cache-control': 'max-age=0, stale-while-revalidate=60',
      'cache-tags': 'its own',
    });
    const { lease = '' } = await one.read(key);
    await two.invalidate({ tags: ['another'] });
    await eventually(async () => (await one.invalidating()) > 0, 'the other is told of it');
    for (const client of [one, two]) await client.expectRefused(key, 'of before', lease);
  });

  test('go with what is stale to one caller of both', async () => {
    const [one, two] = clients();
    const key = freshKey();
    await one.put(key, 'stale', '', { 'cache-control': 'max-age=0, stale-while-revalidate=60' });
    const reads: Read[] = [];
    for (const client of [one, two, one, two, two]) reads.push(await client.read(key));
    expect(reads.map(({ status, text }) => `${status} ${text}`)).toEqual(Array(5).fill('200 stale'));
    const tokens = reads.flatMap(({ lease }) => lease ?? []);
    expect(tokens.length).toBe(1);
    await two.fill(key, 'fresh', tokens[0] ?? '');
    await eventually(async () => (await one.read(key)).text === 'fresh', 'both have it');
    expect(await two.read(key)).toMatchObject({ text: 'fresh', lease: undefined });
  });

  test('go with an entry of another format, which is replaced as long as it is the same', async () => {
    const [one, two] = clients('vectors');
    const json = { 'content-type': 'application/json' };
    const put = async (client: LeaseClient, key: string, vector: string, lease = '') =>
      (await client.put(key, vector, lease, json)).status;
    const key = freshKey();
    expect(await put(one, key, '[1,2]')).toBe(204);
    const lease = await two.lease(key);
    // It is leased, and served meanwhile where it can be read.
    expect(await two.read(key)).toMatchObject({ status: 404, lease: undefined });
    expect(await one.read(key)).toMatchObject({ status: 200, text: '[1,2]', lease: undefined });
    expect(await put(two, key, '[1,2,3]', lease)).toBe(204);
    expect((await two.read(key)).text).toBe('[1,2,3]');
    await eventually(
      async () => (await one.read(key)).status === 404,
      'it is of another format to the other',
    );
    const back = freshKey();
    expect(await put(two, back, '[4,5,6]')).toBe(204);
    const lost = await one.lease(back);
    expect(await put(two, back, '[7,8,9]')).toBe(204);
    expect(await put(one, back, '[7,8]', lost)).toBe(409);
    expect((await two.read(back)).text).toBe('[7,8,9]');
  });

  test(
    `never let the old value in after a deletion was acknowledged (seed ${SEED})`,
    FULL_TIMEOUT,
    async () => {
      const rounds = FULL ? 100_000 : 80;
      const random = new Seeded(SEED);
      const both = clients('popular');
      const outcomes = { filled: 0, refused: 0 };
      const round = async (key: string, n: number) => {
        const [remover, giver, filler] = [random.pick(both), random.pick(both), random.pick(both)];
        // What the other server has written and deleted before, this one may not have been told of yet.
        let token: string | undefined;
        while (token === undefined) token = (await giver.read(key, '5s')).lease;
        const isRemovedFirst = random.below(2) === 0;
        let removed = isRemovedFirst ? remover.remove(key) : undefined;
        const put = filler.put(key, `old ${n}`, token);
        if (random.below(2) === 0) await new Promise(setImmediate);
        removed ??= remover.remove(key);
        await removed;
        expect([n, (await remover.read(key)).text]).toEqual([n, '']);
        const { status } = await put;
        expect([204, 409]).toContain(status);
        outcomes[status === 204 ? 'filled' : 'refused']++;
        expect([n, (await remover.read(key)).text]).toEqual([n, '']);
        await remover.remove(key);
      };
      const worker = async (w: number) => {
        for (let n = w; n < rounds; n += 8) await round(`raced ${w}`, n);
      };
      await Promise.all(Array.from({ length: 8 }, (_, w) => worker(w)));
      expect([outcomes.filled > 0, outcomes.refused > 0]).toEqual([true, true]);
    },
  );
});
