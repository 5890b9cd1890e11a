/**
 * The views that the front thread knows, by name, and the only place that changes them. A change is durable and known
 * to every lane before it is visible here; changes happen one after the other.
 */
import { HeadraceError } from '../base/errors.js';
import {
  type Declaration,
  redeclare,
  type StoredView,
  storedViewOf,
  type View,
  type ViewDefinition,
  viewOf,
} from './schema.js';

/** Makes a change durable and tells every lane. */
export interface ViewStore {
  readonly viewsMax: number;
  declare(view: StoredView): Promise<void>;
  drop(view: StoredView): Promise<void>;
  /** A number never given before. */
  nextUid(): number;
  /** A change is visible. */
  changed(): void;
}

export class ViewRegistry {
  readonly #views = new Map<string, View>();
  readonly #store: ViewStore;
  /** The end of the change under way. */
  #changed: Promise<unknown> = Promise.resolve();

  constructor(stored: readonly StoredView[], store: ViewStore) {
    for (const view of stored) this.#views.set(view.name, viewOf(view));
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
      const declared = this.#declared(name, definition);
      if (declared.outcome !== 'same') {
        await this.#store.declare(storedViewOf(declared.view));
        this.#views.set(name, declared.view);
        this.#store.changed();
      }
      return declared;
    });
  }

  /** @throws HeadraceError `view-not-found`, or what the store throws. */
  drop(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const view = this.#views.get(name);
      if (view === undefined) throw new HeadraceError('view-not-found', `there is no view ${name}`);
      this.#views.delete(name);
      try {
        await this.#store.drop(storedViewOf(view));
      } catch (error) {
        this.#views.set(name, view);
        throw error;
      }
      this.#store.changed();
    });
  }

  #declared(name: string, definition: ViewDefinition): { view: View; outcome: Declaration } {
    const existing = this.#views.get(name);
    if (existing !== undefined) return redeclare(existing, definition);
    if (this.#views.size >= this.#store.viewsMax) {
      throw new HeadraceError(
        'too-many-views',
        `there are ${this.#store.viewsMax} views already (HEADRACE_VIEWS_MAX)`,
      );
    }
    const { entity, ttlMs, l1Bytes, eviction } = definition;
    const [slot, uid] = [this.#freeSlot(), this.#store.nextUid()];
    const features = [...definition.features];
    const view = viewOf({ name, uid, slot, schema: 1, entity, ttlMs, features, l1Bytes, eviction });
    return { view, outcome: 'created' };
  }

  #freeSlot(): number {
    const taken = new Set(this.list().map(view => view.slot));
    let slot = 0;
    while (taken.has(slot)) slot++;
    return slot;
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changed.then(change);
    this.#changed = result.catch(() => undefined);
    return result;
  }
}
