/** `/v1/caches` over HTTP: which there are, what they are told, and the canonical keys. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { canonicalKey } from '../../src/caches/canonical-key.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';

const KEY = '/v1/caches/results/key';
const directory = mkdtempSync(join(tmpdir(), 'headrace-test-'));
const file = join(directory, 'config.json');
writeFileSync(
  file,
  JSON.stringify({
    caches: { plans: null, results: { ttl: '90s', l1: { bytes: '1MiB' } }, suggest: { prefix: 's/' } },
  }),
);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

onBothFronts('named caches', subject => {
  test('are listed and shown with all their options', async () => {
    const { api } = subject;
    const list = await api.get('/v1/caches');
    expect([list.status, list.headers['content-type'], list.headers['cache-status']]).toEqual([
      200,
      'application/json',
      'headrace; fwd=bypass',
    ]);
    const { caches } = list.json() as { caches: { cache: string; ttl: string }[] };
    expect(caches.map(({ cache, ttl }) => `${cache} ${ttl}`)).toEqual([
      'results 5m',
      'recommendations 5m',
      'predictions 5m',
      'anomalies 5m',
      'popular 5m',
      'fingerprints 10m',
      'plans 30m',
      'rankingConfig 1d',
      'embeddings 7d',
    ]);
    expect((await api.get('/v1/caches')).text).toBe(list.text);
    for (const shown of caches) {
      const path = `/v1/caches/${shown.cache}`;
      expect((await api.get(path)).json()).toEqual(shown);
      const head = await api.head(path);
      expect([head.status, head.bytes.length]).toEqual([200, 0]);
      expect(Number(head.headers['content-length'])).toBe(JSON.stringify(shown).length);
    }
    expect(caches[0]).toEqual({
      figures: expect.anything(),
      cache: 'results',
      enabled: true,
      ttl: '5m',
      refreshAhead: '0ms',
      staleWhileRevalidate: '1m',
      staleIfError: '1h',
      negativeTtl: '5s',
      l1: { eviction: 's3-fifo' },
      compressAbove: '1KiB',
      tagsMax: 64,
      prefix: '',
    });
  });

  test('have the figures of what L1 holds', async () => {
    const { api } = subject;
    const figures = async () =>
      ((await api.get('/v1/caches/fingerprints')).json() as { figures: { l1: Record<string, number> } })
        .figures.l1;
    const none = { entries: 0, bytes: 0, puts: 0, evicted: 0, expired: 0, emptied: 0, crowded: 0 };
    expect(await figures()).toEqual({ ...none, budgetBytes: expect.any(Number) });
    for (const key of ['a', 'b', 'c']) {
      expect((await api.put(`/v1/caches/fingerprints/entries/${key}`, 'x'.repeat(500))).status).toBeLessThan(
        300,
      );
    }
    const held = await figures();
    expect(held).toMatchObject({ entries: 3, puts: 3 });
    expect(held['bytes']).toBeGreaterThan(1500);
    expect(held['budgetBytes']).toBeGreaterThan(2 ** 20);
    expect((await api.post('/v1/caches/fingerprints/invalidate', { all: true })).status).toBe(200);
    expect(await figures()).toMatchObject({ entries: 0, bytes: 0 });
  });

  test('make the canonical key that the library makes', async () => {
    const { api } = subject;
    const answer = await api.post(KEY, '{"query":"Ｃafé  NOIR","params":{"k":10,"user":"u1"}}');
    expect([answer.status, answer.text]).toEqual([200, '{"key":"q10:café noir,p1:k,n2:10,p4:user,s2:u1,"}']);
    expect([answer.headers['content-type'], answer.headers['cache-status']]).toEqual([
      'application/json',
      'headrace; fwd=method',
    ]);
    const asked = [
      { query: 'İstanbul\u200f  👨\u200d👩\u200d👧 ﻻ', tenant: 'acme' },
      { params: { filters: ['b', 'a', 1.5, null, true], k: -0, deep: 1e300 } },
      { query: 'ﷺ'.repeat(1365), tenant: 't', params: { long: 'x'.repeat(4096) } },
      { query: '', params: {} },
    ];
    for (const parts of asked) {
      expect((await api.post('/v1/caches/embeddings/key', parts)).json()).toEqual({
        key: canonicalKey(parts),
      });
    }
    // Keys that no object literal has, and numbers as others write them.
    const odd = await api.post(KEY, '{"params":{"__proto__":"p","constructor":1e1,"10":"ten","9":10.0}}');
    expect(odd.json()).toEqual({ key: 'p2:10,s3:ten,p1:9,n2:10,p9:__proto__,s1:p,p11:constructor,n2:10,' });
  });

  test('say what is wrong with the parts of a key, and where', async () => {
    const { api } = subject;
    const cases: readonly (readonly [string, readonly string[]])[] = [
      ['{}', ['query']],
      ['[]', ['the body']],
      ['"query"', ['the body']],
      ['{"query":"a","user":1,"params":7}', ['user', 'params']],
      ['{"query":1,"tenant":""}', ['tenant', 'query']],
      ['{"params":{"a":{},"b":[[1]],"c":[{}],"":1}}', ['params.a', 'params.b[0]', 'params.c[0]', 'params.']],
      [JSON.stringify({ query: 'x'.repeat(4097) }), ['query']],
    ];
    for (const [body, places] of cases)
      expect(placesOf(expectProblem(await api.post(KEY, body), 422, 'invalid-key'))).toEqual(places);
    for (const body of [
      '',
      '{',
      '{"query":"a","query":"b"}',
      '{"params":{"a":1,"a":1}}',
      '{"query":"\\ud800"}',
      '{"params":{"a":1e999}}',
    ])
      expectProblem(await api.post(KEY, body), 400, 'bad-json');
    expectProblem(await api.post(KEY, ' '.repeat(2 ** 20 + 1)), 413, 'body-too-large');
    expect((await api.post(KEY, { query: 'still here' })).status).toBe(200);
  });

  test('are not there under other names, paths and methods', async () => {
    const { api } = subject;
    for (const name of ['docs', '@results', 'Results', '__proto__', 'constructor', '', '%20']) {
      expectProblem(await api.get(`/v1/caches/${name}`), 404, 'cache-not-found');
      expectProblem(await api.post(`/v1/caches/${name}/key`, { query: 'a' }), 404, 'cache-not-found');
    }
    for (const path of [
      '/v1/cache',
      '/v1/caches/results/keys',
      '/v1/caches/results/',
      '/v1/caches/results/key/',
    ])
      expectProblem(await api.get(path), 404, 'not-found');
    for (const [method, path, allow] of [
      ['POST', '/v1/caches', 'GET, HEAD'],
      ['PUT', '/v1/caches/results', 'GET, HEAD'],
      ['DELETE', '/v1/caches/results', 'GET, HEAD'],
      ['GET', KEY, 'POST'],
    ] as const) {
      const answer = await api.request(method, path);
      expectProblem(answer, 405, 'method-not-allowed');
      expect(answer.headers['allow']).toBe(allow);
    }
    for (const path of ['/v1/caches?x=1', '/v1/caches/results?x=1'])
      expectProblem(await api.get(path), 400, 'bad-query');
    expectProblem(await api.post(`${KEY}?x=1`, { query: 'a' }), 400, 'bad-query');
    expectProblem(await api.get('/v1/caches/%ff'), 400, 'bad-encoding');
  });

  test('are no views', async () => {
    const { api } = subject;
    expect((await api.get('/v1/views')).json()).toEqual({ views: [] });
    expectProblem(await api.get('/v1/views/@results'), 404, 'view-not-found');
    const declared = await api.put('/v1/views/@results', { entity: 'doc', features: { a: 'bool' } });
    expectProblem(declared, 400, 'bad-name');
  });
});

onBothFronts(
  'caches of a configuration file',
  subject => {
    test('are as it says', async () => {
      const { api } = subject;
      const { caches } = (await api.get('/v1/caches')).json() as { caches: { cache: string }[] };
      expect(caches.length).toBe(9);
      expect(caches.at(0)).toMatchObject({
        cache: 'results',
        ttl: '90s',
        l1: { bytes: '1MiB', eviction: 's3-fifo' },
      });
      expect(caches.at(-1)).toMatchObject({ cache: 'suggest', ttl: '5m', prefix: 's/' });
      expectProblem(await api.get('/v1/caches/plans'), 404, 'cache-not-found');
    });
  },
  { HEADRACE_CONFIG_FILE: file },
);
