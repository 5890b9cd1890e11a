/** Vectors in caches of embeddings: put, get, batches, loads, in each form and storage, and what is wrong with them. */
import { expect, test } from 'vitest';
import { PACKINGS, pack, unpack } from '../../src/caches/embeddings/packing.js';
import { SEED, Seeded } from '../base/seeded.js';
import { normalVector } from '../caches/embeddings/vectors.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';
import {
  batchPath,
  bytesOf,
  configured,
  DIMENSIONS,
  entryPath,
  floatsOf,
  getVector,
  load,
  loadLines,
  putVector,
  STORAGES,
  score,
  scorePath,
} from './embeddings.js';

const OCTETS = 'application/octet-stream';
const JSON_TYPE = 'application/json';
const random = new Seeded(SEED);
const vector = () => normalVector(random, DIMENSIONS);

const env = configured({
  ...STORAGES,
  tenants: { prefix: 't1/', tagsMax: 2, embedding: { dimensions: 3, metric: 'l2' } },
  off: { enabled: false, embedding: { dimensions: 3 } },
});

interface BatchEntry {
  readonly key: string;
  readonly status: string;
  readonly etag?: string;
  readonly vector?: readonly number[];
}

onBothFronts(
  'a cache of embeddings',
  subject => {
    test.each(PACKINGS)('keeps vectors as %s, and gives them in both forms', async storage => {
      const { api } = subject;
      const format = { packing: storage, dimensions: DIMENSIONS };
      const [one, two] = [vector(), vector()];
      expect((await putVector(api, storage, 'one', one)).status).toBe(204);
      const put = await api.request('PUT', entryPath(storage, 'two'), bytesOf(two), {
        'content-type': OCTETS,
      });
      expect([put.status, put.headers['cache-status']]).toEqual([204, 'headrace; fwd=method; stored']);
      for (const [key, given] of [
        ['one', one],
        ['two', two],
      ] as const) {
        const kept = unpack(format, pack(format, given));
        expect(await getVector(api, storage, key)).toEqual(kept);
        const answer = await api.get(entryPath(storage, key));
        expect([answer.status, answer.headers['content-type'], answer.headers.vary]).toEqual([
          200,
          JSON_TYPE,
          'accept',
        ]);
        expect(answer.headers['cache-status']).toMatch(/^headrace; hit; ttl=\d+; detail=L1$/);
        expect(Float32Array.from(answer.json() as number[])).toEqual(kept);
      }
      if (storage === 'float32') expect(await getVector(api, storage, 'one')).toEqual(one);
      const head = await api.head(entryPath(storage, 'one'));
      expect([head.status, head.text]).toEqual([200, '']);
      // Without a type they are bytes.
      expect((await api.request('PUT', entryPath(storage, 'one'), bytesOf(two))).status).toBe(204);
      expect(await getVector(api, storage, 'one')).toEqual(await getVector(api, storage, 'two'));
      expect((await api.delete(entryPath(storage, 'one'))).status).toBe(204);
      expectProblem(await api.get(entryPath(storage, 'one')), 404, 'entry-not-found');
    });

    test('voids the leases on what is loaded, and on nothing else', async () => {
      const { api } = subject;
      const lease = async (key: string) =>
        String((await api.get(entryPath('float32', key))).headers['headrace-lease']);
      const [loaded, other] = [await lease('loaded'), await lease('other')];
      const given = vector();
      // Who waits is answered with what is loaded.
      const waiting = api.get(`${entryPath('float32', 'loaded')}?wait=30s`);
      await load(api, 'float32', [{ key: 'loaded', vector: given }]);
      expect((await waiting).status).toBe(200);
      const late = await putVector(api, 'float32', 'loaded', vector(), { 'headrace-lease': loaded });
      expectProblem(late, 409, 'lease-lost');
      expect(await getVector(api, 'float32', 'loaded')).toEqual(given);
      // What is no vector does not use up a lease.
      const wrong = await putVector(api, 'float32', 'other', [1], { 'headrace-lease': other });
      expectProblem(wrong, 422, 'invalid-vector');
      expect((await putVector(api, 'float32', 'other', given, { 'headrace-lease': other })).status).toBe(204);
      expect((await api.get('/v1/caches/float32')).json()).toMatchObject({
        figures: { leases: { refused: 1 }, scoring: { malformed: expect.any(Number) } },
      });
    });

    test('has an ETag for each form, of equal vectors the same', async () => {
      const { api } = subject;
      const given = vector();
      await putVector(api, 'int8', 'a', given);
      await api.request('PUT', entryPath('int8', 'b'), bytesOf(given), { 'content-type': OCTETS });
      const etag = async (key: string, accept: string) =>
        String((await api.get(entryPath('int8', key), { accept })).headers.etag);
      const [json, bytes] = [await etag('a', JSON_TYPE), await etag('a', OCTETS)];
      expect([await etag('b', JSON_TYPE), await etag('b', OCTETS)]).toEqual([json, bytes]);
      expect(json).not.toBe(bytes);
      expect(new Set([json, bytes].map(text => /^"[\w-]+"$/.test(text)))).toEqual(new Set([true]));
      const ask = async (held: string, accept: string) =>
        (await api.get(entryPath('int8', 'a'), { accept, 'if-none-match': held })).status;
      expect([await ask(json, JSON_TYPE), await ask(bytes, OCTETS)]).toEqual([304, 304]);
      expect([await ask(json, OCTETS), await ask(bytes, JSON_TYPE)]).toEqual([200, 200]);
      expectProblem(await api.get(entryPath('int8', 'a'), { accept: 'text/html' }), 406, 'not-acceptable');
    });

    test('refuses what is no vector of it, and says where', async () => {
      const { api } = subject;
      const put = (body: string | Buffer, type: string) =>
        api.request('PUT', entryPath('tenants', 'bad'), body, { 'content-type': type });
      const cases: readonly (readonly [string | Buffer, string, readonly string[]])[] = [
        ['[1,2]', JSON_TYPE, ['the body']],
        ['[1,2,3,4]', JSON_TYPE, ['the body']],
        ['[]', JSON_TYPE, ['the body']],
        ['{"vector":[1,2,3]}', JSON_TYPE, ['the body']],
        ['"AAAA"', JSON_TYPE, ['the body']],
        ['[1,1e39,null]', JSON_TYPE, ['[1]', '[2]']],
        ['["1",2,3]', `${JSON_TYPE}; charset=utf-8`, ['[0]']],
        [bytesOf([1, Number.NaN, Number.NEGATIVE_INFINITY]), OCTETS, ['[1]', '[2]']],
        [bytesOf([1, 2]), OCTETS, ['the body']],
        [Buffer.alloc(13), OCTETS, ['the body']],
        ['', OCTETS, ['the body']],
      ];
      for (const [body, type, places] of cases) {
        const problem = expectProblem(await put(body, type), 422, 'invalid-vector');
        expect([body, placesOf(problem)]).toEqual([body, places]);
      }
      for (const body of ['[1,NaN,3]', '[1,2,3', '', '[1,2,3]x'])
        expectProblem(await put(body, JSON_TYPE), 400, 'bad-json');
      expectProblem(await put('1 2 3', 'text/plain'), 415, 'unsupported-media-type');
      expectProblem(
        await putVector(api, 'float16', 'k', Array(DIMENSIONS).fill(65520)),
        422,
        'invalid-vector',
      );
      expectProblem(await api.get(entryPath('tenants', 'bad')), 404, 'entry-not-found');
    });

    test('answers batches as JSON, or as one matrix with NaN where there is nothing', async () => {
      const { api } = subject;
      const [a, b] = [vector(), vector()];
      await putVector(api, 'float32', 'a', a);
      await putVector(api, 'float32', 'b', b);
      const keys = ['b', 'none', 'a', 'b'];
      const answer = await api.post(batchPath('float32'), { keys });
      const { entries } = answer.json() as { entries: readonly BatchEntry[] };
      const { etag } = (await api.get(entryPath('float32', 'a'))).headers;
      expect(entries.map(({ key, status }) => [key, status])).toEqual([
        ['b', 'PRESENT'],
        ['none', 'NOT_FOUND'],
        ['a', 'PRESENT'],
        ['b', 'PRESENT'],
      ]);
      expect(entries[2]).toEqual({
        key: 'a',
        status: 'PRESENT',
        age: expect.any(Number),
        ttl: expect.any(Number),
        etag,
        vector: expect.any(Array),
      });
      expect(Float32Array.from(entries[2]?.vector ?? [])).toEqual(a);
      const matrix = await api.post(batchPath('float32'), { keys }, { accept: OCTETS });
      expect([matrix.status, matrix.headers['content-type']]).toEqual([200, OCTETS]);
      const none = new Float32Array(DIMENSIONS).fill(Number.NaN);
      expect(floatsOf(matrix.bytes)).toEqual(Float32Array.from([...b, ...none, ...a, ...b]));
    });

    test('is loaded line by line, each with its key, ttl and tags', async () => {
      const { api } = subject;
      const lines = Array.from({ length: 3_000 }, (_, n) => ({ key: `line ${n}`, vector: vector() }));
      for (const storage of PACKINGS) await load(api, storage, lines);
      for (const n of [0, 1, 1_500, 2_999])
        expect(await getVector(api, 'float32', `line ${n}`)).toEqual(lines[n]?.vector);
      const tagged = [
        '{"key":"x","vector":[1,2,3],"tags":["run:1","run:1"],"ttl":"10s"}',
        '',
        ' {"vector" : [4e0,5,6], "key": "\\u0079"} ',
        '{"key":"x","vector":[3,2,1],"tags":["run:2"]}',
      ];
      const answer = await loadLines(api, 'tenants', tagged);
      expect(answer.json()).toEqual({ applied: 3, stale: 0, failed: 0, errors: [] });
      expect(await getVector(api, 'tenants', 'x')).toEqual(Float32Array.of(3, 2, 1));
      expect(await getVector(api, 'tenants', 'y')).toEqual(Float32Array.of(4, 5, 6));
      const invalidated = await api.post('/v1/caches/tenants/invalidate', { tags: ['run:2'] });
      expect(invalidated.json()).toEqual({ invalidated: null });
      expectProblem(await api.get(entryPath('tenants', 'x')), 404, 'entry-not-found');
    });

    test('says which lines of a load are wrong, and takes the others', async () => {
      const { api } = subject;
      const lines = [
        '{"key":"good","vector":[1,2,3]}',
        '{"vector":[1,2,3]}',
        '{"key":"k","vector":[1,2]}',
        '{"key":"k","vector":[1,2,"3"]}',
        '{"key":"","vector":[1,2,3]}',
        '{"key":"k","vector":[1,2,3],"ttl":"soon"}',
        '{"key":"k","vector":[1,2,3],"tags":["a","b","c"]}',
        '{"key":"k","vector":[1,2,3],"id":"k"}',
        '{"key":"k"}',
        '[1,2,3]',
        '{"key":"k","vector":[1,NaN,3]}',
        `{"key":"${'x'.repeat(510)}","vector":[1,2,3]}`,
        '{"key":"also","vector":[1,2,3]}',
      ];
      const answer = (await loadLines(api, 'tenants', lines)).json() as {
        applied: number;
        failed: number;
        errors: { line: number; detail: string }[];
      };
      expect([answer.applied, answer.failed]).toEqual([2, 11]);
      expect(answer.errors.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      expect(answer.errors.map(({ detail }) => detail).join('\n')).toMatch(
        /^key is missing\nvector has 2 numbers; 3 are wanted\nvector\[2\] is of type string/,
      );
      expect(await getVector(api, 'tenants', 'also')).toEqual(Float32Array.of(1, 2, 3));
      expectProblem(await api.get(entryPath('tenants', 'k')), 404, 'entry-not-found');
      expectProblem(await api.post('/v1/caches/tenants/entries', '{}'), 415, 'unsupported-media-type');
      expectProblem(await api.get('/v1/caches/tenants/entries'), 405, 'method-not-allowed');
    });

    test('that is switched off keeps nothing and has no scores', async () => {
      const { api } = subject;
      expect((await putVector(api, 'off', 'a', [1, 2, 3])).headers['cache-status']).toMatch(/stored=\?0$/);
      const loaded = await loadLines(api, 'off', [{ key: 'a', vector: [1, 2, 3] }]);
      expectProblem(loaded, 503, 'unavailable');
      const matrix = await api.post(batchPath('off'), { keys: ['a'] }, { accept: OCTETS });
      expect(floatsOf(matrix.bytes)).toEqual(new Float32Array(3).fill(Number.NaN));
      const answer = await api.post(scorePath('off'), { query: [1, 2, 3], candidates: ['a'] });
      expect([answer.status, answer.headers['cache-status']]).toEqual([200, 'headrace; fwd=bypass']);
      expect(answer.json()).toMatchObject({ matches: [], missing: ['a'], unavailable: [] });
    });

    test('is no other cache', async () => {
      const { api } = subject;
      const score_ = await api.post(scorePath('results'), { query: [1], candidates: ['a'] });
      expectProblem(score_, 404, 'cache-not-found');
      expectProblem(await loadLines(api, 'results', []), 404, 'cache-not-found');
      expectProblem(await api.post(scorePath('none'), {}), 404, 'cache-not-found');
      expectProblem(await api.get(scorePath('int8')), 405, 'method-not-allowed');
      expectProblem(await api.post('/v1/embeddings/int8', {}), 404, 'not-found');
      // Their vectors are bytes like any others there.
      await api.request('PUT', entryPath('results', 'v'), '[1,2]', { 'content-type': JSON_TYPE });
      expect((await api.get(entryPath('results', 'v'), { accept: OCTETS })).text).toBe('[1,2]');
    });

    test('has its prefix before its keys wherever they are named', async () => {
      const { api } = subject;
      await load(api, 'tenants', [
        { key: 'q', vector: [0, 0, 0] },
        { key: 'near', vector: [0, 3, 4] },
        { key: 'far', vector: [0, 30, 40] },
      ]);
      const question = { queryId: 'q', candidates: ['far', 'near', 'q'], k: 2 };
      expect(await score(api, 'tenants', question)).toEqual({
        cache: 'tenants',
        metric: 'l2',
        matches: [
          { id: 'q', score: 0 },
          { id: 'near', score: 5 },
        ],
        missing: [],
        unavailable: [],
      });
    });

    test('shows what it is, and what was asked of it', async () => {
      const { api } = subject;
      expect((await api.get('/v1/caches/tenants')).json()).toMatchObject({
        embedding: { dimensions: 3, storage: 'float32', metric: 'l2' },
        figures: { scoring: { questions: expect.any(Number) } },
      });
      expect((await api.get('/v1/caches/results')).json()).not.toHaveProperty('embedding');
    });
  },
  env,
);
