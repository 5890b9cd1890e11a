/** `/v1/events` over HTTP: what the configuration says of an event is gone when it is answered, counted and logged. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { ApiClient, recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

const EVENTS = {
  'product.updated': [
    { cache: 'results', tags: ['product:{id}'] },
    { view: 'view-1', ids: ['{id}'] },
  ],
  'popularity.changed': [
    { cache: 'popular', prefix: 'popular:{category|encoded}:' },
    { cache: 'popular', prefix: 'popular:global:' },
  ],
  'weights.changed': [
    { cache: 'rankingConfig', ids: ['ranking:weights:{category}', 'ranking:config:global'] },
  ],
  'user.deleted': [{ cache: 'results', pattern: 'search:*:{user}:*' }],
  'view.lost': [{ view: 'nowhere', all: true }],
  'product.viewed': [],
};
const directory = mkdtempSync(join(tmpdir(), 'headrace-test-'));
const file = join(directory, 'config.json');
writeFileSync(file, JSON.stringify({ caches: { popular: { prefix: 'pop/' } }, events: EVENTS }));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const entryPath = (cache: string, key: string) => `/v1/caches/${cache}/entries/${encodeURIComponent(key)}`;

async function put(api: ApiClient, cache: string, key: string, tags = ''): Promise<void> {
  const { status } = await api.request(
    'PUT',
    entryPath(cache, key),
    key,
    tags === '' ? {} : { 'cache-tags': tags },
  );
  expect([key, status]).toEqual([key, 204]);
}

/** Of the keys, those that have an entry. */
async function held(api: ApiClient, cache: string, keys: readonly string[]): Promise<string[]> {
  const answer = await api.post(`/v1/caches/${cache}/entries:batchGet`, { keys });
  const { entries } = answer.json() as { entries: { key: string; status: string }[] };
  return entries.filter(({ status }) => status === 'PRESENT').map(({ key }) => key);
}

interface Figures {
  readonly figures: {
    readonly invalidations?: { readonly api: number; readonly events: Record<string, number> };
  };
}

onBothFronts(
  'events',
  subject => {
    const post = (body: unknown) => subject.api.post('/v1/events', body);
    const invalidations = async (path: string) =>
      ((await subject.api.get(path)).json() as Figures).figures?.invalidations;

    beforeAll(async () => {
      await subject.view({ n: 'int64' });
    });

    test('drop what the rules of their type say, and nothing else, and are counted and logged', async () => {
      const { api, server } = subject;
      for (const id of ['7', '77']) {
        await api.put(recordPath('view-1', id), { features: { n: 1 } });
        await put(api, 'results', `with ${id}`, `product:${id}, all`);
      }
      const answer = await post({ type: 'product.updated', id: 7, name: 'not looked at' });
      expect([answer.status, answer.headers['cache-status']]).toEqual([200, 'headrace; fwd=method']);
      expect(answer.json()).toEqual({
        events: 1,
        invalidated: [
          { event: 'product.updated', cache: 'results', tags: 1, invalidated: null },
          { event: 'product.updated', view: 'view-1', ids: 1, invalidated: 1 },
        ],
      });
      expect(await held(api, 'results', ['with 7', 'with 77'])).toEqual(['with 77']);
      const status = async (id: string) => (await api.get(recordPath('view-1', id))).headers['cache-status'];
      expect([await status('7'), await status('77')]).toEqual([
        'headrace; fwd=miss; detail=L3',
        expect.stringMatching(/^headrace; hit; /),
      ]);
      await api.post('/v1/caches/results/invalidate', { tags: ['none', 'of these'] });
      await api.post('/v1/views/view-1/invalidate', { prefix: 'none' });
      expect(await invalidations('/v1/caches/results')).toEqual({ api: 2, events: { 'product.updated': 1 } });
      expect(await invalidations('/v1/views/view-1')).toEqual({ api: 1, events: { 'product.updated': 1 } });
      const logged = () =>
        server.log.filter(({ msg }) => msg === 'invalidated').map(({ time, ...line }) => line);
      const line = { level: 30, msg: 'invalidated' };
      const cause = 'event product.updated';
      await eventually(() => logged().length === 4, 'all is logged');
      expect(logged()).toEqual(
        expect.arrayContaining([
          { ...line, cause, cache: 'results', tags: 1, first: 'product:7', invalidated: null },
          { ...line, cause, view: 'view-1', ids: 1, first: '7', invalidated: 1 },
          { ...line, cause: 'api', cache: 'results', tags: 2, first: 'none', invalidated: null },
          { ...line, cause: 'api', view: 'view-1', prefix: 1, first: 'none', invalidated: 0 },
        ]),
      );
    });

    test('take values as they are: none is a wildcard, or a longer key', async () => {
      const { api } = subject;
      const keys = [
        'popular:a:10',
        'popular:ab:10',
        'popular:a%3A*:10',
        'popular:a%3A%2A:10',
        'popular:global:10',
      ];
      for (const key of keys) await put(api, 'popular', key);
      await post({ type: 'popularity.changed', category: 'a:*' });
      expect(await held(api, 'popular', keys)).toEqual(keys.slice(0, 3));
      await post({ type: 'popularity.changed', category: ['ab', 'a'] });
      expect(await held(api, 'popular', keys)).toEqual(['popular:a%3A*:10']);
      const searches = ['search:q:u1:10', 'search:q:u11:10', 'search:q:u*:10'];
      for (const key of searches) await put(api, 'results', key);
      const refused = expectProblem(await post({ type: 'user.deleted', user: 'u*' }), 400, 'bad-event');
      expect(refused.errors).toEqual([
        { at: 'user', detail: 'has a *, which would be a wildcard in "search:*:{user}:*"' },
      ]);
      expect(await held(api, 'results', searches)).toEqual(searches);
      await post({ type: 'user.deleted', user: 'u1' });
      expect(await held(api, 'results', searches)).toEqual(searches.slice(1));
    });

    test('in one request are done together, or not at all', async () => {
      const { api } = subject;
      const keys = ['ranking:weights:a', 'ranking:weights:b', 'ranking:weights:c', 'ranking:config:global'];
      for (const key of keys) await put(api, 'rankingConfig', key);
      const changed = ['a', 'b', 'a'].map(category => ({ type: 'weights.changed', category }));
      const problem = expectProblem(await post([...changed, { type: 'weights.changed' }]), 400, 'bad-event');
      expect([problem.detail, placesOf(problem)]).toEqual([
        '[3].category is missing: "ranking:weights:{category}" needs it',
        ['[3].category'],
      ]);
      expectProblem(await post([...changed, { type: 'weights.lost' }]), 422, 'unknown-event');
      expect(await held(api, 'rankingConfig', keys)).toEqual(keys);
      const { events, invalidated } = (await post([...changed, { type: 'product.viewed' }])).json() as {
        events: number;
        invalidated: unknown;
      };
      expect([events, invalidated]).toEqual([
        4,
        [{ event: 'weights.changed', cache: 'rankingConfig', ids: 3, invalidated: 3 }],
      ]);
      expect(await held(api, 'rankingConfig', keys)).toEqual(['ranking:weights:c']);
    });

    test('void leases on what they invalidate, and count where a cache is switched off', async () => {
      const { api, server } = subject;
      const miss = await api.get(entryPath('rankingConfig', 'ranking:weights:leased'));
      const lease = String(miss.headers['headrace-lease']);
      expect(lease).toMatch(/./);
      await post({ type: 'weights.changed', category: 'leased' });
      const late = await api.request('PUT', entryPath('rankingConfig', 'ranking:weights:leased'), 'old', {
        'headrace-lease': lease,
      });
      expectProblem(late, 409, 'lease-lost');
      await put(api, 'rankingConfig', 'ranking:weights:off');
      const admin = new ApiClient(server.adminPort);
      const switched = (enabled: boolean) => admin.post('/admin/caches/rankingConfig', { enabled });
      expect((await switched(false)).status).toBe(200);
      expect((await post({ type: 'weights.changed', category: 'off' })).status).toBe(200);
      expect((await switched(true)).status).toBe(200);
      admin.close();
      expect(await held(api, 'rankingConfig', ['ranking:weights:off'])).toEqual([]);
    });

    test('that no rule can be for are told, and counted, as are the rules', async () => {
      const { api, server } = subject;
      const before = (await api.get('/v1/events')).json() as {
        figures: { unknown: number; refused: number };
      };
      const unknown = expectProblem(await post({ type: 'product.lost', id: 7 }), 422, 'unknown-event');
      expect(unknown.detail).toBe("type is 'product.lost', for which the configuration file has no rules");
      expectProblem(await post('{"type":"product.updated"'), 400, 'bad-json');
      expectProblem(await post('7'), 400, 'bad-event');
      expectProblem(await post(' '.repeat(2 ** 20 + 1)), 413, 'body-too-large');
      expect((await post({ type: 'view.lost' })).json()).toEqual({
        events: 1,
        invalidated: [{ event: 'view.lost', view: 'nowhere', all: 1, invalidated: 0 }],
      });
      await post({ type: 'view.lost' });
      const isTold = ({ msg }: { msg?: unknown }) => msg === 'an event is about a view that is not declared';
      await eventually(() => server.log.some(isTold), 'it is told');
      expect(server.log.filter(isTold).length).toBe(1);
      const shown = (await api.get('/v1/events')).json() as {
        events: { type: string; invalidates: unknown; taken: number }[];
        figures: unknown;
      };
      expect(Object.fromEntries(shown.events.map(({ type, invalidates }) => [type, invalidates]))).toEqual(
        EVENTS,
      );
      expect(shown.events.find(({ type }) => type === 'view.lost')?.taken).toBe(2);
      expect(shown.figures).toEqual({
        unknown: before.figures.unknown + 1,
        refused: before.figures.refused + 3,
        failed: 0,
      });
      expect((await api.head('/v1/events')).status).toBe(200);
      expectProblem(await api.post('/v1/events?x=1', { type: 'product.viewed' }), 400, 'bad-query');
      expect((await api.put('/v1/events', {})).headers['allow']).toBe('GET, HEAD, POST');
    });
  },
  { HEADRACE_CONFIG_FILE: file },
);

describeWithRedis('events of two servers on one Redis', () => {
  let redis: RedisServer;
  let servers: readonly ServerProcess[] = [];
  let apis: readonly ApiClient[] = [];

  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
    const env = { HEADRACE_REDIS_URL: redis.url, HEADRACE_REDIS_TIMEOUT: '2s', HEADRACE_CONFIG_FILE: file };
    servers = await Promise.all([startServerProcess({ env }), startServerProcess({ env })]);
    apis = servers.map(({ port }) => new ApiClient(port));
    const tellings = ({ log }: ServerProcess) =>
      log.filter(({ msg }) => msg === 'redis tells of changes').length;
    await eventually(() => servers.every(server => tellings(server) >= 2), 'both are told of changes');
  }, 60_000);

  afterAll(async () => {
    for (const api of apis) api.close();
    for (const server of servers) expect(await server.stop()).toEqual({ code: 0, signal: null });
    await redis.close();
  });

  test('that one takes have their effect on both', async () => {
    const [one, two] = apis as [ApiClient, ApiClient];
    const keys = ['with 1', 'with 2', 'ranking:weights:a', 'ranking:weights:b'];
    const caches = ['results', 'results', 'rankingConfig', 'rankingConfig'];
    const there = async (api: ApiClient) =>
      (await Promise.all(keys.map((key, at) => held(api, caches[at] as string, [key])))).flat();
    for (const [at, key] of keys.entries())
      await put(one, caches[at] as string, key, `product:${key.slice(-1)}`);
    await eventually(async () => (await there(two)).length === 4, 'the other has them');
    const answer = await one.post('/v1/events', [
      { type: 'product.updated', id: 1 },
      { type: 'weights.changed', category: 'a' },
    ]);
    expect(answer.status).toBe(200);
    const left = ['with 2', 'ranking:weights:b'];
    expect(await there(one)).toEqual(left);
    await eventually(async () => (await there(two)).join() === left.join(), 'they are gone from the other');
  });
});
