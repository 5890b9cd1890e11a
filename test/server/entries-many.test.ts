/** Many entries in one request: batches, and invalidations, after which an entry is nowhere any more. */
import { expect, test } from 'vitest';
import { ENTRY_BATCH_LIMITS } from '../../src/lookup/entry-batch.js';
import { eventually } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';
import { startServerProcess } from './server-process.js';

const KEYS = ['user:1:42', 'user:2:42', 'user:1:43', 'doc:1', 'doc:12', '*', 'ü:42'];
const pathOf = (cache: string, key: string) => `/v1/caches/${cache}/entries/${encodeURIComponent(key)}`;
const batchPath = (cache: string) => `/v1/caches/${cache}/entries:batchGet`;

interface BatchAnswer {
  readonly cache: string;
  readonly entries: readonly {
    readonly key: string;
    readonly status: string;
    readonly age?: number;
    readonly ttl?: number;
    readonly etag?: string;
    readonly contentType?: string;
    readonly text?: string;
    readonly base64?: string;
  }[];
}

/** Keys of the cache that are there. */
async function present(api: ApiClient, cache: string): Promise<string[]> {
  const { entries } = (await api.post(batchPath(cache), { keys: KEYS })).json() as BatchAnswer;
  const found = entries.filter(({ status }) => status === 'PRESENT').map(({ key }) => key);
  for (const key of KEYS)
    expect([key, (await api.get(pathOf(cache, key))).status]).toEqual([key, found.includes(key) ? 200 : 404]);
  return found;
}

/** Invalidations of the cache that are still being carried out. */
async function invalidating(api: ApiClient, cache: string): Promise<number> {
  const shown = (await api.get(`/v1/caches/${cache}`)).json() as { figures: { invalidating: number } };
  return shown.figures.invalidating;
}

async function fill(api: ApiClient, cache: string): Promise<void> {
  for (const [n, key] of KEYS.entries()) {
    const headers = { 'cache-tags': `n:${n % 2}, all, %C3%BC` };
    expect((await api.request('PUT', pathOf(cache, key), key, headers)).status).toBe(204);
  }
}

onBothFronts(
  'many entries',
  subject => {
    test('are answered in the order of their keys, texts as they are, other bytes in base64', async () => {
      const { api } = subject;
      const puts = [
        ['json', 'application/json', '{"a":"ü\\n"}', 'text'],
        ['problem', 'application/problem+json; charset=UTF-8', '{}', 'text'],
        ['text', 'text/plain;charset="utf-8"', 'a"b\n\u0001', 'text'],
        ['latin', 'text/plain; charset=iso-8859-1', 'a', 'base64'],
        ['broken', 'text/plain', Buffer.from([0x61, 0xff]), 'base64'],
        ['bytes', 'application/octet-stream', Buffer.from([0, 1, 254, 255]), 'base64'],
        ['none', 'text/plain', '', 'text'],
      ] as const;
      for (const [key, type, body] of puts)
        expect(
          (await api.request('PUT', pathOf('results', key), body, { 'content-type': type })).status,
        ).toBe(204);
      const keys = ['missing', ...puts.map(([key]) => key), 'json'];
      const answer = await api.post(batchPath('results'), { keys });
      expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/json']);
      expect(answer.headers['cache-status']).toBe('headrace; fwd=partial; detail=L3');
      const { cache, entries } = answer.json() as BatchAnswer;
      expect([cache, entries.map(({ key }) => key)]).toEqual(['results', keys]);
      expect(entries[0]).toEqual({ key: 'missing', status: 'NOT_FOUND' });
      expect(entries[8]).toEqual(entries[1]);
      for (const [index, [key, contentType, body, form]] of puts.entries()) {
        const entry = entries[index + 1];
        const bytes = Buffer.from(body);
        expect(entry).toEqual({
          key,
          status: 'PRESENT',
          age: expect.any(Number),
          ttl: expect.any(Number),
          etag: (await api.get(pathOf('results', key))).headers.etag,
          contentType,
          [form]: form === 'text' ? bytes.toString() : bytes.toString('base64'),
        });
      }
      const hits = await api.post(batchPath('results'), { keys: ['json'] });
      expect(hits.headers['cache-status']).toBe('headrace; hit; detail=L1');
    });

    test('in one batch are bounded in number and in bytes, and it says what is wrong', async () => {
      const { api } = subject;
      const { keys: keysMax, bytes: bytesMax } = ENTRY_BATCH_LIMITS;
      const keys = Array.from({ length: keysMax }, (_, n) => `none ${n}`);
      const most = (await api.post(batchPath('results'), { keys })).json() as BatchAnswer;
      expect(most.entries.length).toBe(keysMax);
      expectProblem(await api.post(batchPath('results'), { keys: [...keys, 'x'] }), 413, 'too-many-ids');
      const cases = [
        ['{}', ['keys']],
        ['[]', ['the body']],
        ['{"keys":[]}', ['keys']],
        ['{"keys":["",1]}', ['keys[0]', 'keys[1]']],
        ['{"keys":["a"],"key":"b"}', ['key']],
      ] as const;
      for (const [body, places] of cases) {
        const problem = expectProblem(await api.post(batchPath('results'), body), 422, 'invalid-lookup');
        expect([body, placesOf(problem)]).toEqual([body, places]);
      }
      expectProblem(await api.post(batchPath('results'), '{'), 400, 'bad-json');
      expectProblem(await api.post(batchPath('none'), { keys: ['a'] }), 404, 'cache-not-found');
      expectProblem(await api.get(batchPath('results')), 405, 'method-not-allowed');
      const large = Buffer.alloc(1_000_000);
      expect((await api.request('PUT', pathOf('results', 'large'), large)).status).toBe(204);
      const fits = Array<string>(Math.floor(bytesMax / 1_001_000)).fill('large');
      expect((await api.post(batchPath('results'), { keys: fits })).status).toBe(200);
      const tooMany = [...fits, 'large', 'large'];
      expectProblem(await api.post(batchPath('results'), { keys: tooMany }), 413, 'too-many-ids');
    });

    test.each([
      [{ ids: ['doc:1', 'none', 'doc:1', '*'] }, ['doc:1', '*']],
      [{ ids: ['none'] }, []],
      [{ prefix: 'doc:1' }, ['doc:1', 'doc:12']],
      [{ prefix: 'ü' }, ['ü:42']],
      [{ prefix: 'doc:123' }, []],
      [{ tags: ['n:1'] }, KEYS.filter((_, n) => n % 2 === 1)],
      [{ tags: ['none', 'ü'] }, KEYS],
      [{ tags: ['al'] }, []],
      [{ pattern: 'user:*:42' }, ['user:1:42', 'user:2:42']],
      [{ pattern: '*42' }, ['user:1:42', 'user:2:42', 'ü:42']],
      [{ pattern: '*' }, KEYS],
      [{ all: true }, KEYS],
    ])('that are invalidated by %j are gone, and no others', async (body, gone) => {
      const { api } = subject;
      const cache = 'recommendations';
      await fill(api, cache);
      await fill(api, 'anomalies');
      expect(await present(api, cache)).toEqual(KEYS);
      const answer = await api.post(`/v1/caches/${cache}/invalidate`, body);
      // How many a prefix, a tag or a pattern means, nobody knows before they are erased.
      const isCounted = 'ids' in body || 'all' in body;
      const count = isCounted ? new Set(gone).size : null;
      expect([answer.status, answer.json()]).toEqual([200, { invalidated: count }]);
      expect(answer.headers['cache-status']).toBe('headrace; fwd=method');
      expect(await present(api, cache)).toEqual(KEYS.filter(key => !gone.includes(key)));
      expect(await present(api, 'anomalies')).toEqual(KEYS);
      // Again, and they can be put again.
      expect((await api.post(`/v1/caches/${cache}/invalidate`, body)).json()).toEqual({
        // Of all, deletions that memory has come to know are counted too.
        invalidated: 'all' in body ? expect.any(Number) : isCounted ? 0 : null,
      });
      await fill(api, cache);
      expect(await present(api, cache)).toEqual(KEYS);
      await eventually(async () => (await invalidating(api, cache)) === 0, 'they are erased');
      expect(await present(api, cache)).toEqual(KEYS);
    });

    test('are found by an invalidation where memory does not have them', async () => {
      const { api } = subject;
      const all = Array.from({ length: 2_000 }, (_, n) => `key ${n}`);
      await Promise.all(
        all.map((key, n) =>
          api.request('PUT', pathOf('plans', key), key.padEnd(1_500), {
            'cache-tags': `third:${n % 3}, tenth:${n % 10}`,
          }),
        ),
      );
      const counts = async () => {
        let count = 0;
        for (let from = 0; from < all.length; from += 1_000) {
          const answer = await api.post(batchPath('plans'), { keys: all.slice(from, from + 1_000) });
          count += (answer.json() as BatchAnswer).entries.filter(({ status }) => status === 'PRESENT').length;
        }
        return count;
      };
      expect(await counts()).toBe(2_000);
      const invalidate = async (body: unknown) =>
        (await api.post('/v1/caches/plans/invalidate', body)).json() as unknown;
      expect(await invalidate({ tags: ['third:1'] })).toEqual({ invalidated: null });
      expect(await invalidating(api, 'plans')).toBeGreaterThan(0);
      expect(await counts()).toBe(all.filter((_, n) => n % 3 !== 1).length);
      expect(await invalidate({ prefix: 'key 1' })).toEqual({ invalidated: null });
      const left = all.filter((key, n) => !key.startsWith('key 1') && n % 3 !== 1).length;
      expect(await counts()).toBe(left);
      await eventually(async () => (await invalidating(api, 'plans')) === 0, 'they are erased');
      expect(await counts()).toBe(left);
      const retired = subject.server.log.filter(
        ({ view, erased }) => view === '@plans' && Number(erased) > 0,
      );
      const erased = retired.reduce((sum, line) => sum + Number(line['erased']), 0);
      expect(erased).toBe(2_000 - left);
    });

    test('are asked to be invalidated as records are', async () => {
      const { api } = subject;
      const path = '/v1/caches/results/invalidate';
      expect(
        placesOf(expectProblem(await api.post(path, '{"all":false}'), 422, 'invalid-invalidation')),
      ).toEqual(['all']);
      expectProblem(await api.post(path, '{'), 400, 'bad-json');
      expectProblem(await api.post('/v1/caches/none/invalidate', { all: true }), 404, 'cache-not-found');
      expectProblem(await api.get(path), 405, 'method-not-allowed');
    });
  },
  { HEADRACE_L1_BYTES: '2MiB' },
);

test('what was put, deleted and invalidated stays so over a restart', async () => {
  const first = await startServerProcess();
  const api = new ApiClient(first.port);
  await fill(api, 'results');
  await fill(api, 'popular');
  await api.delete(pathOf('results', 'doc:1'));
  await api.post('/v1/caches/results/invalidate', { prefix: 'user:1' });
  await api.post('/v1/caches/popular/invalidate', { all: true });
  api.close();
  await first.kill();
  const second = await startServerProcess({ dataDir: first.dataDir });
  const again = new ApiClient(second.port);
  expect(await present(again, 'results')).toEqual(['user:2:42', 'doc:12', '*', 'ü:42']);
  expect(await present(again, 'popular')).toEqual([]);
  again.close();
  expect(await second.stop()).toEqual({ code: 0, signal: null });
});
