/** Selections of features, kept: frontends ask for the same features again and again. */
import { HeadraceError } from '../base/errors.js';
import type { Feature, View } from '../views/schema.js';
import { type Selection, selectFeatures, selectionOf } from '../views/selection.js';
import { readQuery } from './query.js';

const KEPT_MAX = 64;

export class Selections {
  readonly #kept = new Map<View, Map<string, Selection>>();
  /** The last one of all features: mostly the next one too. */
  #whole: Selection | undefined;
  #wholeOf: View | undefined;

  /**
   * The selection that a record's query asks for, `features=a,b`; all features when it is empty.
   * @throws HeadraceError `bad-query`.
   */
  forQuery(view: View, query: string): Selection {
    if (query !== '')
      return this.#find(view, query, () => selectFeatures(view, featuresOf(query), 'bad-query'));
    if (this.#whole === undefined || this.#wholeOf !== view) {
      this.#whole = this.#find(view, '', () => selectFeatures(view, undefined, 'bad-query'));
      this.#wholeOf = view;
    }
    return this.#whole;
  }

  /** The selection of these features in this order; one may come twice. */
  forFeatures(view: View, features: readonly Feature[]): Selection {
    // A lookup may ask for no feature at all, which is not to be mistaken for all of them.
    const key = features === view.columns ? 'all' : features.map(feature => feature.position).join();
    return this.#find(view, key, () => selectionOf(view, features));
  }

  #find(view: View, key: string, make: () => Selection): Selection {
    let kept = this.#kept.get(view);
    const found = kept?.get(key);
    if (found !== undefined) return found;
    if (kept === undefined) {
      // Views change rarely; those that were replaced go with the oldest.
      if (this.#kept.size >= KEPT_MAX) this.#kept.clear();
      kept = new Map();
      this.#kept.set(view, kept);
    }
    const selection = make();
    if (kept.size >= KEPT_MAX) kept.clear();
    kept.set(key, selection);
    return selection;
  }
}

function featuresOf(query: string): string[] | undefined {
  const { features } = readQuery(query, ['features']);
  if (features === '') throw new HeadraceError('bad-query', "the parameter 'features' is empty");
  return features?.split(',');
}
