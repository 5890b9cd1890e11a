/** What a server does ahead of those who ask: it warms caches by lists, and makes entries anew before they are stale. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../support/redis-server.js';
import { OriginServer } from '../tiers/origin-fixture.js';
import { ApiClient } from './api-client.js';
import { entryPath, keyOf, OriginScene } from './origin-scene.js';
import { makeDataDir, startServerProcess } from './server-process.js';

const directory = mkdtempSync(join(tmpdir(), 'headrace-lists-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const keysFrom = (count: number) => Array.from({ length: count }, (_, n) => `key-${n}`);

function listOf(name: string, lines: readonly string[]): string {
  const file = join(directory, name);
  writeFileSync(file, lines.join('\n'));
  return file;
}

let origin: OriginServer;
let scene: OriginScene | undefined;

beforeEach(async () => {
  origin = await OriginServer.start();
  origin.answer = (response, { path }) => response.end(`of ${keyOf(path)}`);
});
afterEach(async () => {
  await scene?.close();
  scene = undefined;
  await origin.close();
});

/** Of a cache, a kind of its figures. */
async function figures(kind: string, cache: string): Promise<Readonly<Record<string, number>>> {
  const answer = (await scene?.api.get(`/v1/caches/${cache}`))?.json() as {
    figures: Readonly<Record<string, Readonly<Record<string, number>>>>;
  };
  return answer.figures[kind] ?? {};
}

const figure = async (kind: string, cache: string, name: string) => (await figures(kind, cache))[name] ?? 0;

const statusOf = async (cache: string, key: string) =>
  String((await scene?.get(cache, key))?.headers['cache-status']);

describe('lists', () => {
  test('bring what is on them into memory, from the origin or from disk, before it is asked for', async () => {
    const dataDir = makeDataDir();
    const before = await startServerProcess({ dataDir });
    const api = new ApiClient(before.port);
    const kept = keysFrom(20);
    await Promise.all(kept.map(key => api.put(entryPath('plans', key), 'kept')));
    api.close();
    await before.stop();

    const list = listOf('queries', ['{"query":"Ｃafé  NOIR"}', '{', ...keysFrom(40)]);
    origin.answer = (response, { path }) =>
      path === '/popular?token=1' ? response.end('first\nsecond') : response.end(`of ${keyOf(path)}`);
    scene = await OriginScene.start({
      ...{ origin, dataDir },
      env: { HEADRACE_WARM_RATE: '0' },
      caches: {
        results: { origin: {}, warm: { file: list } },
        popular: { origin: {}, warm: { url: `http://127.0.0.1:${origin.port}/popular?token=1` } },
        plans: { warm: { file: listOf('plans', kept) } },
        slow: { origin: {}, warm: { file: listOf('many', keysFrom(500)), rate: 1 } },
      },
    });
    const ready = `${scene.server.adminUrl}/readyz`;
    await eventually(
      async () => /^\{"status":"ready","lists":\{.*"slow":4\d\d/.test(await (await fetch(ready)).text()),
      'it is told how many keys are left',
    );
    await eventually(async () => (await figure('list', 'results', 'fetched')) === 41, 'the list is fetched');
    await eventually(async () => (await figure('list', 'plans', 'loaded')) === 20, 'the list is read');
    await eventually(async () => (await figure('list', 'popular', 'fetched')) === 2, 'the list is asked for');
    // Each lane tells of the line that is none.
    expect(await figures('list', 'results')).toMatchObject({ keys: 41, failed: 0, wrong: 2, left: 0 });
    for (const [cache, key] of [
      ['results', 'q10:café noir,'],
      ['results', 'key-39'],
      ['popular', 'second'],
      ['plans', 'key-19'],
    ] as const)
      expect([cache, await statusOf(cache, key)]).toEqual([
        cache,
        expect.stringMatching(/^headrace; hit; .*L1$/),
      ]);
    const { warm } = (await scene.api.get('/v1/caches/popular')).json() as { warm: unknown };
    expect(warm).toMatchObject({ url: expect.stringMatching(/\/popular\?…$/), every: '5m', rate: 100 });
    expect(JSON.stringify((await scene.api.get('/v1/caches')).json())).not.toContain(directory);
    expect(scene.server.log.map(({ msg }) => msg)).toContainEqual(
      expect.stringMatching(/^in the list of the cache results, lines are no keys: 1; line 2: /),
    );
  });

  test('are gone through again, and a cache that is switched off is left alone', async () => {
    const file = listOf('changing', ['a']);
    scene = await OriginScene.start({
      origin,
      caches: { results: { origin: {}, warm: { file, every: '1s' } } },
    });
    const { adminUrl } = scene.server;
    const turn = (enabled: boolean) =>
      fetch(`${adminUrl}/admin/caches/results`, { method: 'POST', body: JSON.stringify({ enabled }) });
    await eventually(async () => (await figure('list', 'results', 'fetched')) === 1, 'the list is fetched');
    await turn(false);
    rmSync(file);
    await turn(true);
    const logged = (text: RegExp) => scene?.server.log.some(({ msg }) => text.test(String(msg)));
    await eventually(() => logged(/^the cache results is not warmed: ENOENT/) === true, 'it is told');
    listOf('changing', ['a', 'b']);
    await eventually(async () => (await figure('list', 'results', 'fetched')) === 2, 'the list is read anew');
    expect([...scene.keysAsked].sort()).toEqual(['a', 'b']);
    expect(await statusOf('results', 'b')).toMatch(/^headrace; hit; /);
  });
});

test('entries in use are made anew before they are stale, and last the longer the longer they are the same', async () => {
  scene = await OriginScene.start({
    origin,
    caches: {
      results: { ttl: '2s', refreshAhead: '1s', origin: {} },
      plans: { ttl: '50ms', ttlMax: '1h', staleWhileRevalidate: '1h', origin: {} },
    },
  });
  await scene.get('results', 'idle');
  await eventually(async () => {
    await scene?.get('results', 'used');
    await scene?.get('plans', 'k');
    return (await figure('origin', 'results', 'ahead')) > 0;
  }, 'it is made anew ahead');
  await eventually(async () => / ttl=[1-9]/.test(await statusOf('plans', 'k')), 'it lasts longer');
  // 50 ms, doubled five times.
  expect(await figure('origin', 'plans', 'unchanged')).toBeGreaterThanOrEqual(5);
  expect(scene.keysAsked.filter(key => key === 'idle')).toEqual(['idle']);
});

test('what sessions ask for next is fetched before they do', async () => {
  const caches = { results: { ttl: '1h', prefetch: {}, origin: {} }, plans: { origin: {} } };
  scene = await OriginScene.start({ origin, caches });
  const { api } = scene;
  const read = (session: string, key: string) => scene?.get('results', key, { 'headrace-session': session });
  for (const session of ['s1', 's2']) for (const key of ['a', 'b']) await read(session, key);
  await scene.get('results', 'other');
  await api.delete(entryPath('results', 'b'));
  expect((await read('s3', 'a'))?.headers['cache-status']).toMatch(/^headrace; hit/);
  await eventually(() => scene?.keysAsked.filter(key => key === 'b').length === 2, 'it is fetched ahead');
  // Waits until it is there.
  await api.post('/v1/caches/results/entries:batchGet', { keys: ['b'] });
  expect((await read('s3', 'b'))?.headers['cache-status']).toMatch(/^headrace; hit; ttl=3/);
  expect(await figures('prefetch', 'results')).toEqual({
    ...{ isOn: true, keys: 2, prefetched: 1, used: 1, wasted: 0, late: 0, switchedOff: 0 },
  });
  expect(await figures('prefetch', 'plans')).toEqual({});
});
