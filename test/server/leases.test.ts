/** Leases over HTTP, on one server: one caller makes what is missing, and nothing that is out of date is ever kept. */
import { expect, test } from 'vitest';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from '../base/seeded.js';
import { FRONTS } from '../front/fronts.js';
import { eventually } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { expectProblem, onBothFronts } from './both-fronts.js';
import { askAndGo, LEASE_MS, LeaseClient, leaseEnvironment, type Read, SHORT } from './lease-client.js';
import { startServerProcess } from './server-process.js';

onBothFronts(
  'leases',
  subject => {
    let keys = 0;
    const freshKey = () => `key ${++keys}`;
    const client = (cache?: string) => new LeaseClient(subject.api, cache);

    test('are given to one caller of a key that is missing, and the others are told when to come again', async () => {
      const leases = client();
      const key = freshKey();
      const token = await leases.lease(key);
      for (let n = 0; n < 3; n++)
        expect(await leases.read(key)).toEqual({
          ...{ status: 404, text: '', lease: undefined },
          retryAfter: expect.stringMatching(/^[23]\d\d$/),
        });
      // A HEAD makes nothing, and another key is another matter.
      expect((await subject.api.head(leases.pathOf(freshKey()))).headers['headrace-lease']).toBeUndefined();
      await leases.lease(freshKey());
      await leases.fill(key, 'made', token);
      expect(await leases.read(key)).toMatchObject({ status: 200, text: 'made', lease: undefined });
    });

    test('are one for a thousand callers, who all get what it makes', async () => {
      const leases = client('popular');
      const { granted = 0 } = await leases.figures();
      const key = freshKey();
      const many = new ApiClient(subject.server.port, 1_000);
      const callers = new LeaseClient(many, 'popular');
      const reads = Array.from({ length: 1_000 }, () => callers.read(key, '30s'));
      const leased = await Promise.race(reads);
      expect(leased.status).toBe(404);
      await eventually(async () => (await leases.figures()).waiting === 999, 'all others wait');
      await leases.fill(key, 'made once', leased.lease ?? '');
      const answers = await Promise.all(reads);
      expect(answers.filter(({ lease }) => lease !== undefined)).toEqual([leased]);
      expect(answers.filter(({ text }) => text === 'made once').length).toBe(999);
      expect((await leases.figures()).granted).toBe(granted + 1);
      many.close();
    });

    test('that nobody uses go to the next who waits, after their time, and are worth nothing then', async () => {
      const leases = client(SHORT);
      const key = freshKey();
      const lost = await leases.lease(key);
      const began = performance.now();
      const next = await leases.read(key, '20s');
      expect([next.status, next.lease]).toEqual([404, expect.stringMatching(/./)]);
      expect(performance.now() - began).toBeGreaterThan(LEASE_MS * 0.9);
      await leases.expectRefused(key, 'too late', lost);
      await leases.fill(key, 'in time', next.lease ?? '');
      expect(await leases.read(key)).toMatchObject({ status: 200, text: 'in time' });
    });

    test('are waited for as long as a caller wants to', async () => {
      const leases = client();
      const key = freshKey();
      await leases.lease(key);
      const began = performance.now();
      expect(await leases.read(key, '200ms')).toMatchObject({
        status: 404,
        lease: undefined,
        retryAfter: /./,
      });
      expect(performance.now() - began).toBeGreaterThan(190);
      for (const query of ['wait=1', 'wait=31s', 'wait=', 'wait=1s&wait=1s', 'await=1s'])
        expectProblem(await subject.api.get(`${leases.pathOf(key)}?${query}`), 400, 'bad-query');
      expectProblem(await subject.api.delete(`${leases.pathOf(key)}?wait=1s`), 400, 'bad-query');
    });

    test('of callers that have gone away are not waited for', async () => {
      const leases = client('popular');
      const key = freshKey();
      const token = await leases.lease(key);
      const waiting = async () => (await leases.figures()).waiting;
      const go = await askAndGo(subject.server.port, `${leases.pathOf(key)}?wait=30s`);
      await eventually(async () => (await waiting()) === 1, 'it waits');
      await go();
      await eventually(async () => (await waiting()) === 0, 'its place is free');
      await leases.fill(key, 'x', token);
    });

    test('are refused that are forged, used, of another key or another cache, and counted', async () => {
      const leases = client();
      const [key, other] = [freshKey(), freshKey()];
      const [token, others] = [await leases.lease(key), await leases.lease(other)];
      const { refused = 0 } = await leases.figures();
      const forged = [
        others,
        'x',
        `${token}A`,
        token.slice(1),
        token.replace(/./, first => (first === 'A' ? 'B' : 'A')),
        'A'.repeat(5_000),
        token.toUpperCase() === token ? token.toLowerCase() : token.toUpperCase(),
      ];
      for (const lease of forged) await leases.expectRefused(key, 'forged', lease);
      expectProblem(await client('popular').put(key, 'elsewhere', token), 409, 'lease-lost');
      expect((await leases.read(key)).status).toBe(404);
      await leases.fill(key, 'made', token);
      await leases.expectRefused(key, 'again', token);
      expect((await leases.read(key)).text).toBe('made');
      expect((await leases.figures()).refused).toBe(refused + forged.length + 1);
    });

    test('are void when the key is written or deleted, and what they make is not kept', async () => {
      const leases = client();
      const key = freshKey();
      const first = await leases.lease(key);
      await leases.put(key, 'by another');
      await leases.expectRefused(key, 'of before', first);
      expect((await leases.read(key)).text).toBe('by another');
      await leases.remove(key);
      const second = await leases.lease(key);
      await leases.remove(key);
      await leases.expectRefused(key, 'of before', second);
      // The next is as good as any.
      await leases.fill(key, 'anew', await leases.lease(key));
      expect((await leases.read(key)).text).toBe('anew');
    });

    test.each([
      [(key: string) => ({ ids: ['none', key] }), true],
      [(key: string) => ({ prefix: key.slice(0, -1) }), true],
      [(key: string) => ({ pattern: `*${key.slice(2)}` }), true],
      // Which tags an entry will have is not known before it is made.
      [() => ({ tags: ['any'] }), true],
      [() => ({ all: true }), true],
      [() => ({ ids: ['none'] }), false],
      [(key: string) => ({ prefix: `${key}-` }), false],
      [(key: string) => ({ pattern: `${key}-*` }), false],
    ])('are void after an invalidation that means them, and no others: case %#', async (bodyOf, isVoid) => {
      const leases = client();
      const key = freshKey();
      const token = await leases.lease(key);
      await leases.invalidate(bodyOf(key));
      if (isVoid) await leases.expectRefused(key, 'of before', token);
      else await leases.fill(key, 'good', token);
      expect((await leases.read(key)).status).toBe(isVoid ? 404 : 200);
    });

    test('wake those who wait when another writes without one', async () => {
      const leases = client('popular');
      const key = freshKey();
      await leases.lease(key);
      const waiting = [leases.read(key, '20s'), leases.read(key, '20s')];
      await eventually(async () => (await leases.figures()).waiting === 2, 'both wait');
      await leases.put(key, 'by another');
      for (const { status, text } of await Promise.all(waiting))
        expect([status, text]).toEqual([200, 'by another']);
    });

    test('go with what is stale to one caller, the others get it without', async () => {
      const leases = client();
      const key = freshKey();
      const stale = { 'cache-control': 'max-age=0, stale-while-revalidate=60' };
      await leases.put(key, 'stale', '', stale);
      const reads: Read[] = [];
      for (let n = 0; n < 5; n++) reads.push(await leases.read(key, '20s'));
      expect(reads.map(({ status, text }) => `${status} ${text}`)).toEqual(Array(5).fill('200 stale'));
      expect(reads.map(({ lease }) => lease !== undefined)).toEqual([true, false, false, false, false]);
      await leases.fill(key, 'fresh', reads[0]?.lease ?? '');
      expect(await leases.read(key)).toMatchObject({ text: 'fresh', lease: undefined });
    });

    test('go now and then with what is fresh and took long to make, before it is stale', async () => {
      const leases = client('popular');
      const key = freshKey();
      const token = await leases.lease(key);
      const began = performance.now();
      await eventually(() => performance.now() - began > 400, 'it takes its time');
      // Of so short a life that it is due all the time.
      expect((await leases.put(key, 'slow', token, { 'cache-control': 'max-age=2' })).status).toBe(204);
      await leases.put('quick', 'quick', '', { 'cache-control': 'max-age=2' });
      let early: string | undefined;
      await eventually(async () => {
        const answer = await subject.api.get(leases.pathOf(key));
        const quick = await subject.api.get(leases.pathOf('quick'));
        const isFresh = /; ttl=[01];/.test(String(answer.headers['cache-status']));
        if (/; ttl=[01];/.test(String(quick.headers['cache-status'])))
          expect(quick.headers['headrace-lease']).toBeUndefined();
        if (isFresh) early ??= answer.headers['headrace-lease'] as string | undefined;
        return early !== undefined;
      }, 'one is to make it anew');
      await leases.fill(key, 'anew', early ?? '');
    });

    test(
      `never let the old value in after a deletion was acknowledged (seed ${SEED})`,
      FULL_TIMEOUT,
      async () => {
        const rounds = FULL ? 100_000 : 200;
        const random = new Seeded(SEED);
        const leases = client('popular');
        const outcomes = { filled: 0, refused: 0 };
        const round = async (key: string, n: number) => {
          const token = await leases.lease(key);
          const old = `old ${n}`;
          const isRemovedFirst = random.below(2) === 0;
          let removed = isRemovedFirst ? leases.remove(key) : undefined;
          const put = leases.put(key, old, token);
          if (random.below(2) === 0) await new Promise(setImmediate);
          removed ??= leases.remove(key);
          await removed;
          const seen = await leases.read(key);
          expect([n, seen.status, seen.text]).toEqual([n, 404, '']);
          const { status } = await put;
          outcomes[status === 204 ? 'filled' : 'refused']++;
          expect([n, (await leases.read(key)).status]).toEqual([n, 404]);
          await leases.remove(key);
        };
        const worker = async (w: number) => {
          for (let n = w; n < rounds; n += 8) await round(`raced ${w}`, n);
        };
        await Promise.all(Array.from({ length: 8 }, (_, w) => worker(w)));
        expect(outcomes.filled + outcomes.refused).toBe(rounds);
        expect([outcomes.filled > 0, outcomes.refused > 0]).toEqual([true, true]);
      },
    );
  },
  leaseEnvironment(),
);

test.each(FRONTS)('a server that stops keeps nobody waiting for a lease, %s front', async front => {
  const env = { HEADRACE_FRONT: front, HEADRACE_LEASE_TIME: '10m', HEADRACE_SHUTDOWN_TIMEOUT: '10m' };
  const server = await startServerProcess({ env });
  const api = new ApiClient(server.port);
  const leases = new LeaseClient(api);
  await leases.lease('k');
  const waiting = leases.read('k', '30s');
  await eventually(async () => (await leases.figures()).waiting === 1, 'one waits');
  const began = performance.now();
  const exit = server.stop();
  expect(await waiting).toMatchObject({ status: 404, lease: undefined });
  expect(performance.now() - began).toBeLessThan(20_000);
  api.close();
  expect(await exit).toEqual({ code: 0, signal: null });
});
