/** Invalidations by fences, where something is in the way: damage, repetition, a store that does not answer. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import type { TierWrite } from '../../src/base/tier.js';
import { Pace } from '../../src/resolve/pace.js';
import { RecordInspector } from '../../src/resolve/record-inspector.js';
import { Sweeper } from '../../src/resolve/sweeper.js';
import { SharedCatalog } from '../views/shared-catalog.js';
import { FencedServer, TestStore } from './fenced-servers.js';
import { laneOver, VIEW } from './fixture.js';

const open = (catalog = new SharedCatalog()) => new FencedServer(catalog, new TestStore(), 0).open();

it('stand until what is damaged is gone too', async () => {
  const server = await open();
  await server.put('k', 0, []);
  const [{ value }] = [...server.store.kept.values()] as [TierWrite];
  value.fill(0xff, -4);
  const put = server.store.putMany.bind(server.store);
  server.store.putMany = async () => {
    server.store.putMany = put;
    throw new HeadraceError('unavailable', 'the store fails on demand');
  };
  await server.invalidate({ kind: 'all' });
  await server.settle();
  const inspector = new RecordInspector();
  const isDeleted = [...server.store.kept.values()].map(stored => inspector.isTombstone(stored.value));
  expect([server.errors.length, isDeleted, server.view.fences]).toEqual([1, [true], []]);
});

it('that are made again and again leave in memory what they do not mean', async () => {
  const server = await open();
  await server.put('k', 0, ['x']);
  await server.put('kept', 1, []);
  // The second comes while the lane still goes through its memory for the first.
  for (let n = 0; n < 2; n++) await server.invalidate({ kind: 'tags', tags: ['x'] });
  expect([server.isWalking, server.view.fences.length]).toEqual([true, 1]);
  const inMemory = () => [server.cache.kept.has('0/k'), server.cache.kept.has('0/kept')];
  expect(inMemory()[1]).toBe(true);
  await server.settle();
  expect([inMemory(), server.view.fences]).toEqual([[false, true], []]);
});

it('are refused when too many are under way, as the store does not answer', async () => {
  const catalog = new SharedCatalog();
  const server = await open(catalog);
  const put = catalog.put.bind(catalog);
  let answer = () => {};
  const hangs = new Promise<void>(resolve => {
    answer = resolve;
  });
  catalog.put = async view => {
    await hangs;
    return put(view);
  };
  const settled = Array.from({ length: 2_000 }, () =>
    server.invalidate({ kind: 'all' }).catch(error => error.code as string),
  );
  expect(new Set(await Promise.all(settled.slice(1_024)))).toEqual(new Set(['overloaded']));
  answer();
  expect(new Set(await Promise.all(settled.slice(0, 1_024)))).toEqual(new Set([undefined]));
  await server.invalidate({ kind: 'all' });
  await server.settle();
  expect(server.view.fences).toEqual([]);
});

it('tell once that they cannot be erased, or retired, however often it is tried', async () => {
  const catalog = new SharedCatalog();
  const server = await open(catalog);
  await server.put('k', 0, []);
  await server.invalidate({ kind: 'all' });
  server.store.failures = 3;
  const put = catalog.put.bind(catalog);
  let left = 3;
  catalog.put = async view => {
    if (left-- > 0) throw new HeadraceError('unavailable', 'the catalog fails on demand');
    return put(view);
  };
  await server.settle();
  expect([server.errors.length, server.view.fences.length]).toEqual([2, 1]);
  for (let n = 0; n < 3; n++) await server.pass(1_000);
  expect([server.errors.length, server.view.fences]).toEqual([2, []]);
  expect(server.errors.map(String)).toEqual([
    expect.stringContaining('the store fails on demand'),
    expect.stringContaining('the catalog fails on demand'),
  ]);
});

it('of one view are erased, though another cannot be walked through', async () => {
  const lane = laneOver([new TestStore()]);
  const swept: number[] = [];
  const errors: unknown[] = [];
  let walks = 0;
  const sweeper = new Sweeper({
    ...lane,
    walk: {
      async run({ view }) {
        if (view.uid === 1 && ++walks < 5)
          throw new HeadraceError('unavailable', 'what it has cannot be read');
        return 0;
      },
    },
    pace: new Pace({ nowMs: () => 0, rest: () => nextTurn() }),
    rest: () => nextTurn(),
    emptySlot: () => undefined,
    onSwept: uid => swept.push(uid),
    onError: error => errors.push(error),
  });
  for (const uid of [1, 2]) {
    const fences = [{ kind: 'all', text: '', schema: 2 }] as const;
    sweeper.declare({ ...VIEW, name: `@${uid}`, uid, slot: uid, schema: 2, fences });
    sweeper.sweep(uid);
  }
  for (let turn = 0; turn < 50; turn++) await nextTurn();
  expect([swept, errors.length]).toEqual([[2, 1], 1]);
});
