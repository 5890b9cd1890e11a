/** The feature store and the named caches in the process itself: the server without HTTP. */
import type { EventOutcome } from '../caches/events/event-outcome.js';
import type { HeadraceEvent } from '../client/events.js';
import type { Features } from '../client/feature-types.js';
import type { ViewDefinition, ViewInfo } from '../client/view-client.js';
import { viewJson } from '../views/view-json.js';
import { StoreCache } from './store-cache.js';
import { takeEvents } from './store-events.js';
import type { StoreParts } from './store-parts.js';
import { StoreView } from './store-view.js';
import type { StoreHandle } from './thread-messages.js';

export interface StoreThread {
  handle(): StoreHandle;
  close(): Promise<void>;
}

export class Store {
  readonly #parts: StoreParts;
  readonly #thread: StoreThread;

  constructor(parts: StoreParts, thread: StoreThread) {
    this.#parts = parts;
    this.#thread = thread;
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

  /** Invalidates what the configuration file says of the events; when one is wrong, of none. Resolves to what each rule did. */
  event(events: HeadraceEvent | readonly HeadraceEvent[]): Promise<readonly EventOutcome[]> {
    return takeEvents(this.#parts, events);
  }

  /**
   * With which one other thread of this process joins: `new Worker(file, { workerData: handle, transferList:
   * [handle.port] })`, and there `open({ join: workerData })`.
   * @throws HeadraceError `overloaded` when as many have joined as may, `bad-request` in a thread that has joined.
   */
  handle(): StoreHandle {
    return this.#thread.handle();
  }

  /** Answers what is under way, saves what is hot, and ends all lanes; in a thread that joined, leaves the store. */
  close(): Promise<void> {
    return this.#thread.close();
  }
}
