/** What is deleted or invalidated while the origin is asked for it does not come back. */
import { describe, expect, test } from 'vitest';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { OriginServer } from '../tiers/origin-fixture.js';
import type { Answer } from './api-client.js';
import { entryPath, keyOf, OriginScene, shown } from './origin-scene.js';

type Remove = (scene: OriginScene, key: string) => Promise<Answer>;

const invalidate =
  (body: (key: string) => unknown): Remove =>
  (scene, key) =>
    scene.api.post('/v1/caches/results/invalidate', body(key));

const REMOVALS: Readonly<Record<string, Remove>> = {
  'a deletion': (scene, key) => scene.api.delete(entryPath('results', key)),
  'an invalidation by key': invalidate(key => ({ ids: [key] })),
  'an invalidation by prefix': invalidate(key => ({ prefix: key.slice(0, 3) })),
  'an invalidation by pattern': invalidate(key => ({ pattern: `*${key.slice(1)}` })),
  'an invalidation by tag': invalidate(key => ({ tags: [key] })),
  'an invalidation of all': invalidate(() => ({ all: true })),
};

describe('while the origin is asked for a key', () => {
  test.each(Object.entries(REMOVALS))(
    '%s makes what it answers go to those alone who wait',
    async (_, remove) => {
      const scene = await OriginScene.start({ caches: { results: { origin: {} } } });
      const held: (() => void)[] = [];
      let value = 'old';
      scene.origin.answer = (response, { path }) => {
        const answered = value;
        held.push(() => response.setHeader('cache-tags', keyOf(path) ?? '').end(answered));
      };
      const waiting = [scene.get('results', 'key'), scene.get('results', 'key')];
      await eventually(() => held.length === 1, 'the origin is asked');
      value = 'new';
      await remove(scene, 'key');
      const later = scene.get('results', 'key');
      await eventually(() => held.length === 2, 'the origin is asked anew');
      // The newer answer first, the older one after it.
      held[1]?.();
      expect((await later).text).toBe('new');
      held[0]?.();
      const answers = await Promise.all(waiting);
      expect(answers.map(({ text }) => text)).toEqual(['old', 'old']);
      expect(answers.map(({ headers }) => headers['cache-status']).sort()).toEqual([
        'headrace; fwd=miss; collapsed; detail=origin',
        'headrace; fwd=miss; detail=origin',
      ]);
      expect(shown(await scene.get('results', 'key'))).toEqual([200, 'new', expect.stringMatching(/hit|L3/)]);
      expect(held).toHaveLength(2);
      await scene.close();
    },
  );

  test('a write is newer than what the origin answers', async () => {
    const scene = await OriginScene.start({ caches: { results: { origin: {} } } });
    let release = () => {};
    scene.origin.answer = response => {
      release = () => response.end('old');
    };
    const waiting = scene.get('results', 'key');
    await eventually(() => scene.keysAsked.length === 1, 'the origin is asked');
    await scene.api.request('PUT', entryPath('results', 'key'), 'put');
    expect((await scene.get('results', 'key')).text).toBe('put');
    release();
    expect((await waiting).text).toBe('old');
    expect((await scene.get('results', 'key')).text).toBe('put');
    await scene.close();
  });
});

/** The origin has a number for each key, which only grows. */
interface Numbers {
  readonly of: Map<string, number>;
}

function answerNumbers(origin: OriginServer, numbers: Numbers): void {
  origin.answer = (response, { path }) => {
    // As it is when the question comes; answered in a later turn, out of order.
    const answered = String(numbers.of.get(keyOf(path) ?? '') ?? 0);
    const answer = () => response.end(answered);
    if (Number(answered) % 3 === 0) setImmediate(answer);
    else answer();
  };
}

const KEYS = Array.from({ length: 8 }, (_, at) => `k${at}`);

/** Who asks when a removal was acknowledged sees no number from before it; how many rounds were wrong. */
async function race(
  scenes: readonly OriginScene[],
  numbers: Numbers,
  rounds: number,
  see: (asked: OriginScene, key: string, least: number) => Promise<boolean>,
): Promise<number> {
  const random = new Seeded(SEED);
  let wrong = 0;
  const sceneAt = () => random.pick(scenes);
  await Promise.all(
    KEYS.map(async key => {
      for (let round = 1; round <= rounds; round++) {
        // So that the origin is asked by those who come first.
        await sceneAt().api.delete(entryPath('results', key));
        const readers = Array.from({ length: 1 + random.below(4) }, () => sceneAt().get('results', key));
        numbers.of.set(key, round);
        const remove = sceneAt();
        const answer = await remove.api.delete(entryPath('results', key));
        expect(answer.status).toBe(204);
        if (!(await see(remove, key, round))) wrong++;
        await Promise.all(readers);
        if (!(await see(remove, key, round))) wrong++;
      }
    }),
  );
  return wrong;
}

const RACES = FULL ? 100_000 : 400;

test(`no one who asks after a deletion was acknowledged sees what was before, in ${RACES} races`, {
  timeout: FULL ? 3_600_000 : 180_000,
}, async () => {
  const scene = await OriginScene.start({ caches: { results: { origin: {} } } });
  const numbers = { of: new Map<string, number>() };
  answerNumbers(scene.origin, numbers);
  const see = async (asked: OriginScene, key: string, least: number) =>
    Number((await asked.get('results', key)).text) >= least;
  expect(await race([scene], numbers, RACES / KEYS.length, see)).toBe(0);
  expect(await scene.figures('results')).toMatchObject({ failures: 0, unstored: 0 });
  await scene.close();
});

describeWithRedis('two servers on one Redis', () => {
  const open = async (redis: RedisServer) => {
    const origin = await OriginServer.start();
    const env = { HEADRACE_REDIS_URL: redis.url, HEADRACE_REDIS_TIMEOUT: '2s' };
    const origins = { origin: { retries: 0 } };
    const caches = { results: { leaseTime: '10m', ...origins }, plans: { leaseTime: '2s', ...origins } };
    const [one, two] = await Promise.all([1, 2].map(() => OriginScene.start({ caches, env, origin })));
    if (one === undefined || two === undefined) throw new Error('there are two');
    const tellings = ({ server }: OriginScene) =>
      server.log.filter(({ msg }) => msg === 'redis tells of changes').length;
    await eventually(() => [one, two].every(scene => tellings(scene) >= 2), 'both are told of changes');
    const close = async () => {
      await one.close();
      await two.close();
      await origin.close();
    };
    return { origin, one, two, close };
  };

  test('ask the origin once, and share what it answers', async () => {
    const redis = await RedisServer.start(['--appendonly', 'yes']);
    const { origin, one, two, close } = await open(redis);
    origin.answer = (response, { path }) =>
      path.endsWith('none') ? response.writeHead(404).end() : response.end('value');
    const together = Array.from({ length: 100 }, (_, at) =>
      (at % 2 === 0 ? one : two).get('results', 'together'),
    );
    expect(new Set((await Promise.all(together)).map(({ text }) => text))).toEqual(new Set(['value']));
    expect(origin.asked).toHaveLength(1);
    origin.asked.length = 0;
    expect((await one.get('results', 'in turn')).text).toBe('value');
    expect((await two.get('results', 'in turn')).text).toBe('value');
    expect((await two.get('results', 'none')).status).toBe(404);
    // Nobody remembers longer than for a moment that it was not there.
    await eventually(
      async () => /hit|L3/.test(String((await one.get('results', 'none')).headers['cache-status'])),
      'told',
    );
    expect(origin.asked).toHaveLength(2);
    await close();
    await redis.close();
  }, 60_000);

  test('do not wait for one whose question fails, or keeps nothing, and for one that dies no longer than a lease', async () => {
    const redis = await RedisServer.start(['--appendonly', 'yes']);
    const { origin, one, two } = await open(redis);
    origin.answer = response => response.writeHead(503).end();
    expect((await one.get('results', 'k')).status).toBe(503);
    origin.answer = response => response.setHeader('cache-control', 'no-store').end('not kept');
    expect((await two.get('results', 'k')).text).toBe('not kept');
    origin.answer = response => response.end('kept');
    expect((await one.get('results', 'k')).text).toBe('kept');
    expect((await two.get('results', 'k')).text).toBe('kept');
    expect(origin.asked).toHaveLength(3);
    origin.answer = () => undefined;
    const lost = one.get('plans', 'lost').catch(() => undefined);
    await eventually(() => origin.asked.length === 4, 'the one asks');
    const waiting = two.get('plans', 'lost');
    await one.server.kill();
    await lost;
    origin.answer = response => response.end('after all');
    expect((await waiting).text).toBe('after all');
    expect(origin.asked).toHaveLength(5);
    one.api.close();
    await two.close();
    await origin.close();
    await redis.close();
  }, 60_000);

  test(
    'keep out what was removed on one while the other was asking',
    async () => {
      const redis = await RedisServer.start(['--appendonly', 'yes']);
      const { origin, one, two, close } = await open(redis);
      for (const [removal, remove] of Object.entries(REMOVALS)) {
        let release: (() => void) | undefined;
        const key = `key of ${removal}`;
        origin.answer = (response, { path }) => {
          release = () => response.setHeader('cache-tags', encodeURIComponent(keyOf(path) ?? '')).end('old');
        };
        const waiting = one.get('results', key);
        await eventually(() => release !== undefined, 'the origin is asked');
        expect((await remove(two, key)).status).toBeLessThan(300);
        release?.();
        expect([removal, (await waiting).text]).toEqual([removal, 'old']);
        origin.answer = response => response.end('new');
        expect([removal, (await two.get('results', key)).text]).toEqual([removal, 'new']);
        await eventually(async () => (await one.get('results', key)).text === 'new', 'the other has it too');
      }
      const numbers = { of: new Map<string, number>() };
      answerNumbers(origin, numbers);
      const see = async (asked: OriginScene, key: string, least: number) =>
        Number((await asked.get('results', key)).text) >= least;
      // On the server that was asked for the deletion.
      expect(await race([one, two], numbers, FULL ? 2_000 : 10, see)).toBe(0);
      await close();
      await redis.close();
    },
    FULL ? 3_600_000 : 120_000,
  );
});
