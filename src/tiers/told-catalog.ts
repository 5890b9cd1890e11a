/**
 * The catalog of views of a store that tells nobody of changes, where there is something beside it that does: each change
 * is told there once it is durable. Others that do not hear of it find it when they look again.
 */
import type { Standing, ViewCatalogStore } from '../base/view-catalog.js';
import type { CatalogedView } from '../views/schema.js';

export class ToldCatalog implements ViewCatalogStore<CatalogedView> {
  readonly #store: ViewCatalogStore<CatalogedView>;
  readonly #tell: () => Promise<unknown>;

  constructor(store: ViewCatalogStore<CatalogedView>, tell: () => Promise<unknown>) {
    this.#store = store;
    this.#tell = tell;
  }

  views(): Promise<CatalogedView[]> {
    return this.#store.views();
  }

  create(draft: Omit<CatalogedView, 'uid'>, uidMin: number): Promise<Standing<CatalogedView>> {
    return this.#told(this.#store.create(draft, uidMin));
  }

  put(view: CatalogedView): Promise<Standing<CatalogedView> | undefined> {
    return this.#told(this.#store.put(view));
  }

  drop(view: Pick<CatalogedView, 'name' | 'uid'>): Promise<void> {
    return this.#told(this.#store.drop(view));
  }

  dropped(): Promise<number[]> {
    return this.#store.dropped();
  }

  erased(viewUid: number): Promise<void> {
    return this.#store.erased(viewUid);
  }

  async #told<T>(change: Promise<T>): Promise<T> {
    const answer = await change;
    this.#tell().catch(() => undefined);
    return answer;
  }
}
