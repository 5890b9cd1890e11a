/**
 * The features that a request asks for, and all of their answer that can be made before the first record is read.
 */
import { HeadraceError, type ProblemCode } from '../base/errors.js';
import { type ColumnKind, type Feature, SCALAR_TYPES, type View } from './schema.js';

/** Immutable; made once for a request, or kept for all requests that ask for the same of the same view. */
export interface Selection {
  readonly view: View;
  /** In the order asked for. */
  readonly features: readonly Feature[];
  /** Places in `features`, by kind. */
  readonly byKind: Readonly<Record<ColumnKind, readonly number[]>>;
  /** Of each feature: its place in its kind's column, and its position in the view. */
  readonly indexes: Int32Array;
  readonly positions: Int32Array;
  /** Of the float32 features: the index of each, and the largest; -1 when there is none. */
  readonly float32Indexes: Int32Array;
  readonly float32IndexMax: number;
  /** Kinds that are asked for. */
  readonly kinds: readonly ColumnKind[];
  /** `{"view":"docs","id":` */
  readonly recordHead: Uint8Array;
  /** For each feature `"name":`, from the second on with a comma before it. */
  readonly recordNames: readonly Uint8Array[];
  /** `{"view":"docs","features":["a","b"],"ids":[` */
  readonly lookupHead: Uint8Array;
}

/**
 * The features of those names, in that order; without names all of the view's.
 * @throws HeadraceError with `code` that names each name which the view does not have, or which comes twice.
 */
export function selectFeatures(
  view: View,
  names?: readonly string[],
  code: ProblemCode = 'invalid-lookup',
): Selection {
  if (names === undefined) return wholeOf(view);
  const chosen = new Set<Feature>();
  const errors: { at: string; detail: string }[] = [];
  names.forEach((name, place) => {
    const feature = view.byName.get(name);
    const at = `features[${place}]`;
    if (feature === undefined) errors.push({ at, detail: `view ${view.name} has no feature ${name}` });
    else if (chosen.has(feature)) errors.push({ at, detail: `feature ${name} comes twice` });
    else chosen.add(feature);
  });
  if (errors.length > 0) {
    const detail = `${errors.length} of the features cannot be selected from view ${view.name}`;
    throw new HeadraceError(code, detail, errors.slice(0, ERRORS_MAX));
  }
  return selectionOf(view, [...chosen]);
}

const ERRORS_MAX = 100;
const COLUMN_KINDS: readonly ColumnKind[] = [...SCALAR_TYPES, 'embedding'];

const wholes = new WeakMap<View, Selection>();

function wholeOf(view: View): Selection {
  const known = wholes.get(view);
  if (known !== undefined) return known;
  const made = selectionOf(view, view.columns);
  wholes.set(view, made);
  return made;
}

/** These features in this order; in a lookup one may come twice. */
export function selectionOf(view: View, features: readonly Feature[]): Selection {
  const byKind: Record<ColumnKind, number[]> = {
    bool: [],
    int64: [],
    float32: [],
    float64: [],
    string: [],
    bytes: [],
    embedding: [],
  };
  features.forEach(({ kind }, place) => {
    byKind[kind].push(place);
  });
  const float32Indexes = Int32Array.from(byKind.float32, place => features[place]?.index ?? 0);
  const name = JSON.stringify(view.name);
  const names = JSON.stringify(features.map(feature => feature.name));
  return {
    view,
    features,
    byKind,
    indexes: Int32Array.from(features, feature => feature.index),
    positions: Int32Array.from(features, feature => feature.position),
    float32Indexes,
    float32IndexMax: float32Indexes.reduce((max, index) => Math.max(max, index), -1),
    kinds: COLUMN_KINDS.filter(kind => byKind[kind].length > 0),
    recordHead: Buffer.from(`{"view":${name},"id":`),
    recordNames: features.map((feature, place) =>
      Buffer.from(`${place === 0 ? '' : ','}${JSON.stringify(feature.name)}:`),
    ),
    lookupHead: Buffer.from(`{"view":${name},"features":${names},"ids":[`),
  };
}
