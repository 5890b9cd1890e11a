/** Two servers' registries over one catalog: what one changes the other takes over, and nothing is made twice. */
import { expect, it } from 'vitest';
import type { Standing } from '../../src/base/view-catalog.js';
import { type BuiltInView, ViewRegistry } from '../../src/views/registry.js';
import type { CatalogedView, FeatureType, StoredView, ViewDefinition } from '../../src/views/schema.js';

class SharedCatalog {
  readonly views = new Map<string, CatalogedView>();
  #nextUid = 1;

  async create(draft: Omit<CatalogedView, 'uid'>, uidMin: number): Promise<Standing<CatalogedView>> {
    const held = this.views.get(draft.name);
    if (held !== undefined) return { view: held, won: false };
    const view = { ...draft, uid: Math.max(this.#nextUid, uidMin) };
    this.#nextUid = view.uid + 1;
    this.views.set(view.name, view);
    return { view, won: true };
  }

  async put(view: CatalogedView): Promise<Standing<CatalogedView> | undefined> {
    const held = this.views.get(view.name);
    if (held?.uid !== view.uid) return undefined;
    const follows =
      view.schema === held.schema + 1 ||
      (view.schema === held.schema && JSON.stringify(view.features) === JSON.stringify(held.features));
    if (follows) this.views.set(view.name, view);
    return { view: follows ? view : held, won: follows };
  }
}

/** A registry, and what its lanes know: uids by slot. `isDeaf`: they do not answer when they are to forget a view. */
function open(catalog: SharedCatalog, viewsMax = 10, builtIn: readonly BuiltInView[] = []) {
  const lanes = new Map<number, number>();
  const state = { isDeaf: false };
  const emptied: number[] = [];
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
      expect(lanes.get(slot) ?? uid, 'a slot has one view at a time').toBe(uid);
      lanes.set(slot, uid);
    },
    forget: async ({ slot }: StoredView) => {
      if (state.isDeaf) throw new Error('no answer');
      lanes.delete(slot);
      emptied.push(slot);
    },
    changed: () => undefined,
  });
  return { views, lanes, emptied, state };
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
  one.state.isDeaf = true;
  await expect(one.views.drop('a')).rejects.toThrow('no answer');
  await two.views.drop('b');
  await expect(one.views.refresh()).rejects.toThrow('no answer');
  // Both are gone, and what is written to them would be erased.
  expect(one.views.list()).toEqual([]);
  const { view } = await one.views.declare('c', A);
  expect([...one.lanes.keys()].sort()).toEqual([0, 1, 2]);
  one.state.isDeaf = false;
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

it('empties a built-in view by making it anew, also what another server has made anew meanwhile', async () => {
  const catalog = new SharedCatalog();
  const one = open(catalog, 1, [BUILT_IN]);
  const two = open(catalog, 1, [BUILT_IN]);
  await one.views.declareBuiltIn();
  await two.views.refresh();
  let isOver = false;
  const renewed = one.views.renew('@c').finally(() => {
    isOver = true;
  });
  while (!isOver) {
    expect(one.views.builtIn('@c'), 'it is never missed').toBeDefined();
    await Promise.resolve();
  }
  await renewed;
  const uid = one.views.builtIn('@c')?.uid ?? 0;
  expect(uid).toBeGreaterThan(1);
  expect(one.emptied).toEqual([0]);
  // The other has not heard of it: what was written under the uid it does not know goes too.
  await two.views.renew('@c');
  expect(two.views.builtIn('@c')?.uid).toBeGreaterThan(uid);
  expect(catalog.views.get('@c')?.uid).toBe(two.views.builtIn('@c')?.uid);
  await one.views.refresh();
  expect(one.views.builtIn('@c')?.uid).toBe(two.views.builtIn('@c')?.uid);
  await expect(one.views.renew('@none')).rejects.toMatchObject({ code: 'view-not-found' });
});
