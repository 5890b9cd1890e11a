/** What one process wrote, the next one serves: views, records, versions, deletions, lifetimes. */
import { expect, test } from 'vitest';
import { ApiClient, recordPath } from './api-client.js';
import { expectProblem, untilAnswer, viewBody } from './both-fronts.js';
import { makeDataDir, type ServerProcess, startServerProcess } from './server-process.js';

const IDS = ['a', 'é/%\0😀', 'x'.repeat(512)];
const FEATURES = [
  ['10', 'float32'],
  ['2', 'string'],
  ['1', 'float32[2]'],
] as const;

async function start(front: string, dataDir: string): Promise<{ server: ServerProcess; api: ApiClient }> {
  // What is served comes from disk here, not from what was hot.
  const server = await startServerProcess({
    dataDir,
    env: { HEADRACE_FRONT: front, HEADRACE_WARM_RATE: '0' },
  });
  return { server, api: new ApiClient(server.port) };
}

test.each([
  ['uws', 'SIGTERM'],
  ['node', 'SIGKILL'],
] as const)('%s front: all that was acknowledged is there after %s and a start', async (front, signal) => {
  const dataDir = makeDataDir();
  const first = await start(front, dataDir);
  const options = { ttl: '7d', l1: { bytes: '1MiB', eviction: 'lfu' } };
  await first.api.put('/v1/views/docs', viewBody(FEATURES.slice(0, 2), options));
  await first.api.put(recordPath('docs', 'old'), '{"features":{"10":1},"version":1}');
  await first.api.put('/v1/views/docs', viewBody(FEATURES, options));
  await first.api.put('/v1/views/dropped', viewBody({ a: 'bool' }));
  await first.api.put(recordPath('dropped', 'a'), '{"features":{"a":true}}');
  for (const [n, id] of IDS.entries())
    await first.api.put(
      recordPath('docs', id),
      `{"features":{"10":${n},"2":"t","1":[1,2]},"version":${n + 5}}`,
    );
  const lines = Array.from({ length: 1000 }, (_, n) => `{"id":"n${n}","features":{"10":${n}}}`);
  expect((await first.api.load('docs', lines.join('\n'))).json()).toMatchObject({ applied: 1000 });
  await first.api.put(recordPath('docs', 'gone'), '{"features":{"10":1},"version":3}');
  await first.api.delete(recordPath('docs', 'gone'));
  await first.api.put(recordPath('docs', 'short'), '{"features":{"10":1},"ttl":"1s"}');
  await first.api.delete('/v1/views/dropped');
  const shown = (await first.api.get('/v1/views')).text;
  const unversioned = (await first.api.get(recordPath('docs', 'n1'))).json() as { version: number };
  first.api.close();
  const exit = await first.server.stop(signal);
  expect(exit).toEqual(signal === 'SIGTERM' ? { code: 0, signal: null } : { code: null, signal });

  const { api, server } = await start(front, dataDir);
  expect((await api.get('/v1/views')).text).toBe(shown);
  for (const [n, id] of IDS.entries()) {
    const answer = await api.get(recordPath('docs', id));
    expect(answer.headers['cache-status']).toBe('headrace; fwd=miss; detail=L3');
    expect(answer.text).toContain(`"version":${n + 5},"features":{"10":${n},"2":"t","1":[1,2]}}`);
    const again = await api.get(recordPath('docs', id));
    expect(again.headers['cache-status']).toContain('headrace; hit; ttl=6');
  }
  expect((await api.get(recordPath('docs', 'old'))).text).toContain('"features":{"10":1,"2":null,"1":null}');
  const looked = await api.post('/v1/views/docs/lookup', {
    ids: lines.map((_, n) => `n${n}`),
    features: ['10'],
  });
  expect(looked.json()).toMatchObject({ columns: [lines.map((_, n) => n)] });
  // Versions and deletions are as they were: what was older is older still.
  expectProblem(await api.get(recordPath('docs', 'gone')), 404, 'record-not-found');
  const stale = await api.put(recordPath('docs', 'gone'), '{"features":{"10":2},"version":4}');
  expect(stale.json()).toMatchObject({ applied: false });
  const equal = await api.put(recordPath('docs', 'a'), '{"features":{"10":9},"version":5}');
  expect(equal.json()).toEqual({ id: 'a', version: 5, applied: false });
  const newer = (await api.put(recordPath('docs', 'n1'), '{"features":{"10":7}}')).json() as {
    version: number;
  };
  expect(newer).toMatchObject({ applied: true });
  expect(newer.version).toBeGreaterThan(unversioned.version);
  await untilAnswer(
    () => api.get(recordPath('docs', 'short')),
    ({ status }) => status === 404,
  );
  // A view of a dropped one's name has none of its records.
  expectProblem(await api.get(recordPath('dropped', 'a')), 404, 'view-not-found');
  expect((await api.put('/v1/views/dropped', viewBody({ a: 'bool' }))).status).toBe(201);
  expectProblem(await api.get(recordPath('dropped', 'a')), 404, 'record-not-found');
  api.close();
  expect(await server.stop()).toEqual({ code: 0, signal: null });
});
