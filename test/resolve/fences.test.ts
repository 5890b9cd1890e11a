/** Invalidations by fences, against a model: nothing that was acknowledged before shows up again, nothing after is lost. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { matchesPattern } from '../../src/base/pattern.js';
import { RecordInspector } from '../../src/resolve/record-inspector.js';
import { FENCE_LIMITS, type Selector } from '../../src/views/fence.js';
import { FULL, FULL_TIMEOUT, SEED } from '../base/seeded.js';
import { SharedCatalog } from '../views/shared-catalog.js';
import { FencedServer, TestStore, TIMES } from './fenced-servers.js';

const RUNS = FULL ? 3_000 : 200;
const IDS = ['a:1', 'a:2', 'b:1', 'b:2'];
/** Half an hour, of the hour that an entry has: clocks are of no account. */
const AHEAD_MS = 1_800_000;

const SELECTOR: fc.Arbitrary<Selector> = fc.constantFrom<Selector>(
  { kind: 'prefix', prefix: 'a' },
  { kind: 'prefix', prefix: 'b:1' },
  { kind: 'pattern', pattern: '*:2' },
  { kind: 'tags', tags: ['x'] },
  { kind: 'tags', tags: ['y', 'none'] },
  { kind: 'all' },
);
const TAGS = fc.constantFrom<readonly string[]>([], ['x'], ['y'], ['x', 'y']);
const SERVER = fc.nat(1);

const STEP = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      server: SERVER,
      id: fc.constantFrom(...IDS),
      tags: TAGS,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('remove' as const),
      server: SERVER,
      id: fc.constantFrom(...IDS),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('invalidate' as const), server: SERVER, selector: SELECTOR }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('read' as const), server: SERVER, id: fc.constantFrom(...IDS) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('hear' as const), server: SERVER }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('step' as const), server: SERVER }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), server: SERVER }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass' as const), server: SERVER }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), server: SERVER }) },
);
type Step = typeof STEP extends fc.Arbitrary<infer T> ? T : never;

interface Put {
  readonly id: string;
  readonly tags: readonly string[];
  /** Place in the order of all that was acknowledged. */
  readonly at: number;
  /** Invalidations that its server knew of. */
  readonly knew: ReadonlySet<number>;
}

function isMeant({ id, tags }: Pick<Put, 'id' | 'tags'>, selector: Selector): boolean {
  if (selector.kind === 'all') return true;
  if (selector.kind === 'prefix') return id.startsWith(selector.prefix);
  if (selector.kind === 'pattern') return matchesPattern(selector.pattern, id);
  return tags.some(tag => selector.tags.includes(tag));
}

/** What two servers have acknowledged, and what each may and must show of it. */
class Model {
  readonly puts: Put[] = [];
  readonly invalidations: { readonly selector: Selector; readonly at: number }[] = [];
  /** By id: the last put, or the place of the last deletion. */
  readonly last = new Map<string, Put | number>();
  /** By server: invalidations it knows of; keys whose changes it has not heard of. */
  readonly known = [new Set<number>(), new Set<number>()];
  readonly unheard = [new Set<string>(), new Set<string>()];
  #at = 0;

  put(server: number, id: string, tags: readonly string[]): number {
    const put = { id, tags, at: ++this.#at, knew: new Set(this.known[server]) };
    this.last.set(id, put);
    this.unheard[1 - server]?.add(id);
    return this.puts.push(put) - 1;
  }

  remove(server: number, id: string): void {
    this.last.set(id, ++this.#at);
    this.unheard[1 - server]?.add(id);
  }

  invalidate(server: number, selector: Selector): void {
    // Made upon what stands in the catalog: whatever was made before is known now.
    this.invalidations.push({ selector, at: ++this.#at });
    this.hearOfFences(server);
  }

  hearOfFences(server: number): void {
    for (const number of this.invalidations.keys()) this.known[server]?.add(number);
  }

  /** What the server has shown. */
  check(server: number, id: string, shown: number | undefined): void {
    const last = this.last.get(id);
    const isCurrent = this.unheard[server]?.has(id) === false;
    if (shown !== undefined) {
      const put = this.puts[shown] as Put;
      expect(put.id).toBe(id);
      if (isCurrent) expect(put).toBe(last);
      for (const number of this.known[server] ?? []) {
        const { selector, at } = this.invalidations[number] as Model['invalidations'][number];
        expect(put.at < at && isMeant(put, selector), `put ${shown} is shown after ${selector.kind}`).toBe(
          false,
        );
      }
    } else if (isCurrent && typeof last === 'object') {
      // Somebody who had not heard of it yet may have lost it.
      const isExcused = this.invalidations.some(
        ({ selector }, number) => isMeant(last, selector) && !last.knew.has(number),
      );
      expect(isExcused, `put ${this.puts.indexOf(last)} of ${id} is lost`).toBe(true);
    }
  }
}

async function run(steps: readonly Step[]): Promise<void> {
  const catalog = new SharedCatalog();
  const store = new TestStore();
  const model = new Model();
  const servers = [
    await new FencedServer(catalog, store, 0).open(),
    await new FencedServer(catalog, store, AHEAD_MS).open(),
  ] as const;
  const hear = async (number: 0 | 1) => {
    await servers[number].hear(IDS);
    model.unheard[number]?.clear();
    model.hearOfFences(number);
  };
  for (const step of steps) {
    const number = step.server === 0 ? 0 : 1;
    const server = servers[number];
    if (step.kind === 'put') await server.put(step.id, model.put(number, step.id, step.tags), step.tags);
    else if (step.kind === 'remove') {
      await server.remove(step.id);
      model.remove(number, step.id);
    } else if (step.kind === 'invalidate') {
      await server.invalidate(step.selector);
      model.invalidate(number, step.selector);
    } else if (step.kind === 'read') model.check(number, step.id, await server.read(step.id));
    else if (step.kind === 'hear') await hear(number);
    else if (step.kind === 'step') await server.step();
    else if (step.kind === 'die') await server.die();
    else if (step.kind === 'pass') await server.pass(TIMES.foreignMs / 3);
    else if (server.isWalking) store.failures = 1;
    if (step.kind !== 'invalidate' && step.kind !== 'put') continue;
    for (const id of IDS) model.check(number, id, await server.read(id));
  }
  store.failures = 0;
  await finish(servers, hear);
  for (const number of [0, 1] as const)
    for (const id of IDS) model.check(number, id, await servers[number].read(id));
  expect(catalog.views.get('@c')?.fences ?? []).toEqual([]);
}

/** All have heard of all, every walk is at its end, and every fence is retired. */
async function finish(
  servers: readonly FencedServer[],
  hear: (number: 0 | 1) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < 4; round++) {
    for (const number of [0, 1] as const) await hear(number);
    for (const server of servers) {
      await server.pass(TIMES.foreignMs);
      await server.settle();
    }
  }
  for (const number of [0, 1] as const) await hear(number);
}

it(
  'hide what was there, on every server that has heard of them, and lose nothing that came after',
  FULL_TIMEOUT,
  async () => {
    await fc.assert(fc.asyncProperty(fc.array(STEP, { minLength: 1, maxLength: 60 }), run), {
      numRuns: RUNS,
      seed: SEED,
    });
  },
);

const open = async (times = TIMES, aheadMs = 0, catalog = new SharedCatalog(), store = new TestStore()) =>
  new FencedServer(catalog, store, aheadMs, times).open();
const isTombstone = (server: FencedServer) => {
  const inspector = new RecordInspector();
  return [...server.store.kept.values()].map(({ value }) => inspector.isTombstone(value));
};

it('are in effect before anything is erased, and retired when nothing is left', async () => {
  const server = await open();
  for (let n = 0; n < 100; n++) await server.put(`k${n}`, n, n % 10 === 0 ? ['tenth'] : []);
  await server.invalidate({ kind: 'tags', tags: ['tenth'] });
  expect([await server.read('k10'), await server.read('k11')]).toEqual([undefined, 11]);
  expect(isTombstone(server).filter(is => is)).toEqual([]);
  expect(server.view.fences).toHaveLength(1);
  await server.settle();
  expect(
    isTombstone(server)
      .map((is, n) => (is ? n : -1))
      .filter(n => n >= 0),
  ).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
  expect(server.view.fences).toEqual([]);
  expect(server.reports).toMatchObject([{ view: '@c', erased: 10 }]);
  expect([await server.read('k10'), await server.read('k11')]).toEqual([undefined, 11]);
});

it('leave in memory what they do not hide, also where the store is walked through sooner than memory', async () => {
  const server = await open();
  for (let n = 0; n < 2_000; n++) await server.put(`k${n}`, n, []);
  const store = [...server.store.kept];
  server.store.kept.clear();
  for (const [key, kept] of store.slice(0, 20)) server.store.kept.set(key, kept);
  const known = server.cache.kept.size;
  await server.invalidate({ kind: 'prefix', prefix: 'k1' });
  await server.settle();
  expect([server.view.fences, known, server.cache.kept.size]).toEqual([[], 2_000, 2_000 - 1_111]);
});

it('each hide only what was there before them', async () => {
  const server = await open();
  for (const id of ['a', 'b', 'c']) await server.put(id, 0, [id]);
  await server.invalidate({ kind: 'prefix', prefix: 'a' });
  await server.put('a', 1, ['a']);
  await server.invalidate({ kind: 'tags', tags: ['b'] });
  await server.put('b', 1, ['b']);
  await server.invalidate({ kind: 'pattern', pattern: 'c*' });
  const shown = async () => [await server.read('a'), await server.read('b'), await server.read('c')];
  expect([server.view.fences.length, await shown()]).toEqual([3, [1, 1, undefined]]);
  await server.settle();
  expect([server.view.fences.length, await shown()]).toEqual([0, [1, 1, undefined]]);
});

it('of which there are many are served by one walk', async () => {
  const server = await open();
  for (let n = 0; n < 100; n++) await server.put(`k${n}`, n, [`t${n}`]);
  server.store.asked = 0;
  await server.invalidate({ kind: 'tags', tags: ['t0'] });
  for (let n = 1; n < 50; n++) await server.invalidate({ kind: 'tags', tags: [`t${n}`] });
  await server.settle();
  expect(server.view.fences).toEqual([]);
  expect(isTombstone(server).filter(is => is)).toHaveLength(50);
  // The first one began before the others were made.
  expect(server.store.asked).toBeLessThanOrEqual(200);
});

it('leave alone what is written while a walk is about to delete what it replaces', async () => {
  const server = await open();
  await server.put('k', 0, []);
  const put = server.lane.chain.putMany.bind(server.lane.chain);
  await server.invalidate({ kind: 'all' });
  // The walk has read the old entry, and its deletion is on the way.
  server.lane.chain.putMany = async (writes, onStored) => {
    server.lane.chain.putMany = put;
    await server.put('k', 1, []);
    return put(writes, onStored);
  };
  await server.settle();
  expect([await server.read('k'), server.view.fences]).toEqual([1, []]);
});

it('survive a store that fails and a thread that dies during the walk', async () => {
  const server = await open();
  for (let n = 0; n < 50; n++) await server.put(`k${n}`, n, []);
  await server.invalidate({ kind: 'prefix', prefix: 'k1' });
  for (let n = 0; n < 5; n++) await server.step();
  server.store.failures = 1;
  await server.step();
  await server.step();
  await server.die();
  expect(await server.read('k12')).toBeUndefined();
  await server.settle();
  expect(server.view.fences).toEqual([]);
  expect(isTombstone(server).filter(is => is)).toHaveLength(11);
});

it('of a server that has died are seen to by another, which waits a while', async () => {
  const catalog = new SharedCatalog();
  const store = new TestStore();
  const dead = await open(TIMES, 0, catalog, store);
  await dead.put('k', 0, []);
  await dead.invalidate({ kind: 'all' });
  const other = await open(TIMES, 0, catalog, store);
  expect(await other.read('k')).toBeUndefined();
  await other.settle();
  await other.pass(TIMES.foreignMs - 1);
  await other.settle();
  expect(isTombstone(other)).toEqual([false]);
  await other.pass(1);
  await other.settle();
  expect([isTombstone(other), catalog.views.get('@c')?.fences]).toEqual([[true], []]);
});

it('stand as long as others may not have heard of them, and the memory of those is emptied in time', async () => {
  const catalog = new SharedCatalog();
  const store = new TestStore();
  const times = { ...TIMES, openMsMin: 3_000 };
  const [one, two] = [await open(times, 0, catalog, store), await open(times, 0, catalog, store)];
  for (const id of ['k1', 'k2', 'k']) {
    await one.put(id, 0, []);
    expect(await two.read(id)).toBe(0);
  }
  await one.invalidate({ kind: 'prefix', prefix: 'k' });
  await one.settle();
  await one.pass(2_999);
  expect(catalog.views.get('@c')?.fences).toHaveLength(1);
  await two.registry.refresh();
  // Its own memory is not gone through yet.
  expect([two.isWalking, two.cache.kept.size, await two.read('k1')]).toEqual([true, 2, undefined]);
  await one.pass(1);
  expect(catalog.views.get('@c')?.fences).toEqual([]);
  await two.registry.refresh();
  expect([two.cache.kept.size, await two.read('k1')]).toEqual([0, undefined]);
});

it('wait for room when too many are open, for a bounded time', async () => {
  const server = await open({ ...TIMES, openMsMin: 500 });
  await server.put('k', 0, []);
  const tags = (from: number) => Array.from({ length: 64 }, (_, n) => `t${from + n}`);
  for (let from = 0; from < FENCE_LIMITS.open; from += 64)
    await server.invalidate({ kind: 'tags', tags: tags(from) });
  const waited = server.invalidate({ kind: 'prefix', prefix: 'a' });
  await server.settle();
  expect(server.view.fences).toHaveLength(FENCE_LIMITS.open);
  await server.pass(500);
  await waited;
  expect(server.view.fences.map(({ text }) => text)).toEqual(['a']);
  for (let from = 64; from < FENCE_LIMITS.open; from += 64)
    await server.invalidate({ kind: 'tags', tags: tags(from) });
  const late = server.invalidate({ kind: 'tags', tags: tags(FENCE_LIMITS.open) }).catch(error => error.code);
  // Nobody walks.
  await server.pass(499);
  await server.pass(TIMES.waitMs);
  expect(await late).toBe('overloaded');
});
