/** Caches that are read through to an origin: what it answers, how long it is kept, and what its answers may not do. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { expectProblem } from './both-fronts.js';
import { entryPath, keyOf, OriginScene, shown } from './origin-scene.js';
import { makeDataDir } from './server-process.js';

const FROM_ORIGIN = 'headrace; fwd=miss; stored; detail=origin';

describe.each(['uws', 'node'])('a cache with an origin, %s front', front => {
  let scene: OriginScene;
  beforeAll(async () => {
    scene = await OriginScene.start({
      caches: {
        results: { negativeTtl: '1h', origin: {} },
        small: { origin: { bytesMax: 100 } },
        off: { enabled: false, origin: {} },
        brief: {
          negativeTtl: '0ms',
          ttl: '1ms',
          staleWhileRevalidate: '0ms',
          staleIfError: '1h',
          origin: {},
        },
        prefixed: { prefix: 'p:ü/', tagsMax: 1, origin: {} },
        vectors: { negativeTtl: '1h', embedding: { dimensions: 3, storage: 'int8' }, origin: {} },
      },
      env: { HEADRACE_FRONT: front },
    });
  });
  afterAll(() => scene.close());
  beforeEach(() => {
    scene.origin.asked.length = 0;
    scene.origin.answer = (response, { path }) => response.end(`for ${keyOf(path)}`);
  });

  test('answers with what the origin has, and keeps it', async () => {
    scene.origin.answer = response =>
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', etag: 'W/"a,b"' }).end('value');
    const first = await scene.get('results', 'one');
    expect(shown(first)).toEqual([200, 'value', FROM_ORIGIN]);
    expect(first.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      etag: 'W/"a,b"',
      age: '0',
    });
    const second = await scene.get('results', 'one');
    expect(shown(second)).toEqual([
      200,
      'value',
      expect.stringMatching(/^headrace; hit; ttl=29[0-9]; detail=L1$/),
    ]);
    expect(second.headers).toMatchObject({ etag: 'W/"a,b"' });
    for (const held of ['W/"a,b"', '"x", "a,b"', '*'])
      expect((await scene.get('results', 'one', { 'if-none-match': held })).status).toBe(304);
    expect((await scene.get('results', 'one', { 'if-none-match': '"a", "b"' })).status).toBe(200);
    expect((await scene.api.head(entryPath('results', 'one'))).headers['content-length']).toBe('5');
    expect(scene.keysAsked).toEqual(['one']);
  });

  test('asks for HEAD too, and not for what was put', async () => {
    expect((await scene.api.head(entryPath('results', 'head'))).headers['content-length']).toBe('8');
    await scene.api.request('PUT', entryPath('results', 'put'), 'mine');
    expect((await scene.get('results', 'put')).text).toBe('mine');
    expect(scene.keysAsked).toEqual(['head']);
    await scene.api.delete(entryPath('results', 'put'));
    expect(shown(await scene.get('results', 'put'))).toEqual([200, 'for put', FROM_ORIGIN]);
    expect(shown(await scene.get('results', 'put'))[2]).toMatch(/hit/);
  });

  test('asks for a batch what is missing of it', async () => {
    await scene.api.request('PUT', entryPath('results', 'b1'), 'mine', { 'content-type': 'text/plain' });
    scene.origin.answer = (response, { path }) => {
      const key = keyOf(path);
      if (key === 'b3') response.writeHead(404).end();
      else if (key === 'b4') response.writeHead(403).end();
      else response.writeHead(200, { 'content-type': 'text/plain' }).end(`for ${key}`);
    };
    const keys = ['b1', 'b2', 'b3', 'b4', 'b2'];
    const ask = () => scene.api.post('/v1/caches/results/entries:batchGet', { keys });
    const first = await ask();
    expect(first.headers['cache-status']).toBe('headrace; fwd=partial; detail=origin');
    const found = [
      { key: 'b1', status: 'PRESENT', text: 'mine' },
      { key: 'b2', status: 'PRESENT', text: 'for b2' },
      { key: 'b3', status: 'NOT_FOUND' },
      { key: 'b4', status: 'UNAVAILABLE' },
      { key: 'b2', status: 'PRESENT', text: 'for b2' },
    ];
    expect(first.json()).toMatchObject({ entries: found });
    expect((await ask()).json()).toMatchObject({ entries: found });
    // What failed is asked for again; that there is none is remembered.
    expect(scene.keysAsked.sort()).toEqual(['b2', 'b3', 'b4', 'b4']);
  });

  test('remembers that the origin has none, and counts who asks for it', async () => {
    scene.origin.answer = response => response.writeHead(410).end('gone');
    const before = await scene.figures('results');
    expect(shown(await scene.get('results', 'none'))).toEqual([404, '', FROM_ORIGIN]);
    const again = await scene.get('results', 'none');
    expectProblem(again, 404, 'entry-not-found');
    expect(again.headers['cache-status']).toMatch(/^headrace; hit; ttl=3[0-9]{3}; detail=L1$/);
    expect(scene.keysAsked).toEqual(['none']);
    const after = await scene.figures('results');
    const grown = (field: string) => Number(after[field]) - Number(before[field]);
    expect(['calls', 'notFound', 'negativeHits', 'failures', 'rejected'].map(grown)).toEqual([1, 1, 1, 0, 0]);
    await scene.api.request('PUT', entryPath('results', 'none'), 'now there is');
    expect((await scene.get('results', 'none')).text).toBe('now there is');
  });

  test('leaves no old value behind when the origin has none, though that is not remembered', async () => {
    expect(shown(await scene.get('brief', 'gone'))).toEqual([200, 'for gone', FROM_ORIGIN]);
    scene.origin.answer = response => response.writeHead(404).end();
    expect(shown(await scene.get('brief', 'gone'))).toEqual([404, '', 'headrace; fwd=stale; detail=origin']);
    scene.origin.answer = response => response.writeHead(400).end();
    expectProblem(await scene.get('brief', 'gone'), 502, 'bad-origin');
  });

  test.each([
    ['no-store', 'headrace; fwd=miss; detail=origin', 2],
    ['private, max-age=60', 'headrace; fwd=miss; detail=origin', 2],
    ['no-cache="x"', 'headrace; fwd=miss; detail=origin', 2],
    ['max-age=60, MAX-AGE=0, must-revalidate', 'headrace; fwd=miss; detail=origin', 2],
    ['max-age=x, must-revalidate', 'headrace; fwd=miss; detail=origin', 2],
    ['max-age=1, s-maxage="7200", wholly, unknown=1', FROM_ORIGIN, 1],
  ])('keeps what the origin says with Cache-Control: %s', async (cacheControl, status, calls) => {
    const key = `cc ${cacheControl}`;
    scene.origin.answer = response => response.setHeader('cache-control', cacheControl).end('x');
    expect(shown(await scene.get('results', key))).toEqual([200, 'x', status]);
    const second = await scene.get('results', key);
    expect([second.status, second.text]).toEqual([200, 'x']);
    if (calls === 1) expect(second.headers['cache-status']).toMatch(/hit; ttl=71[0-9]{2}/);
    expect(scene.keysAsked).toHaveLength(calls);
  });

  test('is invalidated by the tags that the origin gives; what has tags that cannot be kept is not kept', async () => {
    scene.origin.answer = response => response.setHeader('cache-tags', ['red', 'blue%2C1']).end('x');
    await scene.get('results', 'tagged');
    expect((await scene.get('results', 'tagged')).headers['cache-status']).toMatch(/hit/);
    const invalidate = async (tag: string) =>
      (await scene.api.post('/v1/caches/results/invalidate', { tags: [tag] })).json();
    expect(await invalidate('blue')).toEqual({ invalidated: null });
    expect((await scene.get('results', 'tagged')).headers['cache-status']).toMatch(/hit/);
    expect(await invalidate('blue,1')).toEqual({ invalidated: null });
    expect(shown(await scene.get('results', 'tagged'))).toEqual([200, 'x', FROM_ORIGIN]);
    const many = await scene.get('prefixed', 'tagged');
    expect(shown(many)).toEqual([200, 'x', 'headrace; fwd=miss; detail=origin']);
  });

  test('that is switched off is asked of the origin each time, and stores nothing', async () => {
    for (let time = 0; time < 3; time++) {
      const answer = await scene.get('off', 'k');
      expect(shown(answer)).toEqual([200, 'for k', 'headrace; fwd=bypass; detail=origin']);
    }
    const batch = await scene.api.post('/v1/caches/off/entries:batchGet', { keys: ['k', 'l'] });
    expect(batch.json()).toMatchObject({ entries: [{ status: 'PRESENT' }, { status: 'PRESENT' }] });
    expect(batch.headers['cache-status']).toBe('headrace; fwd=bypass; detail=origin');
    expect(scene.keysAsked.sort()).toEqual(['k', 'k', 'k', 'k', 'l']);
  });

  test('that is switched off while it runs is asked each time too, and serves what it kept when it is on again', async () => {
    const admin = new ApiClient(scene.server.adminPort);
    const switchTo = async (enabled: boolean) =>
      expect((await admin.post('/admin/caches/results', { enabled })).status).toBe(200);
    await scene.get('results', 'kept');
    scene.origin.answer = response => response.end('other');
    await switchTo(false);
    for (const key of ['kept', 'kept', 'never'])
      expect(shown(await scene.get('results', key))).toEqual([
        200,
        'other',
        'headrace; fwd=bypass; detail=origin',
      ]);
    const put = await scene.api.put(entryPath('results', 'put'), 'mine');
    expect([put.status, put.headers['cache-status']]).toEqual([204, 'headrace; fwd=method; stored=?0']);
    await switchTo(true);
    admin.close();
    expect(shown(await scene.get('results', 'kept')).slice(0, 2)).toEqual([200, 'for kept']);
    for (const key of ['never', 'put'])
      expect(shown(await scene.get('results', key))).toEqual([200, 'other', FROM_ORIGIN]);
    expect(scene.keysAsked).toEqual(['kept', 'kept', 'kept', 'never', 'never', 'put']);
  });

  test('of embeddings keeps vectors, and nothing that is none', async () => {
    const { api, origin } = scene;
    const answers: Readonly<Record<string, readonly [string, string | Buffer]>> = {
      json: ['application/json', '[127, 0, -1]'],
      bytes: ['application/octet-stream', Buffer.from(Float32Array.of(0, 127, 1).buffer)],
      short: ['application/json', '[1, 2]'],
      words: ['application/json', '{"not":"a vector"}'],
      text: ['text/plain', '[1, 2, 3]'],
    };
    origin.answer = (response, { path }) => {
      const answer = answers[keyOf(path) ?? ''];
      if (answer === undefined) response.writeHead(404).end();
      else response.writeHead(200, { 'content-type': answer[0], etag: '"theirs"' }).end(answer[1]);
    };
    const json = await scene.get('vectors', 'json');
    expect(shown(json)).toEqual([200, '[127,0,-1]', FROM_ORIGIN]);
    expect(json.headers.etag).not.toBe('"theirs"');
    expect(shown(await scene.get('vectors', 'bytes'))).toEqual([200, '[0,127,1]', FROM_ORIGIN]);
    for (const key of ['short', 'words', 'text']) {
      const answer = await scene.get('vectors', key);
      expectProblem(answer, 502, 'bad-origin');
      expect(answer.headers['cache-status']).toBe('headrace; fwd=miss; detail=bad-origin');
    }
    expectProblem(await scene.get('vectors', 'none'), 404, 'entry-not-found');
    const keys = ['json', 'short', 'none', 'bytes'];
    const batch = (await api.post('/v1/caches/vectors/entries:batchGet', { keys })).json();
    expect(batch).toMatchObject({
      entries: [
        { vector: [127, 0, -1] },
        { status: 'UNAVAILABLE' },
        { status: 'NOT_FOUND' },
        { vector: [0, 127, 1] },
      ],
    });
    const question = { query: [1, 0, 0], candidates: keys, k: 4, metric: 'dot' };
    expect((await api.post('/v1/embeddings/vectors/score', question)).json()).toMatchObject({
      matches: [
        { id: 'json', score: 127 },
        { id: 'bytes', score: 0 },
      ],
      missing: ['short', 'none'],
    });
    expect((await api.get('/v1/caches/vectors')).json()).toMatchObject({
      figures: {
        l1: { entries: 3 },
        invalidating: 0,
        origin: { breaker: 'closed', rejected: 4, failures: 0 },
        scoring: { questions: 1, scored: 2, missing: 2, malformed: 0 },
      },
    });
  });

  test('shows neither a prefix to the origin, nor what it is asked with to clients', async () => {
    expect((await scene.get('prefixed', 'k')).text).toBe('for k');
    const shownCache = (await scene.api.get('/v1/caches/prefixed')).json();
    expect(shownCache).toMatchObject({
      origin: {
        url: `http://127.0.0.1:${scene.origin.port}/v?…`,
        timeout: '5s',
        connections: 10,
        retries: 3,
      },
      figures: { origin: { breaker: 'closed', calls: expect.any(Number), bytes: expect.any(Number) } },
    });
    expect((await scene.api.get('/v1/caches/popular')).json()).not.toHaveProperty('figures.origin');
  });

  test.each(['a b&c=d', '..', '../x', 'é%2F\r\nx: y', 'a?b#c', 'http://x/', '{key}', '\u0000'])(
    'puts the key %j into the place for it and nowhere else',
    async key => {
      expect(shown(await scene.get('results', key))).toEqual([200, `for ${key}`, FROM_ORIGIN]);
      const [asked] = scene.origin.asked;
      expect(asked?.path).toMatch(/^\/v\?k=[A-Za-z0-9%._~-]*$/);
      expect(Object.keys(asked?.headers ?? {}).sort()).toEqual([
        'accept-encoding',
        'connection',
        'headrace-deadline',
        'host',
        'user-agent',
      ]);
    },
  );

  test.each<[what: string, status: number, headers: Record<string, string>, body: string]>([
    ['a redirect', 302, { location: '/elsewhere' }, ''],
    ['a status that is none of a value', 206, {}, 'x'],
    ['a denial', 401, {}, 'x'],
    ['a compressed body', 200, { 'content-encoding': 'gzip' }, 'x'],
    ['too many bytes', 200, {}, 'x'.repeat(101)],
  ])('refuses %s, and counts it', async (what, status, headers, body) => {
    const before = await scene.figures('small');
    scene.origin.answer = response => response.writeHead(status, headers).end(body);
    const answer = await scene.get('small', what);
    expectProblem(answer, 502, 'bad-origin');
    expect(answer.headers['cache-status']).toBe('headrace; fwd=miss; detail=bad-origin');
    expect(scene.keysAsked).toEqual([what]);
    const after = await scene.figures('small');
    expect([Number(after['rejected']) - Number(before['rejected']), after['breaker']]).toEqual([1, 'closed']);
    // It is not remembered.
    scene.origin.answer = response => response.end('well');
    expect(shown(await scene.get('small', what))).toEqual([200, 'well', FROM_ORIGIN]);
  });

  test('serves a type that is none as bytes, and no other header of the origin', async () => {
    scene.origin.answer = response =>
      response
        .writeHead(200, {
          'content-type': 'text/html<script>',
          'set-cookie': 'a=b',
          'x-other': 'c',
          etag: 'bare',
        })
        .end('x');
    const { headers } = await scene.get('results', 'type');
    expect(headers['content-type']).toBe('application/octet-stream');
    expect(headers['etag']).toMatch(/^"[\w-]{22}"$/);
    expect([headers['set-cookie'], headers['x-other']]).toEqual([undefined, undefined]);
  });

  test('tells the origin how long an attempt is waited for', async () => {
    await scene.get('results', 'deadline');
    expect(scene.origin.asked[0]?.headers['headrace-deadline']).toBe('5000ms');
  });

  test.each([
    { all: true },
    { prefix: 'asked' },
    { pattern: 'asked*' },
    { tags: ['its'] },
    { ids: ['asked'] },
  ])('keeps nothing that it asks for while %j is invalidated, and answers all the same', async what => {
    let release = () => {};
    scene.origin.answer = response => {
      release = () => response.writeHead(200, { 'cache-tags': 'its' }).end('old');
    };
    await scene.api.delete(entryPath('results', 'asked'));
    const asking = scene.get('results', 'asked');
    await eventually(() => scene.keysAsked.length === 1, 'the origin is asked');
    expect((await scene.api.post('/v1/caches/results/invalidate', what)).status).toBe(200);
    scene.origin.answer = response => response.end('new');
    // Who asks now does not join.
    expect(shown(await scene.get('results', 'asked'))).toEqual([200, 'new', FROM_ORIGIN]);
    release();
    expect((await asking).text).toBe('old');
    expect((await scene.get('results', 'asked')).text).toBe('new');
    expect(scene.keysAsked).toHaveLength(2);
  });
});

test('of embeddings asks anew for what was kept when it was told otherwise, and does not fall back on that', async () => {
  const dataDir = makeDataDir();
  const told = (dimensions: number) => ({ vectors: { embedding: { dimensions }, origin: { retries: 0 } } });
  const before = await OriginScene.start({ caches: told(2), dataDir });
  before.origin.answer = response =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('[1,2]');
  for (const key of ['one', 'other'])
    expect(shown(await before.get('vectors', key))).toEqual([200, '[1,2]', FROM_ORIGIN]);
  await before.close();
  const after = await OriginScene.start({ caches: told(3), dataDir });
  after.origin.answer = (response, { path }) => {
    if (keyOf(path) === 'other') response.writeHead(500).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end('[1,2,3]');
  };
  expect(shown(await after.get('vectors', 'one'))).toEqual([200, '[1,2,3]', FROM_ORIGIN]);
  expect(shown(await after.get('vectors', 'one')).slice(0, 2)).toEqual([200, '[1,2,3]']);
  expectProblem(await after.get('vectors', 'other'), 503, 'unavailable');
  expect(after.keysAsked).toEqual(['one', 'other']);
  await after.close();
});
