/** Many who ask for one key at once, also while it is stale; a batch endpoint; a restart. */
import { Agent, request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/redis-server.js';
import { OriginServer } from '../tiers/origin-fixture.js';
import { OriginScene, shown } from './origin-scene.js';
import { makeDataDir } from './server-process.js';

/** So many clients, each with a connection of its own, ask at once; `onSent` is called when all have. */
async function askAll(port: number, path: string, count: number, onSent: () => void): Promise<string[]> {
  const agent = new Agent({ maxSockets: count, keepAlive: false });
  let sent = 0;
  const answers = Array.from(
    { length: count },
    () =>
      new Promise<string>((resolve, reject) => {
        const asked = request({ host: '127.0.0.1', port, path, agent });
        asked.on('error', reject);
        asked.on('finish', () => {
          if (++sent === count) onSent();
        });
        asked.on('response', answer => {
          let text = `${answer.statusCode} `;
          answer.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          answer.on('end', () => resolve(text));
        });
        asked.end();
      }),
  );
  const texts = await Promise.all(answers);
  agent.destroy();
  return texts;
}

describe('a cold key', () => {
  test.each(['uws', 'node'])('is asked for once, though 1,000 clients want it, %s front', async front => {
    const scene = await OriginScene.start({
      caches: { results: { origin: {} } },
      env: { HEADRACE_FRONT: front },
    });
    let release = () => {};
    let isSent = false;
    scene.origin.answer = response => {
      release = () => response.end('value');
      if (isSent) release();
    };
    const answers = await askAll(scene.server.port, '/v1/caches/results/entries/cold', 1_000, () => {
      isSent = true;
      release();
    });
    expect(new Set(answers)).toEqual(new Set(['200 value']));
    expect(answers).toHaveLength(1_000);
    expect(scene.keysAsked).toEqual(['cold']);
    expect(await scene.figures('results')).toMatchObject({ calls: 1, failures: 0, bytes: 5 });
    await scene.close();
  });

  test('that fails fails for all who wait, after its retries, and is asked for anew then', async () => {
    const scene = await OriginScene.start({ caches: { results: { origin: { retries: 1 } } } });
    scene.origin.answer = response => response.writeHead(503).end();
    const answers = await askAll(scene.server.port, '/v1/caches/results/entries/cold', 50, () => {});
    expect(answers.every(text => text.startsWith('503 '))).toBe(true);
    const { length } = scene.keysAsked;
    expect(await scene.figures('results')).toMatchObject({ calls: length / 2, retries: length / 2 });
    scene.origin.answer = response => response.end('value');
    expect((await scene.get('results', 'cold')).text).toBe('value');
    await scene.close();
  });
});

describe('a stale entry', () => {
  test('is served at once, and made anew once in the background', async () => {
    const scene = await OriginScene.start({
      caches: { results: { ttl: '1ms', staleWhileRevalidate: '1h', origin: {} } },
    });
    scene.origin.answer = response => response.end('first');
    expect((await scene.get('results', 'k')).text).toBe('first');
    let release = () => {};
    scene.origin.answer = response => {
      release = () => response.setHeader('cache-control', 'max-age=60').end('second');
    };
    const stale = await askAll(scene.server.port, '/v1/caches/results/entries/k', 200, () => {});
    expect(new Set(stale)).toEqual(new Set(['200 first']));
    await eventually(() => scene.keysAsked.length === 2, 'the origin is asked');
    expect(shown(await scene.get('results', 'k'))).toEqual([
      200,
      'first',
      expect.stringMatching(/^headrace; hit; ttl=-[0-9]+; detail=L1$/),
    ]);
    release();
    await eventually(
      async () => (await scene.get('results', 'k')).text === 'second',
      'the new value is served',
    );
    expect((await scene.get('results', 'k')).headers['cache-status']).toMatch(/hit; ttl=[0-9]+/);
    expect(scene.keysAsked).toEqual(['k', 'k']);
    expect(await scene.figures('results')).toMatchObject({ calls: 2, refreshes: 1 });
    await scene.close();
  });

  test('goes on being served while the origin fails, and a batch makes it anew too', async () => {
    const scene = await OriginScene.start({
      caches: { results: { ttl: '1ms', staleWhileRevalidate: '1h', origin: { retries: 0 } } },
    });
    scene.origin.answer = response => response.setHeader('content-type', 'text/plain').end('first');
    await scene.get('results', 'k');
    scene.origin.answer = response => response.writeHead(500).end();
    const batch = async () => {
      const { entries } = (
        await scene.api.post('/v1/caches/results/entries:batchGet', { keys: ['k'] })
      ).json() as { entries: { text: string }[] };
      return entries[0]?.text;
    };
    expect(await batch()).toBe('first');
    await eventually(() => scene.keysAsked.length === 2, 'the origin is asked');
    expect((await scene.get('results', 'k')).text).toBe('first');
    scene.origin.answer = response => response.setHeader('cache-control', 'max-age=60').end('second');
    await eventually(async () => {
      await batch();
      return (await scene.get('results', 'k')).text === 'second';
    }, 'it is made anew when the origin is well');
    await scene.close();
  });
});

describe('a batch endpoint', () => {
  const batched = (port: () => number) => ({ batchUrl: `http://127.0.0.1:${port()}/batch` });
  const answerBatch = (scene: OriginScene) => {
    scene.origin.answer = (response, { body, path }) => {
      if (path !== '/batch') return response.end('single');
      const { keys } = JSON.parse(body) as { keys: string[] };
      const values = Object.fromEntries(keys.map(key => [key, key === 'none' ? null : [key.length, 0.5]]));
      return response.end(JSON.stringify({ values }));
    };
  };

  test('is asked for what comes together, in few questions, and each value is kept by itself', async () => {
    const origin = await OriginServer.start();
    const scene = await OriginScene.start({
      origin,
      caches: { embeddings: { origin: { ...batched(() => origin.port), batchWait: '20ms' } } },
    });
    answerBatch(scene);
    const keys = [...Array.from({ length: 150 }, (_, at) => `text ${at}`), 'none'];
    const batch = await scene.api.post('/v1/caches/embeddings/entries:batchGet', { keys });
    const { entries } = batch.json() as { entries: { status: string; text?: string }[] };
    expect(entries.map(({ text }) => text)).toEqual(
      keys.map(key => (key === 'none' ? undefined : `[${key.length},0.5]`)),
    );
    // Of two lanes, 100 keys each.
    expect(origin.asked.length).toBeLessThanOrEqual(4);
    expect(await scene.figures('embeddings')).toMatchObject({
      calls: 151,
      notFound: 1,
      batches: origin.asked.length,
    });
    const [one, other] = await Promise.all(['text 1', 'single'].map(key => scene.get('embeddings', key)));
    expect(one?.headers['cache-status']).toMatch(/hit/);
    expect([other?.text, other?.headers['content-type']]).toEqual(['[6,0.5]', 'application/json']);
    await scene.close();
    await origin.close();
  });

  test('beside an endpoint for one key is asked where several are wanted', async () => {
    const origin = await OriginServer.start();
    const url = `http://127.0.0.1:${origin.port}/v?k={key}`;
    const scene = await OriginScene.start({
      origin,
      caches: { embeddings: { origin: { url, ...batched(() => origin.port) } } },
      env: { HEADRACE_LANES: '1' },
    });
    answerBatch(scene);
    expect((await scene.get('embeddings', 'a')).text).toBe('single');
    await scene.api.post('/v1/caches/embeddings/entries:batchGet', { keys: ['b', 'c'] });
    expect((await scene.get('embeddings', 'b')).text).toBe('[1,0.5]');
    expect(origin.asked.map(({ path }) => path)).toEqual(['/v?k=a', '/batch']);
    await scene.close();
    await origin.close();
  });
});

test('what the origin has answered is there after a restart, its having none too', async () => {
  const dataDir = makeDataDir();
  const caches = { results: { negativeTtl: '1h', origin: {} } };
  const before = await OriginScene.start({ caches, dataDir });
  before.origin.answer = (response, { path }) =>
    path.endsWith('none') ? response.writeHead(404).end() : response.end('value');
  expect((await before.get('results', 'k')).text).toBe('value');
  expect((await before.get('results', 'none')).status).toBe(404);
  await before.server.kill();
  before.api.close();
  await before.origin.close();
  const after = await OriginScene.start({ caches, dataDir });
  expect((await after.get('results', 'k')).text).toBe('value');
  expect((await after.get('results', 'none')).status).toBe(404);
  expect(after.keysAsked).toEqual([]);
  await after.close();
});
