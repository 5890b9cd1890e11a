/** `/v1/caches/{cache}/entries/{key}` over HTTP: bytes in, the same bytes out, for as long as they may be served. */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { ENTRY_LIMITS } from '../../src/caches/entry.js';
import { eventually } from '../support/redis-server.js';
import type { Answer } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';

const entryPath = (cache: string, key: string) => `/v1/caches/${cache}/entries/${encodeURIComponent(key)}`;

onBothFronts('entries', subject => {
  let keys = 0;
  const freshPath = (cache = 'results') => entryPath(cache, `key ${++keys}`);
  const put = (path: string, body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}) =>
    subject.api.request('PUT', path, body, headers);
  const statusOf = ({ status, headers }: Answer) => [status, headers['cache-status']];
  const stored = [204, 'headrace; fwd=method; stored'];

  test('are served as they were put, from memory, until they are deleted', async () => {
    const { api } = subject;
    const path = freshPath();
    expect(statusOf(await api.get(path))).toEqual([404, 'headrace; fwd=miss; detail=L3']);
    expectProblem(await api.get(path), 404, 'entry-not-found');
    const body = Uint8Array.from({ length: 3001 }, (_, n) => n & 255);
    expect(statusOf(await put(path, body, { 'content-type': 'image/x-any; q="a b"' }))).toEqual(stored);
    const hit = await api.get(path);
    expect([hit.status, hit.headers['content-type'], hit.headers.age]).toEqual([
      200,
      'image/x-any; q="a b"',
      expect.stringMatching(/^[0-5]$/),
    ]);
    expect(hit.headers['cache-status']).toMatch(/^headrace; hit; ttl=29[0-9]; detail=L1$/);
    expect(hit.headers.etag).toMatch(/^"[\w-]{22}"$/);
    expect(Buffer.compare(hit.bytes, body)).toBe(0);
    const head = await api.head(path);
    expect([head.status, head.headers['content-length'], head.text]).toEqual([200, '3001', '']);
    expect(head.headers.etag).toBe(hit.headers.etag);

    expect(statusOf(await put(path, 'other'))).toEqual(stored);
    const other = await api.get(path);
    expect([other.text, other.headers['content-type']]).toEqual(['other', 'application/octet-stream']);
    expect(other.headers.etag).not.toBe(hit.headers.etag);

    expect(statusOf(await api.delete(path))).toEqual([204, 'headrace; fwd=method']);
    expect(statusOf(await api.get(path))).toEqual([404, 'headrace; fwd=miss; detail=L1']);
    expect(statusOf(await put(path, ''))).toEqual(stored);
    expect(statusOf(await api.get(path))[0]).toBe(200);
    expect((await api.get(path)).bytes.length).toBe(0);
  });

  test('of one key are apart in each cache', async () => {
    const { api } = subject;
    await put(entryPath('results', 'same'), 'of results');
    await put(entryPath('popular', 'same'), 'of popular');
    expect((await api.get(entryPath('results', 'same'))).text).toBe('of results');
    expect((await api.get(entryPath('popular', 'same'))).text).toBe('of popular');
    expect((await api.get(entryPath('plans', 'same'))).status).toBe(404);
  });

  test('are answered with 304 to a client that has them', async () => {
    const { api } = subject;
    const path = freshPath();
    await put(path, 'held', { 'content-type': 'text/plain' });
    const etag = String((await api.get(path)).headers.etag);
    for (const held of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const answer = await api.get(path, { 'if-none-match': held });
      expect([held, answer.status, answer.text, answer.headers.etag]).toEqual([held, 304, '', etag]);
      expect(answer.headers['cache-status']).toMatch(/^headrace; hit; ttl=\d+; detail=L1$/);
    }
    for (const other of ['"x"', 'W/"x", "y"', etag.slice(1), `"${etag}`]) {
      expect((await api.get(path, { 'if-none-match': other })).text).toBe('held');
    }
    // The same bytes have the same ETag; other bytes, or another type of them, have another.
    await put(path, 'held', { 'content-type': 'text/plain' });
    expect((await api.get(path, { 'if-none-match': etag })).status).toBe(304);
    await put(path, 'held', { 'content-type': 'text/html' });
    expect((await api.get(path, { 'if-none-match': etag })).status).toBe(200);
  });

  test('are stale between their two times, and are then not served any more', async () => {
    const { api } = subject;
    const path = freshPath();
    await put(path, 'v', { 'cache-control': 'max-age=1, stale-while-revalidate=3, stale-if-error=60' });
    await eventually(async () => {
      const answer = await api.get(path);
      expect(answer.status).toBe(200);
      return /^headrace; hit; ttl=-[123]; detail=L1$/.test(String(answer.headers['cache-status']));
    }, 'it is stale');
    expect(Number((await api.get(path)).headers.age)).toBeGreaterThanOrEqual(1);
    await eventually(async () => (await api.get(path)).status === 404, 'it is not served any more');
    expect(statusOf(await api.get(path))).toEqual([404, 'headrace; fwd=stale; detail=L1']);
  });

  test('without stale times are gone when they are not fresh any more', async () => {
    const { api } = subject;
    const path = freshPath();
    await put(path, 'v', { 'cache-control': 'Max-Age=1,stale-while-revalidate=0,stale-if-error=0' });
    expect((await api.get(path)).status).toBe(200);
    await eventually(async () => (await api.get(path)).status === 404, 'it is gone');
    expect(statusOf(await api.get(path))).toEqual([404, 'headrace; fwd=miss; detail=L3']);
  });

  test('have the tags and times of all lines of their headers', async () => {
    const path = freshPath('plans');
    const lines = [
      'host: x',
      'content-length: 1',
      'cache-tags: a',
      'Cache-Tags: b,c',
      'cache-control: max-age=9',
    ];
    const send = async (more: readonly string[]) => {
      const socket = connect(subject.server.port, '127.0.0.1');
      socket.write(
        `PUT ${path} HTTP/1.1\r\n${[...lines, ...more, 'connection: close'].join('\r\n')}\r\n\r\nx`,
      );
      return text(socket);
    };
    for (const tag of ['a', 'b', 'c']) {
      expect(await send(['cache-control: stale-if-error=1'])).toMatch(/^HTTP\/1.1 204 /);
      const answer = await subject.api.post('/v1/caches/plans/invalidate', { tags: [tag] });
      expect([tag, answer.status]).toEqual([tag, 200]);
      expect([tag, (await subject.api.get(path)).status]).toEqual([tag, 404]);
    }
    expect(await send(['cache-control: max-age=1'])).toContain('cache-control: max-age comes twice');
    expect(await send(['cache-tags:'])).toContain('"at":"cache-tags[3]"');
  });

  test('that are refused name what is wrong', async () => {
    const path = freshPath();
    const tag = 'x'.repeat(256);
    const cases = [
      [{ 'content-type': 'text' }, ['content-type']],
      [{ 'content-type': 'text/plain; a' }, ['content-type']],
      [{ 'content-type': 'text/plain\tx' }, ['content-type']],
      [{ 'content-type': 'text/plain; a="\xe9"' }, ['content-type']],
      [{ 'content-type': `text/${'x'.repeat(252)}` }, ['content-type']],
      [{ 'content-encoding': 'gzip' }, ['content-encoding']],
      [{ 'cache-control': 'no-store' }, ['cache-control: no-store']],
      [{ 'cache-control': 'max-age' }, ['cache-control: max-age']],
      [{ 'cache-control': 'max-age=-1' }, ['cache-control: max-age']],
      [
        { 'cache-control': 'max-age=1.5, stale-if-error=x' },
        ['cache-control: max-age', 'cache-control: stale-if-error'],
      ],
      [{ 'cache-control': 'max-age=315360001' }, ['cache-control: max-age']],
      [{ 'cache-control': 'max-age=1, max-age=2' }, ['cache-control: max-age']],
      [{ 'cache-control': 'max-age=1,' }, ['cache-control: ']],
      [
        { 'cache-control': 'max-age=0, stale-while-revalidate=0, stale-if-error=0' },
        ['cache-control: max-age'],
      ],
      [{ 'cache-tags': 'a,,b' }, ['cache-tags[1]']],
      [{ 'cache-tags': `a, ${tag}x` }, ['cache-tags[1]']],
      [{ 'cache-tags': '%ff' }, ['cache-tags[0]']],
      [{ 'cache-tags': Array.from({ length: 65 }, (_, n) => n).join() }, ['cache-tags']],
      [{ 'content-type': '/', 'cache-tags': ',' }, ['content-type', 'cache-tags[0]', 'cache-tags[1]']],
    ] as const;
    for (const [headers, places] of cases) {
      const answer = await put(path, 'x', headers);
      expect([headers, placesOf(expectProblem(answer, 400, 'bad-header'))]).toEqual([headers, places]);
    }
    expect((await subject.api.get(path)).status).toBe(404);
    const limits = { 'content-type': `text/${'x'.repeat(251)}`, 'cache-tags': Array(32).fill(tag).join() };
    expect(statusOf(await put(path, 'x', limits))).toEqual(stored);
  });

  test('may be so large, and no larger', async () => {
    const { api } = subject;
    const path = freshPath();
    const most = Buffer.alloc(ENTRY_LIMITS.payloadBytes, 'm');
    const tags = Array.from({ length: 60 }, (_, n) => `${n}${'x'.repeat(200)}`).join();
    expect(statusOf(await put(path, most, { 'cache-tags': tags }))).toEqual(stored);
    expect(Buffer.compare((await api.get(path)).bytes, most)).toBe(0);
    expectProblem(await put(path, Buffer.concat([most, Buffer.alloc(1)])), 413, 'body-too-large');
    expect((await api.get(path)).bytes.length).toBe(most.length);
  });

  test('are of caches that there are, by keys that are ids, without parameters', async () => {
    const { api } = subject;
    expectProblem(await api.get(entryPath('none', 'x')), 404, 'cache-not-found');
    expectProblem(await put(entryPath('@results', 'x'), 'x'), 404, 'cache-not-found');
    expectProblem(await api.get(entryPath('__proto__', 'x')), 404, 'cache-not-found');
    expectProblem(await api.get('/v1/caches/results/entries/'), 400, 'bad-id');
    expectProblem(await api.get(entryPath('results', 'x'.repeat(513))), 400, 'bad-id');
    expectProblem(await put('/v1/caches/results/entries/%ff', 'x'), 400, 'bad-encoding');
    expectProblem(await api.get('/v1/caches/results/entries/x?a=1'), 400, 'bad-query');
    expectProblem(await api.request('PATCH', entryPath('results', 'x')), 405, 'method-not-allowed');
    for (const path of ['/v1/caches/results/', '/v1/caches/results/entry/x'])
      expectProblem(await api.get(path), 404, 'not-found');
    const key = 'ключ/ü %*';
    await put(entryPath('results', key), 'wide');
    expect((await api.get(entryPath('results', key))).text).toBe('wide');
    expect((await api.get('/v1/caches/results/entries/%D0%BA%D0%BB%D1%8E%D1%87/%C3%BC%20%25*')).text).toBe(
      'wide',
    );
  });

  test('lie in views that nobody sees', async () => {
    const { api } = subject;
    expect((await api.get('/v1/views')).text).toBe('{"views":[]}');
    for (const name of ['@results', '%40results']) {
      const path = `/v1/views/${name}`;
      expectProblem(await api.get(path), 404, 'view-not-found');
      expectProblem(await api.delete(path), 404, 'view-not-found');
      expectProblem(await api.put(path, { entity: 'x', features: { a: 'bool' } }), 400, 'bad-name');
      expectProblem(await api.get(`${path}/records/x`), 404, 'view-not-found');
      expectProblem(await api.post(`${path}/lookup`, { ids: ['x'] }), 404, 'view-not-found');
      expectProblem(await api.post(`${path}/invalidate`, { all: true }), 404, 'view-not-found');
    }
    await put(entryPath('results', 'still'), 'there');
    expect((await api.get(entryPath('results', 'still'))).text).toBe('there');
  });
});
