/** What a cache's options make of its entries: switched off, a prefix of its keys, fewer tags, times of its own. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { eventually } from '../support/redis-server.js';
import type { Answer } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';

const directory = mkdtempSync(join(tmpdir(), 'headrace-caches-'));
const file = join(directory, 'caches.json');
const caches = {
  results: { enabled: false },
  popular: { prefix: 'p:ü/', ttl: '10s' },
  brief: { ttl: '1ms', staleWhileRevalidate: '0ms', staleIfError: '1m', tagsMax: 0 },
  plans: null,
};
writeFileSync(file, JSON.stringify({ caches }));
afterAll(() => rmSync(directory, { recursive: true }));

const pathOf = (cache: string, key: string) => `/v1/caches/${cache}/entries/${encodeURIComponent(key)}`;

onBothFronts(
  'entries of a cache',
  subject => {
    const put = (path: string, body: string, headers: Readonly<Record<string, string>> = {}) =>
      subject.api.request('PUT', path, body, headers);
    const statusOf = ({ status, headers }: Answer) => [status, headers['cache-status']];

    test('that is switched off are misses, whatever is put', async () => {
      const { api } = subject;
      const path = pathOf('results', 'k');
      expect(statusOf(await put(path, 'x'))).toEqual([204, 'headrace; fwd=method; stored=?0']);
      expect(statusOf(await api.get(path))).toEqual([404, 'headrace; fwd=bypass']);
      expectProblem(await api.get(path), 404, 'entry-not-found');
      const batch = await api.post('/v1/caches/results/entries:batchGet', { keys: ['k'] });
      expect(statusOf(batch)).toEqual([200, 'headrace; fwd=bypass']);
      expect(batch.json()).toEqual({ cache: 'results', entries: [{ key: 'k', status: 'NOT_FOUND' }] });
      // What was put has deleted what there may have been: that is remembered, and is all there is.
      expect((await api.post('/v1/caches/results/invalidate', { all: true })).json()).toEqual({
        invalidated: 1,
      });
      expect((await api.delete(path)).status).toBe(204);
      // It is told what is wrong all the same.
      expectProblem(await put(path, 'x', { 'cache-control': 'x' }), 400, 'bad-header');
    });

    test('with a prefix have the keys that their clients know', async () => {
      const { api } = subject;
      for (const key of ['a:1', 'a:2', 'b:1']) await put(pathOf('popular', key), key);
      const present = async () => {
        const answer = await api.post('/v1/caches/popular/entries:batchGet', { keys: ['a:1', 'a:2', 'b:1'] });
        const { entries } = answer.json() as { entries: { key: string; text?: string; base64?: string }[] };
        return entries.filter(({ base64 }) => base64 !== undefined).map(({ key }) => key);
      };
      const invalidate = async (body: unknown) =>
        (await api.post('/v1/caches/popular/invalidate', body)).json() as unknown;
      expect(await present()).toEqual(['a:1', 'a:2', 'b:1']);
      expect((await api.get(pathOf('popular', 'a:1'))).text).toBe('a:1');
      expect(await invalidate({ prefix: 'p:ü' })).toEqual({ invalidated: null });
      expect(await invalidate({ pattern: '*2' })).toEqual({ invalidated: null });
      expect(await present()).toEqual(['a:1', 'b:1']);
      expect(await invalidate({ prefix: 'a' })).toEqual({ invalidated: null });
      expect(await invalidate({ ids: ['b:1'] })).toEqual({ invalidated: 1 });
      expect(await present()).toEqual([]);
      // Together they are an id.
      expect((await put(pathOf('popular', 'x'.repeat(507)), 'x')).status).toBe(204);
      expect((await api.get(pathOf('popular', 'x'.repeat(507)))).text).toBe('x');
      const long = 'x'.repeat(508);
      expectProblem(await put(pathOf('popular', long), 'x'), 400, 'bad-id');
      expectProblem(await api.get(pathOf('popular', long)), 400, 'bad-id');
      expectProblem(await api.delete(pathOf('popular', long)), 400, 'bad-id');
      expectProblem(await api.post('/v1/caches/popular/invalidate', { ids: [long] }), 400, 'bad-id');
    });

    test('live as long as its options say, when they do not say so themselves', async () => {
      const { api } = subject;
      await put(pathOf('popular', 'k'), 'x');
      expect((await api.get(pathOf('popular', 'k'))).headers['cache-status']).toMatch(/hit; ttl=[0-9];/);
      await put(pathOf('brief', 'k'), 'x');
      // Its millisecond may not be over yet.
      await eventually(async () => (await api.get(pathOf('brief', 'k'))).status === 404, 'it is old');
      // Kept for when making it anew fails, and not served otherwise.
      expect(statusOf(await api.get(pathOf('brief', 'k')))).toEqual([404, 'headrace; fwd=stale; detail=L1']);
      await put(pathOf('brief', 'k'), 'x', { 'cache-control': 'max-age=100' });
      expect((await api.get(pathOf('brief', 'k'))).headers['cache-status']).toMatch(/hit; ttl=9[0-9];/);
      const tagged = await put(pathOf('brief', 'k'), 'x', { 'cache-tags': 'a' });
      expect(placesOf(expectProblem(tagged, 400, 'bad-header'))).toEqual(['cache-tags']);
      expectProblem(await api.get(pathOf('plans', 'k')), 404, 'cache-not-found');
    });
  },
  { HEADRACE_CONFIG_FILE: file },
);
