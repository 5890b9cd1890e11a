/** An origin that is slow, fails, or is away: what is served then, and how long it is asked for. */
import { afterEach, describe, expect, test } from 'vitest';
import { headrace } from '../cli/command-line.js';
import { findingsOf, linesOf } from '../cli/doctor-findings.js';
import { eventually } from '../support/redis-server.js';
import { reset } from '../tiers/origin-fixture.js';
import { expectProblem } from './both-fronts.js';
import { ALLOWED, cachesFile, keyOf, OriginScene, type SceneOptions, shown } from './origin-scene.js';

/** Of what is old at once: for when the origin fails alone. */
const OLD = { ttl: '1ms', staleWhileRevalidate: '0ms' };
const STALE = 'headrace; fwd=stale; detail=stale-if-error';

let scene: OriginScene;
const start = async (caches: SceneOptions['caches'], env: SceneOptions['env'] = {}) => {
  scene = await OriginScene.start({ caches, env });
  scene.origin.answer = (response, { path }) => response.end(`for ${keyOf(path)}`);
};
afterEach(() => scene.close());

describe('an origin that fails', () => {
  test('has the old value served as long as that is allowed, and no longer', async () => {
    await start({
      results: { ...OLD, staleIfError: '1h', origin: { retries: 0 } },
      plans: { ...OLD, origin: { retries: 0 } },
    });
    scene.origin.answer = response => response.setHeader('cache-control', 'stale-if-error=1').end('old');
    for (const cache of ['results', 'plans']) expect((await scene.get(cache, 'k')).text).toBe('old');
    scene.origin.answer = response => response.setHeader('cache-control', 'stale-if-error=3600').end('old');
    expect((await scene.get('results', 'k')).text).toBe('old');
    for (const fail of [500, 502, 404_000] as const) {
      scene.origin.answer = response => (fail === 404_000 ? reset(response) : response.writeHead(fail).end());
      expect(shown(await scene.get('results', 'k'))).toEqual([200, 'old', STALE]);
    }
    await eventually(async () => (await scene.get('plans', 'k')).status === 503, 'its time is over');
    expect((await scene.get('plans', 'k')).status).toBe(503);
    expect(await scene.figures('results')).toMatchObject({ staleServed: 3 });
    // A client that asks for a batch is told the same.
    const batch = await scene.api.post('/v1/caches/results/entries:batchGet', { keys: ['k', 'other'] });
    expect(batch.json()).toMatchObject({ entries: [{ status: 'PRESENT' }, { status: 'UNAVAILABLE' }] });
  });

  test('makes an answer that says which part failed', async () => {
    await start({
      results: { origin: { retries: 0, timeout: '100ms' } },
      away: { origin: { retries: 0, url: 'http://127.0.0.1:1/{key}' } },
    });
    scene.origin.answer = response => response.writeHead(500).end();
    const failing = await scene.get('results', 'a');
    expectProblem(failing, 503, 'unavailable');
    expect(failing.headers).toMatchObject({
      'cache-status': 'headrace; fwd=miss; detail=unavailable',
      'retry-after': '1',
    });
    scene.origin.answer = () => undefined;
    expectProblem(await scene.get('results', 'b'), 503, 'unavailable');
    expectProblem(await scene.get('away', 'c'), 503, 'unavailable');
    expectProblem(await scene.get('away', '..'), 422, 'invalid-key');
    expect(await scene.figures('results')).toMatchObject({ calls: 2, failures: 2 });
    expect(await scene.figures('away')).toMatchObject({ calls: 2, failures: 1, rejected: 1 });
  });

  test('is asked again after a pause, as often as it may be', async () => {
    await start({ results: { origin: {} } });
    let times = 0;
    scene.origin.answer = response => (++times < 4 ? response.writeHead(503).end() : response.end('at last'));
    expect((await scene.get('results', 'k')).text).toBe('at last');
    expect(await scene.figures('results')).toMatchObject({ calls: 1, retries: 3, failures: 0 });
  });
});

describe('an origin that is slow', () => {
  test('is not waited for beyond the deadline; what comes later is kept', async () => {
    await start({ results: { origin: {} } }, { HEADRACE_DEADLINE: '200ms' });
    let release = () => {};
    scene.origin.answer = response => {
      release = () => response.end('late');
    };
    expectProblem(await scene.get('results', 'k'), 504, 'deadline');
    release();
    const kept = async () => (await scene.get('results', 'k')).text === 'late';
    await eventually(kept, 'what came late is served');
    expect(scene.keysAsked).toEqual(['k']);
  });

  test('is waited for half of the deadline where there is an old value', async () => {
    await start({ results: { ...OLD, staleIfError: '1h', origin: {} } }, { HEADRACE_DEADLINE: '2s' });
    await scene.get('results', 'k');
    let release = () => {};
    scene.origin.answer = response => {
      release = () => response.setHeader('cache-control', 'max-age=60').end('new');
    };
    const began = performance.now();
    expect(shown(await scene.get('results', 'k'))).toEqual([200, 'for k', STALE]);
    expect(performance.now() - began).toBeGreaterThan(900);
    release();
    await eventually(async () => (await scene.get('results', 'k')).text === 'new', 'what came late is kept');
    expect(scene.keysAsked).toEqual(['k', 'k']);
  });

  test('does not hold up a shutdown, nor what is in memory', async () => {
    await start({ results: { origin: {} } }, { HEADRACE_SHUTDOWN_TIMEOUT: '300ms' });
    await scene.get('results', 'held');
    scene.origin.answer = () => undefined;
    const waiting = Array.from({ length: 8 }, (_, at) =>
      scene.get('results', `k${at}`).catch(() => undefined),
    );
    await eventually(() => scene.keysAsked.length === 9, 'the origin is asked');
    expect((await scene.get('results', 'held')).text).toBe('for held');
    const began = performance.now();
    await scene.server.stop();
    expect(performance.now() - began).toBeLessThan(5_000);
    await Promise.all(waiting);
  });
});

test('a lane that dies while it asks is replaced by one that asks again', async () => {
  scene = await OriginScene.start({
    caches: { results: { origin: {} } },
    env: { HEADRACE_LANES: '1' },
    nodeArgs: ['--import', new URL('lane-killer.js', import.meta.url).href],
  });
  scene.origin.answer = () => undefined;
  const waiting = [scene.get('results', 'k'), scene.get('results', 'k')];
  await eventually(() => scene.keysAsked.length === 1, 'the origin is asked');
  scene.origin.answer = response => response.end('value');
  scene.server.signal('SIGUSR2');
  expect((await Promise.all(waiting)).map(({ text }) => text)).toEqual(['value', 'value']);
  expect(scene.keysAsked).toEqual(['k', 'k']);
});

describe('the circuit breaker of an origin', () => {
  const breaker = async () => (await scene.figures('results'))['breaker'];

  test('opens for all lanes after so many failures, serves what is old at once, and closes again', async () => {
    await start(
      { results: { ...OLD, staleIfError: '1h', origin: { retries: 0 } } },
      { HEADRACE_BREAKER_FAILURES: '3', HEADRACE_BREAKER_HALF_OPEN: '1s' },
    );
    for (let key = 0; key < 8; key++) await scene.get('results', `old ${key}`);
    scene.origin.answer = response => response.writeHead(500).end();
    for (let key = 0; key < 3; key++) await scene.get('results', `old ${key}`);
    expect(await breaker()).toBe('open');
    scene.origin.asked.length = 0;
    for (let key = 0; key < 8; key++)
      expect(shown(await scene.get('results', `old ${key}`))).toEqual([200, `for old ${key}`, STALE]);
    const unknown = await scene.get('results', 'unknown');
    expectProblem(unknown, 503, 'unavailable');
    expect(unknown.text).toContain('breaker is open');
    // The one call that an open breaker lets through may have been among them.
    expect(scene.origin.asked.length).toBeLessThanOrEqual(1);
    scene.origin.answer = response => response.setHeader('cache-control', 'max-age=60').end('well');
    await eventually(async () => (await scene.get('results', 'unknown')).text === 'well', 'it closes');
    expect(await breaker()).toBe('closed');
    expect(Number((await scene.figures('results'))['refused'])).toBeGreaterThanOrEqual(8);
    const told = scene.server.log.filter(({ msg }) =>
      /circuit breaker of the origin of the cache results/.test(String(msg)),
    );
    expect(told.length).toBeGreaterThanOrEqual(2);
  });

  test('is not opened by answers that are of no use, and a batch that fails counts once', async () => {
    await start(
      {
        results: { origin: { retries: 0 } },
        embeddings: { origin: { retries: 0, batchUrl: 'http://127.0.0.1:1/b' } },
      },
      { HEADRACE_BREAKER_FAILURES: '2', HEADRACE_BREAKER_HALF_OPEN: '1m', HEADRACE_LANES: '1' },
    );
    scene.origin.answer = response => response.writeHead(403).end();
    for (let key = 0; key < 5; key++) expect((await scene.get('results', `k${key}`)).status).toBe(502);
    expect(await breaker()).toBe('closed');
    const keys = Array.from({ length: 20 }, (_, at) => `k${at}`);
    const ask = () => scene.api.post('/v1/caches/embeddings/entries:batchGet', { keys });
    await ask();
    expect(await scene.figures('embeddings')).toMatchObject({ failures: 20, breaker: 'closed' });
    await ask();
    expect(await scene.figures('embeddings')).toMatchObject({ failures: 40, breaker: 'open' });
  });
});

test('an origin at an address that is not allowed keeps the server from starting, and doctor says where', async () => {
  await start({ results: { origin: {} } });
  const url = `http://127.0.0.1:${scene.origin.port}/{key}`;
  const refused = {
    results: { origin: { url, allowHosts: ['127.0.0.1'] } },
    plans: { origin: { ...ALLOWED, url: 'http://other/{key}' } },
  };
  const { code, error } = await headrace(['serve'], { HEADRACE_CONFIG_FILE: cachesFile(refused) });
  expect(code).not.toBe(0);
  expect(error).toContain(
    'caches.results.origin.url names the address 127.0.0.1, which is neither public nor allowed',
  );
  expect(error).toContain('caches.plans.origin.url names the host other, which is not on the allowlist');
  const away = { ...ALLOWED, url: 'http://127.0.0.1:1/{key}' };
  const configFile = cachesFile({ results: { origin: { ...ALLOWED, url } }, plans: { origin: away } });
  expect(linesOf(await findingsOf({ configFile }), 'origins')).toEqual([
    `ok results: http://127.0.0.1:${scene.origin.port} answers`,
    expect.stringMatching(/^warning plans: the origin 127\.0\.0\.1:1 did not answer: /),
  ]);
  const { out } = await headrace(['config'], { HEADRACE_CONFIG_FILE: configFile });
  expect(out).toContain(
    `"origin":{"url":"${url}","allowHosts":["127.0.0.1"],"allowPrivate":["127.0.0.1"],"timeout":"5s"`,
  );
});
