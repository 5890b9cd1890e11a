/**
 * The catalog of views of a store that others share, remembered on local disk, so that a server starts while that store is
 * away: with the views it knew when it last read or changed them. Changes are the store's to make, and fail without it.
 */
import type { Standing, ViewCatalogStore } from '../base/view-catalog.js';
import type { CatalogedView } from '../views/schema.js';
import type { DiskGuard } from './disk-guard.js';
import type { LmdbEnvironment } from './lmdb-environment.js';

const REMEMBERED = 'remembered';

/** More than the pages that one change makes dirty. */
const CHANGE_BYTES = 1 << 20;

export interface RememberedCatalogOptions {
  readonly environment: LmdbEnvironment;
  readonly guard: DiskGuard;
  /** Told why the store could not be read when what is remembered was given instead. */
  readonly onRemembered: (reason: unknown) => void;
}

export class RememberedCatalog implements ViewCatalogStore<CatalogedView> {
  readonly #store: ViewCatalogStore<CatalogedView>;
  readonly #options: RememberedCatalogOptions;
  #wasRead = false;

  constructor(store: ViewCatalogStore<CatalogedView>, options: RememberedCatalogOptions) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * What is remembered is for the start: after it, the caller has no older views, and must learn that it is to ask again.
   * @throws HeadraceError when the store cannot be read, and was read before or nothing is remembered.
   */
  async views(): Promise<CatalogedView[]> {
    let views: CatalogedView[];
    try {
      views = await this.#store.views();
    } catch (error) {
      const { environment, onRemembered } = this.#options;
      const text = environment.catalog.get(REMEMBERED);
      if (this.#wasRead || text === undefined) throw error;
      onRemembered(error);
      return (JSON.parse(text) as CatalogedView[]).map(view => ({ ...view, l1Bytes: view.l1Bytes }));
    }
    this.#wasRead = true;
    await this.#remember(views);
    return views;
  }

  create(draft: Omit<CatalogedView, 'uid'>, uidMin: number): Promise<Standing<CatalogedView>> {
    return this.#changed(this.#store.create(draft, uidMin));
  }

  put(view: CatalogedView): Promise<Standing<CatalogedView> | undefined> {
    return this.#changed(this.#store.put(view));
  }

  drop(view: Pick<CatalogedView, 'name' | 'uid'>): Promise<void> {
    return this.#changed(this.#store.drop(view));
  }

  dropped(): Promise<number[]> {
    return this.#store.dropped();
  }

  erased(viewUid: number): Promise<void> {
    return this.#store.erased(viewUid);
  }

  /** What is remembered must not be older than what this server has been told. */
  async #changed<T>(change: Promise<T>): Promise<T> {
    const answer = await change;
    const views = await this.#store.views().catch(() => undefined);
    await this.#remember(views);
    return answer;
  }

  /** A full disk is no reason not to serve: it stays as it is then. */
  async #remember(views: readonly CatalogedView[] | undefined): Promise<void> {
    const { environment, guard } = this.#options;
    const text = views === undefined ? undefined : JSON.stringify(views);
    if (environment.catalog.get(REMEMBERED) === text) return;
    try {
      guard.checkReserve(CHANGE_BYTES);
      if (text === undefined) await environment.catalog.remove(REMEMBERED);
      else await environment.catalog.put(REMEMBERED, text);
    } catch {
      // It is only of use at the next start, and tried again with the next change.
    }
  }
}
