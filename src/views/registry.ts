/**
 * The views that the front thread knows, by name, and the only place that changes them here. A change is durable in the
 * catalog and known to every lane before it is visible; changes happen one after the other.
 *
 * Other servers may share the catalog. What stands there is what counts: a change that another server was faster with
 * is made again upon what stands now, and `refresh` takes over what others have changed.
 */
import { HeadraceError } from '../base/errors.js';
import type { Standing } from '../base/view-catalog.js';
import {
  type CatalogedView,
  catalogedViewOf,
  type Declaration,
  redeclare,
  type StoredView,
  storedViewOf,
  type View,
  type ViewDefinition,
  viewOf,
} from './schema.js';

export interface ViewStore {
  readonly viewsMax: number;
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

export class ViewRegistry {
  readonly #views = new Map<string, View>();
  /** Gone, but some lane may still put records of theirs into the table: their slots are not free. */
  readonly #leaving = new Set<View>();
  readonly #store: ViewStore;
  /** Above every uid that was ever met. */
  #uidMin = 1;
  /** The end of the change under way. */
  #changed: Promise<unknown> = Promise.resolve();

  /** Empty; `refresh` fills it. */
  constructor(store: ViewStore) {
    this.#store = store;
  }

  get(name: string): View | undefined {
    return this.#views.get(name);
  }

  list(): View[] {
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
      const view = this.#views.get(name);
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

  /** Takes over what the catalog has now. @throws HeadraceError what the store throws; nothing is changed then. */
  refresh(): Promise<void> {
    return this.#inTurn(async () => {
      const cataloged = await this.#store.catalogedViews();
      const { viewsMax } = this.#store;
      if (cataloged.length > viewsMax) {
        const needed = `the views that there are need ${cataloged.length}`;
        throw new HeadraceError('too-many-views', `HEADRACE_VIEWS_MAX is ${viewsMax}, ${needed}`);
      }
      const uids = new Set(cataloged.map(({ uid }) => uid));
      for (const view of this.list()) if (!uids.has(view.uid)) await this.#remove(view);
      for (const view of this.#leaving) await this.#forget(view);
      for (const view of cataloged) await this.#take(view);
    });
  }

  #create(name: string, definition: ViewDefinition): Promise<Standing<CatalogedView>> {
    const { viewsMax } = this.#store;
    if (this.#views.size >= viewsMax) {
      throw new HeadraceError('too-many-views', `there are ${viewsMax} views already (HEADRACE_VIEWS_MAX)`);
    }
    const { entity, ttlMs, l1Bytes, eviction } = definition;
    const features = [...definition.features];
    return this.#store.createView(
      { name, schema: 1, entity, ttlMs, features, l1Bytes, eviction },
      this.#uidMin,
    );
  }

  /** Makes a view of the catalog known and visible. */
  async #take(cataloged: CatalogedView): Promise<View> {
    this.#uidMin = Math.max(this.#uidMin, cataloged.uid + 1);
    let known = this.#views.get(cataloged.name);
    if (known !== undefined && known.uid !== cataloged.uid) {
      await this.#remove(known);
      known = undefined;
    }
    const view = viewOf({ ...cataloged, slot: known?.slot ?? this.#freeSlot() });
    if (known !== undefined && isSame(known, view)) return known;
    await this.#store.declare(storedViewOf(view));
    this.#views.set(view.name, view);
    this.#store.changed();
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
    if (slot < this.#store.viewsMax) return slot;
    throw new HeadraceError('too-many-views', `there are more than ${slot} views (HEADRACE_VIEWS_MAX)`);
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changed.then(change);
    this.#changed = result.catch(() => undefined);
    return result;
  }
}

function isSame(a: View, b: View): boolean {
  return JSON.stringify(catalogedViewOf(a)) === JSON.stringify(catalogedViewOf(b));
}
