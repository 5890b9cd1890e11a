/** Every method of the client against the real server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ClientError, connect, type HeadraceClient } from '../../src/client/index.js';
import { configured } from '../server/embeddings.js';
import { type ServerProcess, startServerProcess } from '../server/server-process.js';
import { eventually } from '../support/redis-server.js';
import { EVERY_TYPE } from './every-type.js';

let server: ServerProcess;
let client: HeadraceClient;

beforeAll(async () => {
  server = await startServerProcess({ env: configured({ vectors: { embedding: { dimensions: 2 } } }) });
  client = connect({ url: server.url, timeoutMs: 20_000 });
});

afterAll(() => client.close());

const DOCS = {
  entity: 'doc',
  ttl: '24h',
  features: EVERY_TYPE,
} as const;

const FULL = {
  rank: 0.1,
  score: 0.1,
  clicks: 2 ** 53 - 1,
  isSpam: true,
  title: 'Größe "1"\n',
  hash: Uint8Array.of(0, 255, 7),
  vector: [1.5, -2, 0.1],
};
const FULL_READ = { ...FULL, rank: Math.fround(0.1), vector: Float32Array.of(1.5, -2, 0.1) };
const NONE = { rank: null, score: null, clicks: null, isSpam: null, title: null, hash: null, vector: null };

async function failure(promise: Promise<unknown>): Promise<ClientError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ClientError);
  return error as ClientError;
}

describe('a view', () => {
  it('is declared, shown, listed, dropped', async () => {
    const view = client.view('shown', DOCS);
    expect(await view.info()).toBeUndefined();
    expect(await view.declare()).toEqual({ schema: 1 });
    expect(await view.declare()).toEqual({ schema: 1 });
    expect(await view.info()).toMatchObject({ view: 'shown', ttl: '1d', features: DOCS.features });
    expect((await client.views()).map(({ view: name }) => name)).toContain('shown');
    const other = client.view('shown', { entity: 'doc', features: { rank: 'string' } });
    expect(await failure(other.declare())).toMatchObject({ code: 'view-conflict', status: 409 });
    expect((await failure(other.declare())).errors[0]).toMatchObject({ at: 'features.rank' });
    expect(await failure(other.get('a'))).toMatchObject({ code: 'view-conflict' });
    const unknown = client.view('shown', { entity: 'doc', features: { none: 'string' } });
    expect(await failure(unknown.get('a'))).toMatchObject({ code: 'invalid-lookup', status: 422 });
    await view.drop();
    expect(await view.info()).toBeUndefined();
    expect(await failure(view.drop())).toMatchObject({ code: 'view-not-found', status: 404 });
    expect(await failure(view.get('a'))).toMatchObject({ code: 'view-not-found' });
    expect(await failure(client.view('none').declare())).toMatchObject({ code: 'invalid-view' });
  });

  it('has records that are put, got, deleted, in types', async () => {
    const docs = client.view('docs', DOCS);
    await docs.declare();
    expect(await docs.get('a')).toBeUndefined();
    const options = { version: 7, ttl: '1h', tags: ['t'], metadata: { source: 'crawl' } };
    expect(await docs.put('a', FULL, options)).toEqual({ id: 'a', version: 7, applied: true });
    expect(await docs.put('a', { rank: 9 }, { version: 6 })).toEqual({ id: 'a', version: 7, applied: false });
    const read = await docs.get('a');
    expect(read).toMatchObject({ id: 'a', version: 7 });
    expect(read?.features).toEqual(FULL_READ);
    expect((await docs.get('a', { features: ['title', 'vector'] }))?.features).toEqual({
      title: FULL.title,
      vector: FULL_READ.vector,
    });
    await docs.put('ключ/ü %', {});
    expect((await docs.get('ключ/ü %', { timeoutMs: 20_000 }))?.features).toEqual(NONE);
    await docs.delete('a');
    expect(await docs.get('a')).toBeUndefined();
    expect(await failure(docs.get('x'.repeat(513)))).toMatchObject({ code: 'bad-id' });
    expect(await failure(docs.put('', {}))).toMatchObject({ code: 'bad-id' });
    const nan = await failure(docs.put('a', { vector: [1, Number.NaN, 2] }));
    expect([nan.code, nan.errors[0]?.at]).toEqual(['invalid-record', 'features.vector']);
    expect(await failure(docs.put('a', { vector: [1] }))).toMatchObject({
      code: 'invalid-record',
      status: 422,
    });
  });

  it('is read without a definition as it is', async () => {
    const docs = client.view('docs', DOCS);
    await docs.put('untyped', FULL);
    expect((await client.view('docs').get('untyped'))?.features).toEqual(FULL_READ);
  });

  it('is looked up in columns, in rows, in JSON', async () => {
    const docs = client.view('docs', DOCS);
    await docs.put('b', FULL, { version: 3 });
    await docs.put('c', { title: 'C' }, { version: 4 });
    const ids = ['b', 'none', 'c', 'b'];
    const found = await docs.lookup(ids);
    expect([found.ids, found.statuses, found.versions]).toEqual([
      ids,
      ['PRESENT', 'NOT_FOUND', 'PRESENT', 'PRESENT'],
      [3, null, 4, 3],
    ]);
    const { rank, vector, title, isSpam } = found.columns;
    expect(rank.values).toEqual(Float32Array.of(0.1, 0, 0, 0.1));
    expect([0, 1, 2, 3].map(row => rank.isNull(row))).toEqual([false, true, true, false]);
    expect([vector.length, vector.nullCount, vector.at(3), vector.at(1)]).toEqual([
      3,
      2,
      FULL_READ.vector,
      null,
    ]);
    expect([title.values, isSpam.at(0)]).toEqual([[FULL.title, '', 'C', FULL.title], true]);
    const rows = await docs.getMany(ids, { features: ['title'] });
    expect(rows).toEqual([
      { status: 'PRESENT', id: 'b', version: 3, features: { title: FULL.title } },
      { status: 'NOT_FOUND', id: 'none' },
      { status: 'PRESENT', id: 'c', version: 4, features: { title: 'C' } },
      { status: 'PRESENT', id: 'b', version: 3, features: { title: FULL.title } },
    ]);
    expect(await docs.getMany([])).toEqual([]);
    const json = await docs.lookupJson(ids, { features: ['hash', 'rank'] });
    expect(json.columns).toEqual([
      ['AP8H', null, null, 'AP8H'],
      [0.1, null, null, 0.1],
    ]);
    expect(await failure(docs.lookup([]))).toMatchObject({ code: 'invalid-lookup' });
  });

  it('is loaded as a stream, told line by line', async () => {
    const view = client.view('loaded', DOCS);
    await view.declare();
    async function* records() {
      for (let n = 0; n < 5_000; n++)
        yield { id: `n${n}`, features: { clicks: n }, tags: ['many'], version: 1 };
      yield { id: 'n1', features: {}, version: 1 };
      yield { id: '', features: {} };
    }
    const result = await view.load(records());
    expect(result).toMatchObject({ applied: 5_000, stale: 1, failed: 1, errors: [{ line: 5_002 }] });
    const many = await view.getMany(
      Array.from({ length: 12_000 }, (_, n) => `n${n}`),
      { features: ['clicks'] },
    );
    expect(many.filter(({ status }) => status === 'PRESENT').length).toBe(5_000);
    expect(many[4_999]).toMatchObject({ features: { clicks: 4_999 } });
    expect(await view.invalidate({ tags: ['many'] })).toBe(5_000);
    expect(await view.invalidate({ all: true })).toEqual(expect.any(Number));
    async function* broken() {
      yield { id: 'a', features: { clicks: 1 } };
      yield { id: 'b', features: { score: Number.POSITIVE_INFINITY } };
    }
    expect(await failure(view.load(broken()))).toMatchObject({ code: 'invalid-record' });
    expect(await failure(client.view('none').load([]))).toMatchObject({ code: 'view-not-found' });
  });

  it('answers single reads of one turn with one lookup', async () => {
    const docs = client.view('docs', DOCS);
    await docs.put('turn', { title: 'T' });
    const rows = await Promise.all(
      Array.from({ length: 300 }, (_, n) =>
        docs.get(n % 2 === 0 ? 'turn' : `not ${n}`, { features: ['title'] }),
      ),
    );
    expect(rows.filter(row => row?.features.title === 'T').length).toBe(150);
  });
});

describe('a named cache', () => {
  it('has entries that are put, got, deleted', async () => {
    const results = client.cache('results');
    expect(await results.get('k')).toBeUndefined();
    expect(await results.put('k', Uint8Array.of(1, 2, 255), { contentType: 'image/x-any' })).toBe('stored');
    const entry = await results.get('k');
    expect([entry?.bytes, entry?.contentType]).toEqual([Uint8Array.of(1, 2, 255), 'image/x-any']);
    expect(entry?.etag).toMatch(/^"/);
    expect(entry?.ttlSeconds).toBeGreaterThan(290);
    await results.put('k', 'ü', { ttl: '1m', staleWhileRevalidate: '5s', staleIfError: '0s', tags: ['a,b'] });
    const text = await results.get('k', { timeoutMs: 20_000 });
    expect([text?.text(), text?.contentType]).toEqual(['ü', 'text/plain; charset=utf-8']);
    expect(text?.ttlSeconds).toBeLessThanOrEqual(60);
    expect((await results.read('k')).entry?.text()).toBe('ü');
    await results.delete('k');
    expect(await results.get('k')).toBeUndefined();
    expect(await failure(results.put('k', '', { ttl: '1ms' }))).toMatchObject({ code: 'bad-header' });
    expect(await failure(results.put('k', '', { contentType: 'text' }))).toMatchObject({
      code: 'bad-header',
    });
    expect(await failure(client.cache('none').read('k'))).toMatchObject({ code: 'cache-not-found' });
    expect(await failure(client.cache('none').get('k'))).toMatchObject({ code: 'cache-not-found' });
  });

  it('is read in batches, also by single reads of one turn', async () => {
    const popular = client.cache('popular');
    const keys = Array.from({ length: 1_500 }, (_, n) => `k${n}`);
    await Promise.all(
      keys
        .slice(0, 20)
        .map(key => popular.put(key, JSON.stringify({ key }), { contentType: 'application/json' })),
    );
    const entries = await popular.batchGet([...keys, 'k3']);
    expect(entries.map(entry => entry?.json()).filter(value => value !== undefined)).toEqual(
      [...keys.slice(0, 20), 'k3'].map(key => ({ key })),
    );
    expect(entries.length).toBe(1_501);
    const single = await Promise.all(keys.map(key => popular.get(key)));
    expect(single.filter(entry => entry !== undefined).length).toBe(20);
    expect(await failure(popular.batchGet(['a', '']))).toMatchObject({ code: 'bad-id' });
  });

  it('has vectors as JSON, alone and in batches', async () => {
    const vectors = client.cache('vectors');
    for (const [key, vector] of [
      ['a', [1, -0.5]],
      ['b', [0.1, 1e-30]],
    ] as const)
      await vectors.put(key, JSON.stringify(vector), { contentType: 'application/json' });
    const { entry: alone } = await vectors.read('b');
    const [a, b] = await Promise.all([vectors.get('a'), vectors.get('b'), vectors.get('none')]);
    expect([a?.json(), b?.text()]).toEqual([[1, -0.5], alone?.text()]);
    expect([b?.contentType, b?.etag]).toEqual([alone?.contentType, alone?.etag]);
  });

  it('is invalidated, shown and listed', async () => {
    const plans = client.cache('plans');
    await plans.put('p:1', 'a', { tags: ['t'] });
    await plans.put('p:2', 'b', { tags: ['t'] });
    await plans.put('q:3', 'c');
    await plans.put('r:4', 'd');
    await plans.put('s:5', 'e');
    expect(await plans.invalidate({ ids: ['s:5', 'none'] })).toBe(1);
    expect(await plans.batchGet(['p:1', 'p:2', 'q:3', 'r:4'])).not.toContain(undefined);
    expect(await plans.invalidate({ tags: ['t'] })).toBeNull();
    expect(await plans.invalidate({ prefix: 'q:' })).toBeNull();
    expect((await plans.batchGet(['p:1', 'p:2', 'q:3', 'r:4'])).map(entry => entry?.text())).toEqual([
      undefined,
      undefined,
      undefined,
      'd',
    ]);
    expect(await plans.invalidate({ pattern: '*:*' })).toBeNull();
    expect(await plans.get('r:4')).toBeUndefined();
    expect(await plans.invalidate({ all: true })).toEqual(expect.any(Number));
    expect(await plans.invalidate({ ids: ['p:1'] })).toBe(0);
    expect(await failure(plans.invalidate({ ids: [] }))).toMatchObject({ code: 'invalid-invalidation' });
    expect(await plans.info()).toMatchObject({ cache: 'plans', ttl: '30m' });
    expect(await client.cache('none').info()).toBeUndefined();
    expect((await client.caches()).map(({ cache }) => cache)).toContain('plans');
  });

  it('has the canonical keys of the server', async () => {
    const parts = { query: 'Ｃafé  NOIR', params: { k: 10, user: 'u1' }, tenant: 'acme' };
    const answer = await fetch(`${server.url}/v1/caches/results/key`, {
      method: 'POST',
      body: JSON.stringify(parts),
    });
    expect(await answer.json()).toEqual({ key: client.cache('results').key(parts) });
    expect(() => client.cache('results').key({})).toThrow(ClientError);
  });

  it('stands before a function: a head of queries is made once each', async () => {
    let calls = 0;
    const search = client.cached(
      async (query: string) => {
        calls++;
        return { query, hits: query.length };
      },
      { cache: 'results', key: query => ({ query }), ttl: '1m', timeoutMs: 10_000 },
    );
    const asked = Array.from({ length: 1_000 }, (_, n) => `query ${n % 10}`);
    const first = await Promise.all(asked.map(search));
    expect(first.map(({ hits }) => hits)).toEqual(asked.map(query => query.length));
    expect(calls).toBe(10);
    await eventually(() => search.figures.stored === 10, 'all are stored');
    const again = connect({ url: server.url });
    const other = again.cached(async () => ({ query: '', hits: -1 }), {
      cache: 'results',
      key: () => 'q7:query 3,',
    });
    expect(await other()).toEqual({ query: 'query 3', hits: 7 });
    await Promise.all(asked.map(query => search(`  ${query.toUpperCase()} `)));
    expect(calls).toBe(10);
    expect(await client.cache('results').invalidate({ pattern: 'q*' })).toBeNull();
    await search('query 3');
    expect(calls).toBe(11);
    await again.close();
  });
});

describe('a feature extractor', () => {
  it('is asked for what the view lacks, in one call, and it is written back', async () => {
    const view = client.view('extracted', {
      entity: 'doc',
      features: { length: 'float32', vector: 'float32[2]' },
    });
    await view.declare();
    await view.put('known', { length: 1 });
    const asked: (readonly string[])[] = [];
    const featuresOf = client.features(
      async ids => {
        asked.push(ids);
        return new Map(
          ids.filter(id => id !== 'no').map(id => [id, { length: id.length + 0.1, vector: [1, 0.1] }]),
        );
      },
      { view, ttl: '1h', tags: ['made'], timeoutMs: 10_000 },
    );
    const made = { length: Math.fround(4.1), vector: Float32Array.of(1, 0.1) };
    const ids = ['abcd', 'known', 'no', 'efgh', 'abcd'];
    const [rows, others] = await Promise.all([featuresOf(ids), featuresOf(['efgh'])]);
    expect(rows).toEqual([made, { length: 1, vector: null }, undefined, made, made]);
    expect(others).toEqual([made]);
    // Whichever lookup is answered first asks for the id that both lack.
    expect(asked.flat().sort()).toEqual(['abcd', 'efgh', 'no']);
    const calls = asked.length;
    await eventually(() => featuresOf.figures.written === 2, 'they are written');
    expect(await featuresOf(['abcd', 'efgh'])).toEqual([made, made]);
    expect((await view.get('abcd'))?.features).toEqual(made);
    expect(asked.length).toBe(calls);
    expect(featuresOf.figures).toMatchObject({ extracted: 2, joined: 1, failed: 0 });
    const some = client.features(async () => ({}), { view, features: ['length'] });
    // An id may be the name of what every object has.
    expect(await some(['known', 'constructor'])).toEqual([{ length: 1 }, undefined]);
  });
});

it('options that are wrong are told', () => {
  expect(() => connect({ url: 'localhost:80' })).toThrow(/begins neither with http/);
  expect(() => connect({ url: 'http://localhost/path' })).toThrow(/more than a host/);
  expect(() => connect({ url: server.url, timeoutMs: 0 })).toThrow(/timeoutMs is 0, allowed: 1 to/);
  expect(() => connect({ url: server.url, ...{ timeout: 5 } })).toThrow(/timeout is no option/);
  const cached = { cache: 'results', key: () => 'a' };
  for (const [wrong, message] of [
    [{ timeoutMs: 0 }, /timeoutMs is 0, allowed: 1 to/],
    [{ waitMs: 30_001 }, /waitMs is 30001, allowed: 0 to 30000/],
    [{ waitMs: Number.NaN }, /waitMs is NaN/],
  ] as const)
    expect(() => client.cached(() => 1, { ...cached, ...wrong })).toThrow(message);
});

it('a call may be given more time than a timer takes', async () => {
  expect(await client.views({ timeoutMs: Number.POSITIVE_INFINITY })).toEqual(expect.any(Array));
});

it('a load fails with what its records fail with', async () => {
  const broken = new Error('no more records');
  async function* records() {
    yield { id: 'a', features: {} };
    throw broken;
  }
  const docs = client.view('docs', DOCS);
  await docs.declare();
  await expect(docs.load(records())).rejects.toBe(broken);
});
