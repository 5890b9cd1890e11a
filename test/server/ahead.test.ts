/** What a server does ahead of those who ask: it warms caches by lists, and makes entries anew before they are stale. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/redis-server.js';
import { OriginServer } from '../tiers/origin-fixture.js';
import { ApiClient } from './api-client.js';
import { entryPath, keyOf, OriginScene, type SceneOptions } from './origin-scene.js';
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
let scene: OriginScene;

async function start(options: (originPort: number) => SceneOptions): Promise<void> {
  origin = await OriginServer.start();
  origin.answer = (response, { path }) =>
    response.end(path === '/popular?token=1' ? 'first\nsecond' : `of ${keyOf(path)}`);
  scene = await OriginScene.start({ ...options(origin.port), origin });
}

async function stop(): Promise<void> {
  await scene.close();
  await origin.close();
}

/** Of a cache, a kind of its figures. */
async function figures(kind: string, cache: string): Promise<Readonly<Record<string, number>>> {
  const answer = (await scene.api.get(`/v1/caches/${cache}`)).json() as {
    figures: Readonly<Record<string, Readonly<Record<string, number>>>>;
  };
  return answer.figures[kind] ?? {};
}

const figure = async (kind: string, cache: string, name: string) => (await figures(kind, cache))[name] ?? 0;

/** How many lines of the log say so. */
const logged = (text: RegExp) => scene.server.log.filter(({ msg }) => text.test(String(msg))).length;

const statusOf = async (cache: string, key: string) =>
  String((await scene.get(cache, key)).headers['cache-status']);

test('lists bring what is on them into memory, from the origin or from disk, before it is asked for', async () => {
  const dataDir = makeDataDir();
  const before = await startServerProcess({ dataDir });
  const api = new ApiClient(before.port);
  const kept = keysFrom(20);
  await Promise.all(kept.map(key => api.put(entryPath('plans', key), 'kept')));
  api.close();
  await before.stop();

  const list = listOf('queries', ['{"query":"Ｃafé  NOIR"}', '{', ...keysFrom(40)]);
  await start(port => ({
    ...{ dataDir, env: { HEADRACE_WARM_RATE: '0' } },
    caches: {
      results: { origin: {}, warm: { file: list } },
      popular: { origin: {}, warm: { url: `http://127.0.0.1:${port}/popular?token=1` } },
      plans: { warm: { file: listOf('plans', kept) } },
      slow: { origin: {}, warm: { file: listOf('many', keysFrom(500)), rate: 1 } },
    },
  }));
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
  const wrong = /^in the list of the cache results, lines are no keys: 1; line 2: /;
  await eventually(() => logged(wrong) === 2, 'it is told');
  await stop();
});

describe('a server', () => {
  const changing = listOf('changing', ['a']);

  beforeAll(() =>
    start(() => ({
      caches: {
        anomalies: { origin: {}, warm: { file: changing, every: '1s' } },
        predictions: { origin: {}, warm: { file: join(directory, 'none'), every: '1s' } },
        results: { ttl: '2s', refreshAhead: '1s', origin: {} },
        plans: { ttl: '50ms', ttlMax: '1h', staleWhileRevalidate: '1h', origin: {} },
        popular: { ttl: '1h', prefetch: {}, origin: {} },
      },
    })),
  );
  afterAll(stop);

  test('makes entries that are in use anew before they are stale', async () => {
    await scene.get('results', 'idle');
    await eventually(async () => {
      await scene.get('results', 'used');
      return (await figure('origin', 'results', 'ahead')) > 0;
    }, 'it is made anew ahead');
    expect(scene.keysAsked.filter(key => key === 'idle')).toEqual(['idle']);
  });

  test('keeps entries the longer the longer they are the same', async () => {
    await eventually(async () => / ttl=[1-9]/.test(await statusOf('plans', 'k')), 'it lasts longer');
    // 50 ms, doubled five times.
    expect(await figure('origin', 'plans', 'unchanged')).toBeGreaterThanOrEqual(5);
  });

  test('fetches what sessions ask for next before they do', async () => {
    const read = async (session: string, key: string) =>
      (await scene.get('popular', key, { 'headrace-session': session })).headers['cache-status'];
    for (const session of ['s1', 's2']) for (const key of ['one', 'two']) await read(session, key);
    await scene.get('popular', 'other');
    await scene.api.delete(entryPath('popular', 'two'));
    expect(await read('s3', 'one')).toMatch(/^headrace; hit/);
    await eventually(() => scene.keysAsked.filter(key => key === 'two').length === 2, 'it is fetched ahead');
    // Waits until it is there.
    await scene.api.post('/v1/caches/popular/entries:batchGet', { keys: ['two'] });
    expect(await read('s3', 'two')).toMatch(/^headrace; hit; ttl=3/);
    expect(await figures('prefetch', 'popular')).toEqual({
      ...{ isOn: true, keys: 2, prefetched: 1, used: 1, wasted: 0, late: 0, switchedOff: 0 },
    });
    expect(await figures('prefetch', 'plans')).toEqual({});
  });

  test('goes through its lists again, and leaves a cache alone that is switched off', async () => {
    const turn = (enabled: boolean) =>
      fetch(`${scene.server.adminUrl}/admin/caches/anomalies`, {
        method: 'POST',
        body: JSON.stringify({ enabled }),
      });
    const missed = (cache: string) => logged(new RegExp(`^the cache ${cache} is not warmed: ENOENT`));
    const pass = async (times: number) => {
      const began = missed('predictions');
      // Two lanes.
      await eventually(() => missed('predictions') >= began + 2 * times, 'some time passes');
    };
    await eventually(async () => (await figure('list', 'anomalies', 'fetched')) === 1, 'the list is fetched');
    await turn(false);
    rmSync(changing);
    // One may have looked before.
    await pass(1);
    const before = missed('anomalies');
    await pass(2);
    expect(missed('anomalies')).toBe(before);
    await turn(true);
    await eventually(() => missed('anomalies') > before, 'it is told');
    listOf('changing', ['a', 'b']);
    await eventually(
      async () => (await figure('list', 'anomalies', 'fetched')) === 2,
      'the list is read anew',
    );
    expect(await statusOf('anomalies', 'b')).toMatch(/^headrace; hit; /);
  });
});
