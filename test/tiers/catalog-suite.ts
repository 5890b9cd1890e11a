/**
 * What every catalog of views must do, wherever it is kept: call `catalogSuite` with a way to open one that is empty.
 *
 * It is compared with a plain map under random calls; the seed is in fast-check's report when it fails. A catalog that
 * servers share is raced by four instances.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { follows, type Standing, type ViewCatalogStore } from '../../src/base/view-catalog.js';
import type { CatalogedView } from '../../src/views/schema.js';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from '../base/seeded.js';

export type CatalogStore = ViewCatalogStore<CatalogedView>;
type Draft = Omit<CatalogedView, 'uid'>;

/** One catalog, empty at first. */
export interface CatalogPlace {
  /** Another server that uses it; when it is not shared, the same server after a restart. */
  open(viewsMax?: number): CatalogStore;
  /** Closes them all and removes what was kept. */
  close(): Promise<void>;
}

export interface CatalogKind {
  readonly name: string;
  /** Several servers may change it at once, and it has a limit of its own. */
  readonly shared: boolean;
  readonly place: () => Promise<CatalogPlace>;
}

const RUNS = FULL ? 300 : 20;
const INSTANCES = 4;
const NAMES = ['a', 'b', 'c'];

/** A view of the schema's number of features. Their names may hold what names of fields in some stores may not. */
export function draft(name: string, schema = 1): Draft {
  return {
    name,
    schema,
    entity: 'doc',
    ttlMs: 1_000,
    features: Array.from({ length: schema }, (_, n) => [`$f.${n}\u0000é`, 'float32'] as const),
    l1Bytes: undefined,
    eviction: 'lru',
  };
}

export function view(name: string, uid: number, schema = 1): CatalogedView {
  return { ...draft(name, schema), uid };
}

const uidsOf = (views: readonly CatalogedView[]) => views.map(({ uid }) => uid);
const sorted = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);

export function catalogSuite({ name, shared, place: openPlace }: CatalogKind): void {
  describe(`${name} as a catalog of views`, () => {
    let place: CatalogPlace;
    beforeEach(async () => {
      place = await openPlace();
    });
    afterEach(() => place.close());

    keepsViews(() => place);
    if (shared) isShared(() => place);
    it('answers as a plain map does, whichever instance is asked', FULL_TIMEOUT, async () => {
      const run = async (steps: readonly Step[]) => {
        const empty = await openPlace();
        await comparedWithModel(empty, steps).finally(() => empty.close());
      };
      await fc.assert(fc.asyncProperty(fc.array(STEP, { minLength: 1, maxLength: 25 }), run), {
        numRuns: RUNS,
        seed: SEED,
      });
    });
  });
}

function keepsViews(place: () => CatalogPlace): void {
  it('is empty at first', async () => {
    const catalog = place().open();
    expect([await catalog.views(), await catalog.dropped()]).toEqual([[], []]);
  });

  it('keeps views by name, exactly, each with a uid of its own', async () => {
    const catalog = place().open();
    expect(await catalog.create(draft('b'), 1)).toEqual({ view: view('b', 1), won: true });
    expect(await catalog.create(draft('a', 0), 1)).toEqual({ view: view('a', 2, 0), won: true });
    expect(await catalog.put(view('b', 1, 2))).toEqual({ view: view('b', 1, 2), won: true });
    const large = { ...draft('c', 4096), l1Bytes: 2 ** 40, ttlMs: Number.MAX_SAFE_INTEGER };
    await catalog.create(large, 1);
    const views = [view('a', 2, 0), view('b', 1, 2), { ...large, uid: 3 }];
    for (const other of [catalog, place().open()]) expect(await other.views()).toEqual(views);
  });

  it('gives no uid that the caller has met, though the catalog was lost', async () => {
    const catalog = place().open();
    expect((await catalog.create(draft('a'), 41)).view.uid).toBe(41);
    expect((await catalog.create(draft('b'), 1)).view.uid).toBe(42);
    expect((await place().open().create(draft('c'), 7)).view.uid).toBe(43);
  });

  it('lets what is held stand against what does not follow from it', async () => {
    const catalog = place().open();
    const { view: first } = await catalog.create(draft('a'), 5);
    expect(await catalog.create({ ...draft('a'), ttlMs: 7 }, 9)).toEqual({ view: first, won: false });
    expect(await catalog.put(view('a', 5, 3))).toEqual({ view: first, won: false });
    expect(await catalog.put({ ...first, features: [['g', 'bool']] })).toEqual({ view: first, won: false });
    expect(await catalog.views()).toEqual([first]);
    const slower = { ...first, ttlMs: 7 };
    expect(await catalog.put(slower)).toEqual({ view: slower, won: true });
    expect(await catalog.put(slower)).toEqual({ view: slower, won: true });
    const grown = view('a', 5, 2);
    expect(await catalog.put(grown)).toEqual({ view: grown, won: true });
    expect(await catalog.put(slower)).toEqual({ view: grown, won: false });
    expect(await catalog.views()).toEqual([grown]);
    expect(await catalog.put(view('a', 4))).toBeUndefined();
    expect(await catalog.put(view('none', 5))).toBeUndefined();
  });

  it('remembers a dropped view until its records are gone, and never gives its uid again', async () => {
    const catalog = place().open();
    const { view: first } = await catalog.create(draft('a'), 1);
    await catalog.drop({ name: 'a', uid: first.uid + 1 });
    await catalog.drop({ name: 'b', uid: first.uid });
    await catalog.erased(first.uid);
    expect(await catalog.views()).toEqual([first]);
    await catalog.drop(first);
    await catalog.drop(first);
    expect([await catalog.views(), await catalog.dropped()]).toEqual([[], [first.uid]]);
    expect(await catalog.put(view('a', first.uid, 2))).toBeUndefined();
    const { view: second } = await catalog.create(draft('a'), 1);
    await catalog.drop(first);
    expect(uidsOf(await catalog.views())).toEqual([second.uid]);
    await catalog.erased(first.uid);
    await catalog.erased(first.uid);
    await catalog.drop(second);
    await catalog.erased(second.uid);
    const again = place().open();
    expect([await again.views(), await again.dropped()]).toEqual([[], []]);
    expect([first.uid, second.uid, (await again.create(draft('a'), 1)).view.uid]).toEqual([1, 2, 3]);
  });

  it('decides calls of one instance that overlap one after the other', async () => {
    const catalog = place().open();
    const made = await Promise.all(
      Array.from({ length: 12 }, (_, n) => catalog.create(draft(NAMES[n % 3] ?? '', 1 + n), 1)),
    );
    expect(made.filter(({ won }) => won)).toHaveLength(3);
    const views = await catalog.views();
    expect(sorted(uidsOf(views))).toEqual([1, 2, 3]);
    for (const { view } of made) expect(views).toContainEqual(view);
  });
}

function isShared(place: () => CatalogPlace): void {
  let catalogs: CatalogStore[];
  beforeEach(() => {
    catalogs = Array.from({ length: INSTANCES }, () => place().open());
  });

  it('makes a view once, when instances declare it at once', async () => {
    const made = await Promise.all(
      Array.from({ length: 24 }, (_, n) => at(catalogs, n).create(draft(`v${n % 5}`, 1 + (n % 3)), 1)),
    );
    const views = await at(catalogs, 0).views();
    expect(views.map(({ name }) => name)).toEqual(['v0', 'v1', 'v2', 'v3', 'v4']);
    expect(new Set(uidsOf(views)).size).toBe(5);
    expect(made.filter(({ won }) => won)).toHaveLength(5);
    for (const { view } of made) expect(views).toContainEqual(view);
  });

  it('lets one of several changes stand that all follow from the same', async () => {
    const { view: first } = await at(catalogs, 0).create(draft('v'), 1);
    const changes = await Promise.all(
      catalogs.map((catalog, n) =>
        catalog.put({ ...first, schema: 2, features: [...first.features, [`new${n}`, 'bool']] }),
      ),
    );
    expect(changes.filter(change => change?.won)).toHaveLength(1);
    const views = await at(catalogs, 0).views();
    expect(changes.map(change => change?.view)).toEqual(catalogs.map(() => views[0]));
  });

  it('loses no change, when instances add to the same view at once', async () => {
    await at(catalogs, 0).create(draft('v', 0), 1);
    const adding = catalogs.map(async (catalog, n) => {
      for (let added = 0; added < 4; ) {
        const [held] = await catalog.views();
        if (held === undefined) throw new Error('the view is gone');
        const features = [...held.features, [`${n}-${added}`, 'bool'] as const];
        if ((await catalog.put({ ...held, schema: held.schema + 1, features }))?.won) added++;
      }
    });
    await Promise.all(adding);
    const [held] = await at(catalogs, 0).views();
    const names = held?.features.map(([name]) => name) ?? [];
    expect(held?.schema).toBe(4 * INSTANCES);
    expect([...names].sort()).toEqual(catalogs.flatMap((_, n) => [0, 1, 2, 3].map(k => `${n}-${k}`)).sort());
  });

  it('holds as many views as it may and no more, whoever makes them', async () => {
    const small = Array.from({ length: 3 }, () => place().open(2));
    const made = await Promise.allSettled(small.map((catalog, n) => catalog.create(draft(`v${n}`), 1)));
    const failed = made.filter(result => result.status === 'rejected');
    expect(failed.map(({ reason }) => reason.code)).toEqual(['too-many-views']);
    const views = await at(small, 0).views();
    expect(views).toHaveLength(2);
    const [{ name, uid }] = views as [CatalogedView, CatalogedView];
    expect(await at(small, 1).create(draft(name), 1)).toMatchObject({ won: false });
    await at(small, 0).drop({ name, uid });
    expect(await at(small, 1).create(draft('other'), 1)).toMatchObject({ won: true });
  });

  it('counts built-in views by themselves, in the same step as it makes one', async () => {
    const small = Array.from({ length: 4 }, () => place().open(2));
    const names = ['@a', '@b', '@c', 'a', 'b', 'c'];
    const made = await Promise.allSettled(names.map((name, n) => at(small, n).create(draft(name), 1)));
    const codes = made.map(result => (result.status === 'rejected' ? result.reason.code : 'made'));
    for (const ofKind of [codes.slice(0, 3), codes.slice(3)])
      expect(ofKind.sort()).toEqual(['made', 'made', 'too-many-views']);
    expect(await at(small, 0).views()).toHaveLength(4);
  });

  it('gives the number of a fence once, whoever asks first, and keeps its texts exactly', async () => {
    const { view: made } = await at(catalogs, 0).create(draft('@c'), 1);
    const fenced = (n: number): CatalogedView => {
      const fences = [{ kind: 'tag', text: `${n} é\u0000"]]`, schema: 2 }] as const;
      return { ...made, schema: 2, fences };
    };
    const puts = await Promise.all(catalogs.map((catalog, n) => catalog.put(fenced(n))));
    expect(puts.filter(standing => standing?.won)).toHaveLength(1);
    const [held] = await at(catalogs, 1).views();
    for (const standing of puts) expect(standing?.view).toEqual(held);
    expect(held).toEqual(fenced(puts.findIndex(standing => standing?.won)));
    const retired = { ...made, schema: 2, fences: [] };
    expect(await at(catalogs, 2).put(retired)).toEqual({ view: retired, won: true });
    // Who has not heard of it retires nothing newer.
    expect(await at(catalogs, 3).put({ ...made, fences: [] })).toEqual({ view: retired, won: false });
  });

  it('drops and makes anew without giving a uid twice or bringing one back', async () => {
    const random = new Seeded(SEED);
    const made: number[] = [];
    const erased = new Set<number>();
    const work = async (catalog: CatalogStore) => {
      for (let step = 0; step < 12; step++) {
        const erasedBefore = new Set(erased);
        const standing = await catalog.create(draft(random.pick(NAMES)), 1);
        if (standing.won) made.push(standing.view.uid);
        expect(erasedBefore).not.toContain(standing.view.uid);
        if (random.below(2) === 0) await catalog.drop(standing.view);
        else await catalog.put({ ...standing.view, ttlMs: step });
        const [uid] = await catalog.dropped();
        if (uid === undefined || random.below(2) === 0) continue;
        await catalog.erased(uid);
        erased.add(uid);
      }
    };
    await Promise.all(catalogs.map(work));
    const [live, dropped] = [await at(catalogs, 0).views(), await at(catalogs, 1).dropped()];
    expect(new Set(live.map(({ name }) => name)).size).toBe(live.length);
    expect(sorted(made)).toEqual(sorted([...uidsOf(live), ...dropped, ...erased]));
  });
}

function at(catalogs: readonly CatalogStore[], n: number): CatalogStore {
  const catalog = catalogs[n % catalogs.length];
  if (catalog === undefined) throw new Error('there is no instance');
  return catalog;
}

interface Step {
  readonly kind: 'create' | 'put' | 'drop' | 'erased';
  readonly instance: number;
  readonly name: string;
  readonly uid: number;
  readonly uidMin: number;
  readonly schema: number;
  readonly ttlMs: number;
}

const STEP: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('create', 'put', 'drop', 'erased'),
  instance: fc.nat(2),
  name: fc.constantFrom(...NAMES),
  uid: fc.integer({ min: 1, max: 6 }),
  uidMin: fc.integer({ min: 1, max: 5 }),
  schema: fc.integer({ min: 1, max: 3 }),
  ttlMs: fc.nat(2),
});

/** The catalog as it should be. */
class Model {
  readonly views = new Map<string, CatalogedView>();
  readonly dropped = new Set<number>();
  #nextUid = 1;

  create(draft: Draft, uidMin: number): Standing<CatalogedView> {
    const held = this.views.get(draft.name);
    if (held !== undefined) return { view: held, won: false };
    const view = { ...draft, uid: Math.max(this.#nextUid, uidMin) };
    this.#nextUid = view.uid + 1;
    this.views.set(view.name, view);
    return { view, won: true };
  }

  put(view: CatalogedView): Standing<CatalogedView> | undefined {
    const held = this.views.get(view.name);
    if (held?.uid !== view.uid) return undefined;
    if (!follows(view, held)) return { view: held, won: false };
    this.views.set(view.name, view);
    return { view, won: true };
  }

  drop({ name, uid }: CatalogedView): void {
    if (this.views.get(name)?.uid !== uid) return;
    this.views.delete(name);
    this.dropped.add(uid);
  }
}

async function comparedWithModel(place: CatalogPlace, steps: readonly Step[]): Promise<void> {
  const model = new Model();
  const catalogs = [place.open(), place.open(), place.open()];
  for (const { kind, instance, name, uid, uidMin, schema, ttlMs } of steps) {
    const catalog = at(catalogs, instance);
    const asked = { ...view(name, uid, schema), ttlMs };
    if (kind === 'create') {
      const { uid: _uid, ...rest } = asked;
      expect(await catalog.create(rest, uidMin)).toEqual(model.create(rest, uidMin));
    } else if (kind === 'put') {
      expect(await catalog.put(asked)).toEqual(model.put(asked));
    } else if (kind === 'drop') {
      await catalog.drop(asked);
      model.drop(asked);
    } else {
      await catalog.erased(uid);
      model.dropped.delete(uid);
    }
    const views = NAMES.flatMap(known => model.views.get(known) ?? []);
    expect(await at(catalogs, instance + 1).views()).toEqual(views);
    expect(sorted(await at(catalogs, instance + 2).dropped())).toEqual(sorted(model.dropped));
  }
}
