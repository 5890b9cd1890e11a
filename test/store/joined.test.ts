/** One store, several threads: shared memory is read by each itself, everything else goes through the one that opened it. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { HeadraceError, open, type Store } from '../../src/index.js';
import { makeDataDir } from '../server/server-process.js';
import { eventually } from '../support/redis-server.js';
import type { Order } from './joined-thread.js';
import { DOCS } from './joined-views.js';

const EVENTS = {
  'tag.changed': [
    { cache: 'results', tags: ['{tag}'] },
    { view: 'docs', ids: ['{id}'] },
  ],
};
let store: Store;
const threads: JoinedThread[] = [];

beforeAll(async () => {
  const dataDir = makeDataDir();
  const configFile = join(dataDir, 'config.json');
  writeFileSync(configFile, JSON.stringify({ events: EVENTS }));
  store = await open({ dataDir, configFile, l1Bytes: '16MiB', lanes: 2, deadline: '30s' });
  await store.view('docs', DOCS).declare();
});
afterEach(async () => {
  for (const thread of threads.splice(0)) await thread.worker.terminate();
});
afterAll(() => store.close());

class JoinedThread {
  readonly worker: Worker;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: string }) => void>();
  #number = 0;

  constructor(of: Store) {
    const handle = of.handle();
    this.worker = new Worker(new URL('./joined-thread.js', import.meta.url), {
      workerData: { handle },
      transferList: [handle.port],
    });
    threads.push(this);
  }

  async begin(): Promise<this> {
    await once(this.worker, 'message');
    this.worker.on('message', ({ number, ...answer }) => this.#waiting.get(number)?.(answer));
    return this;
  }

  /** What it answered; an error's code begins with `!`. */
  do(order: Order): Promise<unknown> {
    const number = ++this.#number;
    const answer = new Promise(resolve => {
      this.#waiting.set(number, ({ result, error }) => resolve(error === undefined ? result : `!${error}`));
    });
    this.worker.postMessage({ number, order });
    return answer;
  }
}

it('a thread reads what another wrote at once, and the other way round', async () => {
  const [one, two] = await Promise.all([new JoinedThread(store).begin(), new JoinedThread(store).begin()]);
  const docs = store.view('docs', DOCS);
  await docs.put('a', { title: 'of the owner' });
  expect(await one.do({ kind: 'read', id: 'a', isSync: true })).toBe('of the owner');
  expect(await two.do({ kind: 'write', id: 'a', text: 'of a thread' })).toBe(true);
  expect(docs.getSync('a')?.features.title).toBe('of a thread');
  expect(await one.do({ kind: 'read', id: 'a', isSync: true })).toBe('of a thread');
  expect(await one.do({ kind: 'read', id: 'none', isSync: false })).toBeUndefined();
  await docs.invalidate({ ids: ['a'] });
  expect(await one.do({ kind: 'read', id: 'a', isSync: true })).toBeUndefined();
  expect(await one.do({ kind: 'read', id: 'a', isSync: false })).toBe('of a thread');
  expect(await two.do({ kind: 'read', id: 'a', isSync: true })).toBe('of a thread');
  await one.do({ kind: 'delete', id: 'a', text: '' });
  expect(await docs.get('a')).toBeUndefined();
  expect(await one.do({ kind: 'write', id: '', text: '' })).toBe('!bad-id');
});

it('threads load and look up many at once', async () => {
  const joined = await Promise.all([0, 1, 2].map(() => new JoinedThread(store).begin()));
  const loaded = await Promise.all(
    joined.map((thread, n) => thread.do({ kind: 'load', from: n * 2_000, count: 2_000 })),
  );
  expect(loaded).toEqual([2_000, 2_000, 2_000]);
  const all: Order = { kind: 'many', count: 6_000 };
  expect(await Promise.all(joined.map(thread => thread.do(all)))).toEqual([6_000, 6_000, 6_000]);
  await store.view('docs', DOCS).invalidate({ all: true });
  expect(await Promise.all(joined.map(thread => thread.do(all)))).toEqual([6_000, 6_000, 6_000]);
});

it('threads share named caches, also when one is emptied', async () => {
  const thread = await new JoinedThread(store).begin();
  const results = store.cache('results');
  expect(await thread.do({ kind: 'write-entry', id: 'k', text: 'value' })).toBe('stored');
  expect(results.getSync('k')?.text()).toBe('value');
  expect(await thread.do({ kind: 'invalidate', what: { all: true } })).toBeGreaterThanOrEqual(1);
  expect(await results.get('k')).toBeUndefined();
  await results.put('k', 'again');
  expect(await thread.do({ kind: 'read-entry', key: 'k', isSync: true })).toBe('again');
});

it('what is invalidated of a cache in one thread is gone at once in each', async () => {
  const [one, two] = await Promise.all([new JoinedThread(store).begin(), new JoinedThread(store).begin()]);
  const results = store.cache('results');
  const old = Array.from({ length: 500 }, (_, n) => `old${n}`);
  const kept = Array.from({ length: 500 }, (_, n) => `kept${n}`);
  const all: Order = { kind: 'there', keys: [...old, ...kept] };
  await two.do({ kind: 'write-tagged', keys: kept, tag: 'kept' });
  const inEach = async (invalidate: () => Promise<unknown>) => {
    await one.do({ kind: 'write-tagged', keys: old, tag: 'old' });
    for (const thread of [one, two])
      expect(await thread.do(all)).toEqual({ inMemory: all.keys, asked: all.keys });
    expect(await invalidate()).toBeNull();
    // Not yet erased: of what memory has, each thread must know what it may not show.
    expect(old.filter(key => results.getSync(key) !== undefined)).toEqual([]);
    for (const thread of [two, one]) expect(await thread.do(all)).toEqual({ inMemory: kept, asked: kept });
  };
  await inEach(() => one.do({ kind: 'invalidate', what: { tags: ['old'] } }));
  await inEach(() => results.invalidate({ tags: ['old'] }));
  await inEach(() => two.do({ kind: 'invalidate', what: { prefix: 'old' } }));
  await inEach(() => two.do({ kind: 'invalidate', what: { pattern: 'o*d*' } }));
  const event = { type: 'tag.changed', tag: 'old', id: ['in memory', 'not'] };
  const docs = store.view('docs', DOCS);
  await docs.put('in memory', { title: '' });
  await inEach(async () => {
    const outcomes = await one.do({ kind: 'event', event });
    expect(outcomes).toEqual([
      { event: 'tag.changed', cache: 'results', tags: 1, invalidated: null },
      { event: 'tag.changed', view: 'docs', ids: 2, invalidated: 1 },
    ]);
    return null;
  });
  expect(docs.getSync('in memory')).toBeUndefined();
  await inEach(async () => (await store.event({ ...event, id: [] }))[0]?.invalidated);
  expect(await one.do({ kind: 'event', event: { type: 'tag.lost' } })).toBe('!unknown-event');
  expect(await one.do({ kind: 'event', event: { type: 'tag.changed' } })).toBe('!bad-event');
  await two.do({ kind: 'write-tagged', keys: ['old0'], tag: 'old' });
  expect(await one.do({ kind: 'there', keys: ['old0', 'old1'] })).toEqual({
    inMemory: ['old0'],
    asked: ['old0'],
  });
});

it('views are known in each thread when they are declared or dropped in any', async () => {
  const [one, two] = await Promise.all([new JoinedThread(store).begin(), new JoinedThread(store).begin()]);
  expect(await one.do({ kind: 'declare-other' })).toEqual({ schema: 1 });
  expect(await one.do({ kind: 'views' })).toEqual(['docs', 'others']);
  expect(store.views().map(({ view }) => view)).toEqual(['docs', 'others']);
  await eventually(
    async () => String(await two.do({ kind: 'views' })) === 'docs,others',
    'the other knows it',
  );
  expect(await two.do({ kind: 'drop' })).toBeUndefined();
  // Gone is gone: nobody reads it any more when the drop is answered.
  expect(await one.do({ kind: 'views' })).toEqual(['docs']);
  expect(await two.do({ kind: 'drop' })).toBe('!view-not-found');
});

it('a record is never read as one of the view that has its place next', async () => {
  const thread = await new JoinedThread(store).begin();
  const until = new SharedArrayBuffer(4);
  const raced = thread.do({ kind: 'race', until });
  for (let round = 0; round < 60; round++) {
    const name = `race${round}`;
    const view = store.view(name, { entity: 'doc', features: { [name]: 'string' } });
    await view.declare();
    await view.put('a', { [name]: name });
    await view.drop();
  }
  Atomics.store(new Int32Array(until), 0, 1);
  const { reads, wrong } = (await raced) as { reads: number; wrong: readonly unknown[] };
  expect(wrong).toEqual([]);
  expect(reads).toBeGreaterThan(0);
});

it('a thread that computes keeps a view from going, and then it goes', async () => {
  const thread = await new JoinedThread(store).begin();
  const view = store.view('held', DOCS);
  await view.declare();
  const blocked = thread.do({ kind: 'block', ms: 6_500 });
  const error: unknown = await view.drop().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(HeadraceError);
  expect((error as HeadraceError).code).toBe('unavailable');
  expect(await blocked).toBe('blocked');
  expect(store.views().map(({ view: name }) => name)).toEqual(['docs']);
  await view.declare();
  await view.drop();
});

it('a thread that computes keeps an invalidation from being acknowledged, and hides what it means when it reads', async () => {
  const thread = await new JoinedThread(store).begin();
  const results = store.cache('results');
  await results.put('held', 'value', { tags: ['held'] });
  const blocked = thread.do({ kind: 'block', ms: 6_500 });
  const error: unknown = await results.invalidate({ tags: ['held'] }).catch((reason: unknown) => reason);
  expect((error as HeadraceError).code).toBe('unavailable');
  expect(results.getSync('held')).toBeUndefined();
  expect(await blocked).toBe('blocked');
  expect(await results.invalidate({ tags: ['held'] })).toBeNull();
  expect(await thread.do({ kind: 'there', keys: ['held'] })).toEqual({ inMemory: [], asked: [] });
});

it('places are free again when threads have left or died, and there are so many', async () => {
  const leaving = await new JoinedThread(store).begin();
  expect(await leaving.do({ kind: 'handle' })).toBe('!bad-request');
  await leaving.do({ kind: 'close' });
  expect(await leaving.do({ kind: 'read', id: 'a', isSync: true })).toBe('!draining');
  expect(await leaving.do({ kind: 'read', id: 'a', isSync: false })).toBe('!draining');
  const died = await new JoinedThread(store).begin();
  await died.worker.terminate();
  const handles = await allPlaces();
  expect(() => store.handle()).toThrow(HeadraceError);
  for (const { port } of handles) port.close();
  await eventually(() => store.handle().port.close() === undefined, 'there is a place again');
});

/** All places, once those of the threads before are free. */
async function allPlaces(): Promise<ReturnType<Store['handle']>[]> {
  const handles: ReturnType<Store['handle']>[] = [];
  await eventually(() => handles.push(store.handle()) === 32, 'there are 32 places');
  return handles;
}

it('a thread is told when the store is closed under it', async () => {
  const other = await open({ dataDir: makeDataDir(), l1Bytes: '16MiB', lanes: 1 });
  await other.view('docs', DOCS).declare();
  const thread = await new JoinedThread(other).begin();
  await other.close();
  await eventually(
    async () => (await thread.do({ kind: 'read', id: 'a', isSync: true })) === '!draining',
    'it knows',
  );
  expect(await thread.do({ kind: 'write', id: 'a', text: '' })).toBe('!draining');
});
