/**
 * The views that the front thread knows, by name, and the only place that changes them here. A change is durable in the
 * catalog and known to every lane before it is visible; changes happen one after the other.
 *
 * Other servers may share the catalog. What stands there is what counts: a change that another server was faster with
 * is made again upon what stands now, and `refresh` takes over what others have changed.
 *
 * Built-in views are the server's own: no client sees, declares or drops them, as their names begin with `@`, which no
 * client can give. The catalog holds what all servers agree on, their features; their place in L1 is told by each
 * server's own options. Those of other servers that this one does not have are left alone.
 */
import { HeadraceError } from '../base/errors.js';
import type { Standing } from '../base/view-catalog.js';
import {
  type CatalogedView,
  catalogedViewOf,
  type Declaration,
  type EvictionPolicy,
  type FeatureType,
  redeclare,
  type StoredView,
  storedViewOf,
  type View,
  type ViewDefinition,
  viewOf,
} from './schema.js';

export interface BuiltInView {
  /** Begins with `BUILT_IN`. */
  readonly name: string;
  readonly entity: string;
  readonly features: ReadonlyMap<string, FeatureType>;
  readonly l1Bytes: number | undefined;
  readonly eviction: EvictionPolicy;
}

/** What the name of a built-in view begins with. */
export const BUILT_IN = '@';

export interface ViewStore {
  /** Of clients; built-in views have their places beside these. */
  readonly viewsMax: number;
  readonly builtIn?: readonly BuiltInView[];
  catalogedViews(): Promise<readonly CatalogedView[]>;
  /** See `ViewCatalogStore`. */
  createView(draft: Omit<CatalogedView, 'uid'>, uidMin: number): Promise<Standing<CatalogedView>>;
  changeView(view: CatalogedView): Promise<Standing<CatalogedView> | undefined>;
  dropView(view: CatalogedView): Promise<void>;
  /** Tells every lane of a view. */
  declare(view: StoredView): Promise<void>;
  /** Makes every lane forget a view, and empties its slot. */
  forget(view: StoredView): Promise<void>;
  /** A change is visible. */
  changed(): void;
}

/** Times that others may be faster with a change of the same view. */
const ROUNDS_MAX = 8;

/** Of records that do not say; what is written to a built-in view does. */
const BUILT_IN_TTL_MS = 3_600_000;

export class ViewRegistry {
  readonly #views = new Map<string, View>();
  /** Gone, but some lane may still put records of theirs into the table: their slots are not free. */
  readonly #leaving = new Set<View>();
  readonly #store: ViewStore;
  readonly #builtIn: ReadonlyMap<string, BuiltInView>;
  /** Above every uid that was ever met. */
  #uidMin = 1;
  /** The end of the change under way. */
  #changed: Promise<unknown> = Promise.resolve();

  /** Empty; `refresh` fills it. */
  constructor(store: ViewStore) {
    this.#store = store;
    this.#builtIn = new Map(store.builtIn?.map(view => [view.name, view]));
  }

  get(name: string): View | undefined {
    return isBuiltIn(name) ? undefined : this.#views.get(name);
  }

  /** A built-in view; `undefined` while the catalog, from which it has its uid, cannot be reached. */
  builtIn(name: string): View | undefined {
    return isBuiltIn(name) ? this.#views.get(name) : undefined;
  }

  list(): View[] {
    return this.all().filter(({ name }) => !isBuiltIn(name));
  }

  /** The built-in ones too. */
  all(): View[] {
    return [...this.#views.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws HeadraceError `view-conflict`, `too-many-views`, or what the store throws. */
  declare(name: string, definition: ViewDefinition): Promise<{ view: View; outcome: Declaration }> {
    return this.#inTurn(async () => {
      for (let round = 0; round < ROUNDS_MAX; round++) {
        const existing = this.#views.get(name);
        const declared = existing === undefined ? undefined : redeclare(existing, definition);
        if (declared?.outcome === 'same') return declared;
        const standing =
          declared === undefined
            ? await this.#create(name, definition)
            : await this.#store.changeView(catalogedViewOf(declared.view));
        if (standing === undefined) await this.#remove(existing);
        else {
          const view = await this.#take(standing.view);
          if (standing.won) return { view, outcome: declared?.outcome ?? 'created' };
        }
      }
      throw new HeadraceError('unavailable', `others change the view ${name} all the time; try again`);
    });
  }

  /** @throws HeadraceError `view-not-found`, or what the store throws. */
  drop(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const view = this.get(name);
      if (view === undefined) throw new HeadraceError('view-not-found', `there is no view ${name}`);
      this.#views.delete(name);
      try {
        await this.#store.dropView(catalogedViewOf(view));
      } catch (error) {
        this.#views.set(name, view);
        throw error;
      }
      await this.#forget(view);
    });
  }

  /** Makes the built-in views that the catalog lacks. @throws HeadraceError what the store throws. */
  declareBuiltIn(): Promise<void> {
    return this.#inTurn(async () => {
      for (const view of this.#builtIn.values()) if (!this.#views.has(view.name)) await this.#build(view);
    });
  }

  /**
   * Empties a built-in view in every tier and on every server at once: it gets a new uid, and what is stored under the
   * old one is erased bit by bit, where nobody finds it any more. @throws HeadraceError what the store throws.
   */
  renew(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const builtIn = this.#builtIn.get(name);
      if (builtIn === undefined) throw new HeadraceError('view-not-found', `there is no view ${name}`);
      for (let round = 0; round < ROUNDS_MAX; round++) {
        // Seen until the new one stands: who reads it meanwhile asked before this is answered.
        const view = this.#views.get(name);
        if (view !== undefined) await this.#store.dropView(catalogedViewOf(view));
        // One that another server has made before may hold what is to go.
        if (await this.#build(builtIn)) return;
      }
      throw new HeadraceError('unavailable', 'others empty it all the time; try again');
    });
  }

  /** Takes over what the catalog has now. @throws HeadraceError what the store throws; nothing is changed then. */
  refresh(): Promise<void> {
    return this.#inTurn(async () => {
      const all = await this.#store.catalogedViews();
      const cataloged = all.filter(({ name }) => !isBuiltIn(name) || this.#builtIn.has(name));
      const { viewsMax } = this.#store;
      const count = cataloged.filter(({ name }) => !isBuiltIn(name)).length;
      if (count > viewsMax) {
        const needed = `the views that there are need ${count}`;
        throw new HeadraceError('too-many-views', `HEADRACE_VIEWS_MAX is ${viewsMax}, ${needed}`);
      }
      const uids = new Set(cataloged.map(({ uid }) => uid));
      for (const view of this.all()) if (!uids.has(view.uid)) await this.#remove(view);
      for (const view of this.#leaving) await this.#forget(view);
      for (const view of cataloged) await this.#take(view);
    });
  }

  #create(name: string, definition: ViewDefinition): Promise<Standing<CatalogedView>> {
    const { viewsMax } = this.#store;
    if (this.list().length >= viewsMax) {
      throw new HeadraceError('too-many-views', `there are ${viewsMax} views already (HEADRACE_VIEWS_MAX)`);
    }
    const { entity, ttlMs, l1Bytes, eviction } = definition;
    const features = [...definition.features];
    return this.#store.createView(
      { name, schema: 1, entity, ttlMs, features, l1Bytes, eviction },
      this.#uidMin,
    );
  }

  /** False when another server was first. */
  async #build({ name, entity, features }: BuiltInView): Promise<boolean> {
    const { view, won } = await this.#store.createView(
      {
        name,
        schema: 1,
        entity,
        ttlMs: BUILT_IN_TTL_MS,
        features: [...features],
        l1Bytes: undefined,
        eviction: 's3-fifo',
      },
      this.#uidMin,
    );
    await this.#take(view);
    return won;
  }

  /** Makes a view of the catalog known and visible. */
  async #take(held: CatalogedView): Promise<View> {
    const builtIn = this.#builtIn.get(held.name);
    const cataloged =
      builtIn === undefined ? held : { ...held, l1Bytes: builtIn.l1Bytes, eviction: builtIn.eviction };
    this.#uidMin = Math.max(this.#uidMin, cataloged.uid + 1);
    const known = this.#views.get(cataloged.name);
    const replaced = known?.uid === cataloged.uid ? undefined : known;
    // A built-in view is never missed: the new one stands before the old one goes.
    if (builtIn === undefined) await this.#remove(replaced);
    const slot = known?.uid === cataloged.uid ? known.slot : this.#freeSlot();
    const view = viewOf({ ...cataloged, slot });
    if (known !== undefined && isSame(known, view)) return known;
    await this.#store.declare(storedViewOf(view));
    this.#views.set(view.name, view);
    this.#store.changed();
    if (builtIn !== undefined && replaced !== undefined) await this.#forget(replaced);
    return view;
  }

  /** Forgets a view that the catalog does not have any more. */
  async #remove(view: View | undefined): Promise<void> {
    if (view === undefined) return;
    this.#views.delete(view.name);
    await this.#forget(view);
  }

  /** Makes the lanes forget a view that is gone; where they do not answer, the next refresh asks them again. */
  async #forget(view: View): Promise<void> {
    this.#leaving.add(view);
    await this.#store.forget(storedViewOf(view));
    this.#leaving.delete(view);
    this.#store.changed();
  }

  /** The slot of the view in L1. @throws HeadraceError `too-many-views` when others made more than this server has room for. */
  #freeSlot(): number {
    const taken = new Set([...this.#views.values(), ...this.#leaving].map(view => view.slot));
    let slot = 0;
    while (taken.has(slot)) slot++;
    if (slot < slotsOf(this.#store.viewsMax, this.#builtIn.size)) return slot;
    throw new HeadraceError('too-many-views', `there are more than ${slot} views (HEADRACE_VIEWS_MAX)`);
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changed.then(change);
    this.#changed = result.catch(() => undefined);
    return result;
  }
}

/** Places in L1 that so many views need: one more where a built-in one may be made anew beside itself. */
export function slotsOf(viewsMax: number, builtIn: number): number {
  return viewsMax + builtIn + (builtIn > 0 ? 1 : 0);
}

function isBuiltIn(name: string): boolean {
  return name.startsWith(BUILT_IN);
}

function isSame(a: View, b: View): boolean {
  return JSON.stringify(catalogedViewOf(a)) === JSON.stringify(catalogedViewOf(b));
}
