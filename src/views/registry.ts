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
import { isBuiltIn, type Standing } from '../base/view-catalog.js';
import { FENCE_LIMITS, type Fence, fencesWith, type Selector } from './fence.js';
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
  /** Begins with `BUILT_IN_PREFIX`. */
  readonly name: string;
  readonly entity: string;
  readonly features: ReadonlyMap<string, FeatureType>;
  readonly l1Bytes: number | undefined;
  readonly eviction: EvictionPolicy;
}

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
  /** Views have come, gone or changed, visibly. */
  changed(): void;
  /** Every lane knows the view's fences, which are others than before, or it is new. */
  fenced(view: View): void;
}

/** Times that others may be faster with a change of the same view. */
const ROUNDS_MAX = 8;
/** Of a view's fences, which are no clients' to quarrel about. */
const FENCE_ROUNDS_MAX = 64;

/** Of records that do not say; what is written to a built-in view does. */
const BUILT_IN_TTL_MS = 3_600_000;
/** What the catalog says of their place in L1. */
const BUILT_IN_PLACE = { l1Bytes: undefined, eviction: 's3-fifo' } as const;

export class ViewRegistry {
  readonly #views = new Map<string, View>();
  /** Gone, but some lane may still put records of theirs into the table: their slots are not free. */
  readonly #leaving = new Set<View>();
  /** Visible, but some lane may not know it: all are told again. */
  readonly #untold = new WeakSet<View>();
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
   * Hides from every read what the selector means in a built-in view: here when this resolves, on other servers as soon
   * as they hear of it. Its entries are there until they are erased, and then the fence is to be retired.
   * @throws HeadraceError `overloaded` when too many fences are open, or what the store throws.
   */
  fence(name: string, selector: Selector): Promise<View> {
    return this.#amend(name, view => {
      const schema = view.schema + 1;
      if (schema > FENCE_LIMITS.schema)
        throw new HeadraceError('unavailable', `${name} has been invalidated ${view.schema} times: no more`);
      const fences = fencesWith(view.fences, selector, schema);
      if (fences !== undefined) return { schema, fences };
      throw new HeadraceError(
        'overloaded',
        `too many invalidations of ${name} are under way; try again later`,
      );
    });
  }

  /** Takes away the fences up to this number: nothing is left of what they hide. @throws HeadraceError what the store throws. */
  async retire(name: string, upTo: number): Promise<void> {
    await this.#amend(name, view => {
      const fences = view.fences.filter(({ schema }) => schema > upTo);
      return fences.length === view.fences.length ? undefined : { schema: view.schema, fences };
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
      for (const view of cataloged) await this.#take(await this.#caughtUp(view));
    });
  }

  /** Makes of a built-in view what `change` says, upon what stands. */
  #amend(name: string, change: (view: View) => Pick<View, 'schema' | 'fences'> | undefined): Promise<View> {
    return this.#inTurn(async () => {
      for (let round = 0; round < FENCE_ROUNDS_MAX; round++) {
        const view = this.builtIn(name);
        if (view === undefined) break;
        const changed = change(view);
        if (changed === undefined) return view;
        const standing = await this.#store.changeView({
          ...catalogedViewOf(view),
          ...BUILT_IN_PLACE,
          ...changed,
        });
        if (standing === undefined) await this.#remake(view);
        else {
          const taken = await this.#take(standing.won ? standing.view : await this.#caughtUp(standing.view));
          if (standing.won) return taken;
        }
      }
      throw new HeadraceError('unavailable', `the view ${name} cannot be changed now; try again`);
    });
  }

  /**
   * Where the store has gone back, to what a replica had, acknowledged fences of a built-in view are gone, and their
   * numbers would be given again. What they hid is not known any more: all of it is, up to numbers that nobody has met.
   */
  async #caughtUp(held: CatalogedView): Promise<CatalogedView> {
    const known = this.builtIn(held.name);
    if (known === undefined || known.uid !== held.uid) return held;
    let standing: Standing<CatalogedView> = { view: held, won: false };
    for (;;) {
      const { view, won } = standing;
      if (view.schema > known.schema || (view.schema === known.schema && !won)) return view;
      const schema = view.schema + 1;
      const fences = fencesWith([], { kind: 'all' }, schema) ?? [];
      const next = await this.#store.changeView({ ...view, schema, fences });
      if (next === undefined) return view;
      standing = next;
    }
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

  async #build({ name, entity, features }: BuiltInView): Promise<void> {
    const draft = { name, schema: 1, entity, ttlMs: BUILT_IN_TTL_MS, features: [...features] };
    const { view } = await this.#store.createView({ ...draft, ...BUILT_IN_PLACE }, this.#uidMin);
    await this.#take(view);
  }

  /** A built-in view that the catalog has lost begins anew: what it had is gone. */
  async #remake(view: View): Promise<void> {
    await this.#remove(view);
    const builtIn = this.#builtIn.get(view.name);
    if (builtIn !== undefined) await this.#build(builtIn);
  }

  /** Makes a view of the catalog known and visible. */
  async #take(held: CatalogedView): Promise<View> {
    const builtIn = this.#builtIn.get(held.name);
    const cataloged =
      builtIn === undefined ? held : { ...held, l1Bytes: builtIn.l1Bytes, eviction: builtIn.eviction };
    this.#uidMin = Math.max(this.#uidMin, cataloged.uid + 1);
    const known = this.#views.get(cataloged.name);
    if (known !== undefined && isSame(known, cataloged) && !this.#untold.has(known)) return known;
    const isKnown = known?.uid === cataloged.uid;
    if (!isKnown) await this.#remove(known);
    const view = viewOf({ ...cataloged, slot: isKnown ? known.slot : this.#freeSlot() });
    // What a new fence hides, this thread hides at once, also should a lane be slow to hear of it.
    if (isKnown && known.schema < view.schema && builtIn !== undefined) {
      this.#views.set(view.name, view);
      this.#untold.add(view);
    }
    await this.#store.declare(storedViewOf(view));
    this.#views.set(view.name, view);
    this.#untold.delete(view);
    if (builtIn === undefined || !isKnown) this.#store.changed();
    if (builtIn !== undefined) this.#store.fenced(view);
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

/** Places in L1 that so many views need. */
export function slotsOf(viewsMax: number, builtIn: number): number {
  return viewsMax + builtIn;
}

/** Of one uid and schema number, features are always the same. */
function isSame(known: View, cataloged: CatalogedView): boolean {
  return (
    known.uid === cataloged.uid &&
    known.schema === cataloged.schema &&
    known.entity === cataloged.entity &&
    known.ttlMs === cataloged.ttlMs &&
    known.l1Bytes === cataloged.l1Bytes &&
    known.eviction === cataloged.eviction &&
    areSame(known.fences, cataloged.fences ?? [])
  );
}

/** Within one schema number they are only retired. */
function areSame(known: readonly Fence[], cataloged: readonly Fence[]): boolean {
  return (
    known.length === cataloged.length &&
    known.every(({ schema }, place) => schema === cataloged[place]?.schema)
  );
}
