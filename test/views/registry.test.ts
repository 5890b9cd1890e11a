/** Two servers' registries over one catalog: what one changes the other takes over, and nothing is made twice. */
import { expect, it } from 'vitest';
import { FENCE_LIMITS } from '../../src/views/fence.js';
import { type BuiltInView, ViewRegistry } from '../../src/views/registry.js';
import type { FeatureType, StoredView, ViewDefinition } from '../../src/views/schema.js';
import { SharedCatalog } from './shared-catalog.js';

/**
 * A registry, and what its lanes know: uids by slot. Unless they `hear` they do not answer when they are told of a view,
 * unless they `forget` when they are to forget one.
 */
function open(catalog: SharedCatalog, viewsMax = 10, builtIn: readonly BuiltInView[] = []) {
  const lanes = new Map<number, number>();
  const state = { hear: true, forget: true };
  const emptied: number[] = [];
  const fenced: string[] = [];
  const views = new ViewRegistry({
    viewsMax,
    builtIn,
    catalogedViews: async () => [...catalog.views.values()],
    createView: (draft, uidMin) => catalog.create(draft, uidMin),
    changeView: view => catalog.put(view),
    dropView: async view => {
      if (catalog.views.get(view.name)?.uid === view.uid) catalog.views.delete(view.name);
    },
    declare: async ({ slot, uid }: StoredView) => {
      if (!state.hear) throw new Error('no answer');
      expect(lanes.get(slot) ?? uid, 'a slot has one view at a time').toBe(uid);
      lanes.set(slot, uid);
    },
    forget: async ({ slot }: StoredView) => {
      if (!state.forget) throw new Error('no answer');
      lanes.delete(slot);
      emptied.push(slot);
    },
    changed: () => undefined,
    fenced: ({ fences }) => fenced.push(fences.map(({ text, schema }) => `${text}<${schema}`).join()),
  });
  return { views, lanes, emptied, fenced, state };
}

function definition(...features: readonly [string, FeatureType][]): ViewDefinition {
  return {
    entity: 'doc',
    ttlMs: 1_000,
    features: new Map(features),
    l1Bytes: undefined,
    eviction: 'lru',
  };
}

const A = definition(['a', 'bool']);

it('makes a view once, whoever asks first', async () => {
  const catalog = new SharedCatalog();
  const [one, two] = [open(catalog), open(catalog)];
  const made = await Promise.all([one.views.declare('v', A), two.views.declare('v', A)]);
  expect(made.map(({ outcome }) => outcome).sort()).toEqual(['created', 'same']);
  expect(made.map(({ view }) => view.uid)).toEqual([1, 1]);
});

it('adds features upon those that another has added meanwhile, or says what is in the way', async () => {
  const catalog = new SharedCatalog();
  const [one, two] = [open(catalog), open(catalog)];
  await one.views.declare('v', A);
  await two.views.refresh();
  const wider = definition(['a', 'bool'], ['b', 'int64']);
  await one.views.declare('v', wider);
  const widest = definition(['a', 'bool'], ['b', 'int64'], ['c', 'string']);
  // The second still knows the first schema.
  const { view, outcome } = await two.views.declare('v', widest);
  expect([view.schema, outcome, [...view.features.keys()]]).toEqual([3, 'changed', ['a', 'b', 'c']]);
  await expect(
    one.views.declare('v', definition(['a', 'bool'], ['b', 'int64'], ['d', 'string'])),
  ).rejects.toThrow(expect.objectContaining({ code: 'view-conflict' }));
  expect(one.views.get('v')?.schema).toBe(3);
});

it('takes over what was dropped and made anew, with an empty slot', async () => {
  const catalog = new SharedCatalog();
  const [one, two] = [open(catalog), open(catalog)];
  await one.views.declare('old', A);
  await one.views.declare('kept', A);
  await two.views.refresh();
  await one.views.drop('old');
  await one.views.declare('old', definition(['z', 'string']));
  await two.views.refresh();
  expect(two.views.get('old')).toMatchObject({ uid: 3, slot: 0, schema: 1 });
  expect(two.views.get('kept')).toMatchObject({ uid: 2, slot: 1 });
  expect([two.emptied, [...two.lanes]]).toEqual([
    [0],
    [
      [1, 2],
      [0, 3],
    ],
  ]);
  await two.views.drop('old');
  // The first does not know yet that it is gone, and makes it anew under another uid.
  const again = await one.views.declare('old', definition(['z', 'string'], ['y', 'bool']));
  expect([again.outcome, again.view.uid]).toEqual(['created', 4]);
});

it('keeps to its own limit, also when others have made more', async () => {
  const catalog = new SharedCatalog();
  const [large, small] = [open(catalog), open(catalog, 1)];
  await large.views.declare('a', A);
  await small.views.refresh();
  await expect(small.views.declare('b', A)).rejects.toThrow(/HEADRACE_VIEWS_MAX/);
  await large.views.declare('b', A);
  await expect(small.views.refresh()).rejects.toThrow(/HEADRACE_VIEWS_MAX/);
  expect(small.views.get('a')).toBeDefined();
});

it('gives the place of a view to no other until every lane has forgotten it', async () => {
  const catalog = new SharedCatalog();
  const [one, two] = [open(catalog, 3), open(catalog, 3)];
  for (const name of ['a', 'b']) await one.views.declare(name, A);
  await two.views.refresh();
  one.state.forget = false;
  await expect(one.views.drop('a')).rejects.toThrow('no answer');
  await two.views.drop('b');
  await expect(one.views.refresh()).rejects.toThrow('no answer');
  // Both are gone, and what is written to them would be erased.
  expect(one.views.list()).toEqual([]);
  const { view } = await one.views.declare('c', A);
  expect([...one.lanes.keys()].sort()).toEqual([0, 1, 2]);
  one.state.forget = true;
  await one.views.refresh();
  expect([...one.lanes]).toEqual([[view.slot, view.uid]]);
  await one.views.declare('d', A);
  expect(one.views.get('d')?.slot).toBe(0);
});

const BUILT_IN: BuiltInView = {
  name: '@c',
  entity: 'entry',
  features: new Map([['payload', 'bytes']]),
  l1Bytes: 1_000,
  eviction: 'fifo',
};

it('has its built-in views beside those of clients, who never see them', async () => {
  const catalog = new SharedCatalog();
  const { views, lanes } = open(catalog, 1, [BUILT_IN]);
  await views.refresh();
  expect(views.builtIn('@c')).toBeUndefined();
  await views.declareBuiltIn();
  await views.declareBuiltIn();
  expect(views.builtIn('@c')).toMatchObject({ uid: 1, slot: 0, l1Bytes: 1_000, eviction: 'fifo' });
  // Its place in memory is this server's alone.
  expect(catalog.views.get('@c')).toMatchObject({ l1Bytes: undefined, eviction: 's3-fifo' });
  expect([views.get('@c'), views.list()]).toEqual([undefined, []]);
  await expect(views.drop('@c')).rejects.toMatchObject({ code: 'view-not-found' });
  await views.declare('v', A);
  await expect(views.declare('w', A)).rejects.toMatchObject({ code: 'too-many-views' });
  await views.refresh();
  expect(views.all().map(view => [view.name, view.slot])).toEqual([
    ['@c', 0],
    ['v', 1],
  ]);
  expect(views.builtIn('v')).toBeUndefined();
  expect(lanes.size).toBe(2);
});

it('leaves built-in views of other servers alone, and shares those that it has too', async () => {
  const catalog = new SharedCatalog();
  const one = open(catalog, 1, [BUILT_IN, { ...BUILT_IN, name: '@d' }]);
  const two = open(catalog, 1, [{ ...BUILT_IN, l1Bytes: undefined, eviction: 'lru' }]);
  await one.views.declareBuiltIn();
  await two.views.refresh();
  await two.views.declareBuiltIn();
  expect(two.views.all().map(view => view.name)).toEqual(['@c']);
  expect(two.views.builtIn('@c')).toMatchObject({ uid: 1, l1Bytes: undefined, eviction: 'lru' });
  expect(catalog.views.size).toBe(2);
  await one.views.refresh();
  expect(one.views.builtIn('@c')).toMatchObject({ uid: 1, l1Bytes: 1_000 });
});

const prefix = (text: string) => ({ kind: 'prefix', prefix: text }) as const;
const fencesOf = ({ views }: ReturnType<typeof open>) =>
  views.builtIn('@c')?.fences.map(({ text, schema }) => `${text}<${schema}`);

it('makes fences one upon the other, whoever makes them, and retires those of which nothing is left', async () => {
  const catalog = new SharedCatalog();
  const one = open(catalog, 1, [BUILT_IN]);
  const two = open(catalog, 1, [BUILT_IN]);
  await one.views.declareBuiltIn();
  await two.views.refresh();
  await Promise.all([one.views.fence('@c', prefix('a')), two.views.fence('@c', prefix('b'))]);
  await one.views.refresh();
  await two.views.refresh();
  expect(
    fencesOf(one)
      ?.map(text => text[0])
      .sort(),
  ).toEqual(['a', 'b']);
  expect([fencesOf(one), catalog.views.get('@c')?.schema]).toEqual([fencesOf(two), 3]);
  // The same again takes the place of what it covers, also of what the first has not heard of.
  await two.views.fence('@c', prefix('c'));
  const again = await one.views.fence('@c', prefix('b'));
  expect([again.schema, fencesOf(one)]).toEqual([5, ['a<2', 'c<4', 'b<5']]);
  await two.views.retire('@c', 4);
  await one.views.refresh();
  expect([fencesOf(one), fencesOf(two)]).toEqual([['b<5'], ['b<5']]);
  await one.views.fence('@c', { kind: 'all' });
  expect(fencesOf(one)).toEqual(['<6']);
  await one.views.retire('@c', 6);
  expect([fencesOf(one), catalog.views.get('@c')?.fences]).toEqual([[], []]);
  expect(one.fenced.at(-1)).toBe('');
  // Its place in memory is each server's own, and no business of the catalog.
  expect(catalog.views.get('@c')).toMatchObject({ l1Bytes: undefined, eviction: 's3-fifo', uid: 1 });
  await expect(one.views.fence('@none', { kind: 'all' })).rejects.toMatchObject({ code: 'unavailable' });
});

it('makes as many fences as there may be, and says when there are too many', async () => {
  const { views } = open(new SharedCatalog(), 1, [BUILT_IN]);
  await views.declareBuiltIn();
  const tags = (from: number, count: number) =>
    ({ kind: 'tags', tags: Array.from({ length: count }, (_, n) => `t${from + n}`) }) as const;
  for (let from = 0; from < FENCE_LIMITS.open; from += 64) await views.fence('@c', tags(from, 64));
  await expect(views.fence('@c', prefix('a'))).rejects.toMatchObject({ code: 'overloaded' });
  // One that is open already needs no further place.
  await views.fence('@c', tags(0, 1));
  await views.retire('@c', views.builtIn('@c')?.schema ?? 0);
  const long = (n: number) => prefix(`${n}`.padEnd(512, 'x'));
  for (let n = 0; n < FENCE_LIMITS.bytes / 512; n++) await views.fence('@c', long(n));
  await expect(views.fence('@c', prefix('a'))).rejects.toMatchObject({ code: 'overloaded' });
  await views.fence('@c', { kind: 'all' });
  await views.fence('@c', prefix('a'));
});

it('hides all when the catalog has gone back and has lost fences', async () => {
  const catalog = new SharedCatalog();
  const one = open(catalog, 1, [BUILT_IN]);
  await one.views.declareBuiltIn();
  await one.views.fence('@c', prefix('a'));
  const replica = catalog.views.get('@c');
  expect(replica?.schema).toBe(2);
  for (const text of ['b', 'c']) await one.views.fence('@c', prefix(text));
  if (replica !== undefined) catalog.views.set('@c', replica);
  await one.views.refresh();
  // Above every number that was ever given.
  expect([fencesOf(one), catalog.views.get('@c')?.schema]).toEqual([['<5'], 5]);
  const two = open(catalog, 1, [BUILT_IN]);
  await two.views.refresh();
  expect(fencesOf(two)).toEqual(['<5']);
});

it.each([
  ['makes', (views: ViewRegistry) => views.fence('@c', prefix('d')), ['<5', 'd<6']],
  ['retires', (views: ViewRegistry) => views.retire('@c', 2), ['<5']],
] as const)(
  'does so as well when it %s fences before it has heard of that',
  async (_what, change, fences) => {
    const catalog = new SharedCatalog();
    const one = open(catalog, 1, [BUILT_IN]);
    await one.views.declareBuiltIn();
    await one.views.fence('@c', prefix('a'));
    const replica = catalog.views.get('@c');
    for (const text of ['b', 'c']) await one.views.fence('@c', prefix(text));
    if (replica !== undefined) catalog.views.set('@c', replica);
    await change(one.views);
    expect([fencesOf(one), catalog.views.get('@c')?.schema]).toEqual([fences, fences.length + 4]);
  },
);

it('hides what an invalidation means while a lane has not heard of it, and has it erased once all have', async () => {
  const one = open(new SharedCatalog(), 1, [BUILT_IN]);
  await one.views.declareBuiltIn();
  one.state.hear = false;
  await expect(one.views.fence('@c', prefix('a'))).rejects.toThrow('no answer');
  await expect(one.views.refresh()).rejects.toThrow('no answer');
  expect([fencesOf(one), one.fenced]).toEqual([['a<2'], ['']]);
  one.state.hear = true;
  for (let n = 0; n < 2; n++) await one.views.refresh();
  expect([fencesOf(one), one.fenced]).toEqual([['a<2'], ['', 'a<2']]);
});

it('begins a built-in view anew that the catalog has lost, when it is invalidated', async () => {
  const catalog = new SharedCatalog();
  const one = open(catalog, 1, [BUILT_IN]);
  await one.views.declareBuiltIn();
  catalog.views.clear();
  await one.views.fence('@c', prefix('a'));
  expect([one.views.builtIn('@c'), one.emptied]).toMatchObject([{ uid: 2, schema: 2 }, [0]]);
  catalog.views.clear();
  await one.views.retire('@c', 2);
  expect([one.views.builtIn('@c'), catalog.views.get('@c')]).toMatchObject([
    { uid: 3 },
    { uid: 3, schema: 1 },
  ]);
});
