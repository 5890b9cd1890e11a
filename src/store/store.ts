/** The feature store and the named caches in the process itself: the server without HTTP. */
import type { Features } from '../client/feature-types.js';
import type { ViewDefinition, ViewInfo } from '../client/view-client.js';
import { viewJson } from '../views/view-json.js';
import { StoreCache } from './store-cache.js';
import type { StoreParts } from './store-parts.js';
import { StoreView } from './store-view.js';

export class Store {
  readonly #parts: StoreParts;
  readonly #close: () => Promise<void>;

  constructor(parts: StoreParts, close: () => Promise<void>) {
    this.#parts = parts;
    this.#close = close;
  }

  /** A view: typed, when its definition is given. It is declared by `declare`. */
  view<const F extends Features = Features>(name: string, definition?: ViewDefinition<F>): StoreView<F> {
    return new StoreView<F>(this.#parts, name, definition);
  }

  views(): ViewInfo[] {
    return this.#parts.views().map(view => JSON.parse(viewJson(view)) as ViewInfo);
  }

  /** A named cache. @throws HeadraceError `cache-not-found` */
  cache(name: string): StoreCache {
    return new StoreCache(this.#parts, name);
  }

  caches(): string[] {
    return this.#parts.definitions.map(({ name }) => name);
  }

  /** Answers what is under way, saves what is hot, and ends all threads. */
  close(): Promise<void> {
    return this.#close();
  }
}
