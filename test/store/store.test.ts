/** The store in the process: what the server does, without HTTP, and at once where memory has it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HeadraceError, open, type Store } from '../../src/index.js';
import { EVERY_TYPE } from '../client/every-type.js';
import { makeDataDir } from '../server/server-process.js';
import { eventually } from '../support/redis-server.js';

const DOCS = {
  entity: 'doc',
  features: EVERY_TYPE,
} as const;
const FULL = {
  rank: 0.5,
  score: 0.1,
  clicks: -5,
  isSpam: false,
  title: 'ü',
  hash: Uint8Array.of(0, 255),
  vector: Float32Array.of(1, 2, 3),
};
const OPTIONS = { l1Bytes: '16MiB', lanes: 2, deadline: '30s' };

const dataDir = makeDataDir();
let store: Store;
beforeAll(async () => {
  store = await open({ dataDir, ...OPTIONS });
});
afterAll(() => store.close());

async function codeOf(promise: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof promise === 'function' ? promise() : promise);
    return 'none';
  } catch (error) {
    expect(error).toBeInstanceOf(HeadraceError);
    return (error as HeadraceError).code;
  }
}

describe('a view of a store in the process', () => {
  it('has records that are put, read at once, looked up, deleted', async () => {
    const docs = store.view('docs', DOCS);
    expect(await codeOf(() => docs.getSync('a'))).toBe('view-not-found');
    expect(await docs.declare()).toEqual({ schema: 1 });
    expect(store.views()).toMatchObject([{ view: 'docs', features: DOCS.features }]);
    expect(docs.getSync('a')).toBeUndefined();
    expect(await docs.get('a')).toBeUndefined();
    expect(await docs.put('a', FULL, { version: 3, tags: ['t'] })).toEqual({
      id: 'a',
      version: 3,
      applied: true,
    });
    expect(docs.getSync('a')).toEqual({ id: 'a', version: 3, features: FULL });
    expect(docs.getSync('a', { features: ['title'] })?.features).toEqual({ title: 'ü' });
    await docs.put('b', { title: 'B' }, { version: 1 });
    const kept = docs.getSync('a');
    // The next read uses the same memory.
    expect(docs.getSync('b')?.features).toMatchObject({ title: 'B', hash: null, vector: null, isSpam: null });
    expect(kept?.features).toEqual(FULL);
    const rows = await docs.getMany(['a', 'none', 'b'], { features: ['rank'] });
    expect(rows).toEqual([
      { status: 'PRESENT', id: 'a', version: 3, features: { rank: 0.5 } },
      { status: 'NOT_FOUND', id: 'none' },
      { status: 'PRESENT', id: 'b', version: 1, features: { rank: null } },
    ]);
    expect((await docs.lookup(['a', 'b'])).columns.vector.at(0)).toEqual(FULL.vector);
    expect(await docs.invalidate({ tags: ['t'] })).toBe(1);
    expect(docs.getSync('a')).toBeUndefined();
    expect((await docs.get('a'))?.features).toEqual(FULL);
    expect(docs.getSync('a')?.version).toBe(3);
    await docs.delete('a');
    expect([docs.getSync('a'), await docs.get('a')]).toEqual([undefined, undefined]);
  });

  it('is loaded as a stream', async () => {
    const docs = store.view('loaded', DOCS);
    await docs.declare();
    function* records() {
      for (let n = 0; n < 20_000; n++) yield { id: `n${n}`, features: { clicks: n } };
    }
    expect(await docs.load(records())).toEqual({ applied: 20_000, stale: 0, failed: 0, errors: [] });
    const found = await docs.getMany(['n19999', 'n0'], { features: ['clicks'] });
    expect(found).toMatchObject([{ features: { clicks: 19_999 } }, { features: { clicks: 0 } }]);
  });

  it('refuses what the server refuses', async () => {
    const docs = store.view('docs', DOCS);
    expect(await codeOf(docs.put('', {}))).toBe('bad-id');
    for (const id of ['', 'x'.repeat(513), 'a\ud800'])
      expect(await codeOf(() => docs.getSync(id))).toBe('bad-id');
    expect(await codeOf(docs.put('a', { rank: Number.NaN }))).toBe('invalid-record');
    expect(await codeOf(docs.put('a', { vector: [1] }))).toBe('invalid-record');
    expect(await codeOf(store.view('docs', { ...DOCS, features: { rank: 'bool' } }).declare())).toBe(
      'view-conflict',
    );
    expect(await codeOf(store.view('docs', { ...DOCS, features: { rank: 'bool' } }).get('a'))).toBe(
      'view-conflict',
    );
    expect(await codeOf(store.view('@results', DOCS).declare())).toBe('bad-name');
    expect(await codeOf(() => store.view('@results').getSync('a'))).toBe('view-not-found');
    expect(await codeOf(docs.invalidate({ ids: [] }))).toBe('invalid-invalidation');
    const dropped = store.view('dropped', DOCS);
    await dropped.declare();
    await dropped.put('a', {});
    await dropped.drop();
    expect(await codeOf(dropped.get('a'))).toBe('view-not-found');
  });
});

describe('a named cache of a store in the process', () => {
  it('has entries that are put, read at once, invalidated', async () => {
    const results = store.cache('results');
    expect(results.getSync('k')).toBeUndefined();
    expect(await results.put('k', 'text', { ttl: '1m', tags: ['t'] })).toBe('stored');
    expect(results.getSync('k')?.text()).toBe('text');
    const bytes = Uint8Array.of(1, 2, 3);
    await results.put('b', bytes, { contentType: 'image/x-any' });
    const entry = await results.get('b');
    expect([entry?.bytes, entry?.contentType, entry?.ageSeconds]).toEqual([bytes, 'image/x-any', 0]);
    const batch = await results.batchGet(['b', 'none', 'k', 'b']);
    expect(batch.map(found => found?.bytes.length)).toEqual([3, undefined, 4, 3]);
    expect(await results.invalidate({ tags: ['t'] })).toBeNull();
    expect(results.getSync('k')).toBeUndefined();
    expect(await results.get('k')).toBeUndefined();
    expect(await results.invalidate({ ids: ['b', 'none'] })).toBe(1);
    await results.delete('b');
    expect(await results.get('b')).toBeUndefined();
    await results.put('p:1', 'x');
    expect(await results.invalidate({ pattern: 'p*' })).toBeNull();
    expect([results.getSync('p:1'), await results.get('p:1')]).toEqual([undefined, undefined]);
    await results.put('p:1', 'x');
    expect(await results.invalidate({ all: true })).toBeGreaterThanOrEqual(1);
    expect(await results.get('p:1')).toBeUndefined();
    expect(await codeOf(() => store.cache('none'))).toBe('cache-not-found');
    expect(await codeOf(results.put('k', 'x', { ttl: '5ms' }))).toBe('bad-header');
    expect(await codeOf(results.put('k', 'x', { tags: ['\ud800'] }))).toBe('bad-header');
    expect(await codeOf(results.get(''))).toBe('bad-id');
    expect(results.key({ query: 'Ａ' })).toBe('q1:a,');
    expect(store.caches()).toContain('embeddings');
  });
});

it('is the only one that has its directory, and keeps what was written', async () => {
  const directory = makeDataDir();
  const first = await open({ dataDir: directory, ...OPTIONS });
  const docs = first.view('docs', DOCS);
  await docs.declare();
  await docs.put('a', FULL);
  await expect(open({ dataDir: directory, ...OPTIONS })).rejects.toThrow(/in use by another/);
  await first.close();
  // What memory has is not read any more either.
  expect(await codeOf(() => docs.getSync('a'))).toBe('draining');
  expect(await codeOf(docs.put('a', FULL))).toBe('draining');
  const second = await open({ dataDir: directory, ...OPTIONS });
  const again = second.view('docs', DOCS);
  expect((await again.get('a'))?.features).toEqual(FULL);
  await eventually(() => again.getSync('a') !== undefined, 'it is in memory');
  await second.close();
});

it('is opened with the options of the server, and no others', async () => {
  await expect(open({ dataDir, lanes: 0 })).rejects.toThrow(/lanes.*'0'.*1 to 64/);
  await expect(open({ dataDir, ...{ port: 1 } })).rejects.toThrow('port is no option of a store');
  await expect(open({ dataDir, ...{ datadir: 'x' } })).rejects.toThrow('datadir is no option of a store');
});
