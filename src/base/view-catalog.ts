/**
 * The contract of a catalog of views: which views there are, each with a uid that no other view ever had. Several
 * servers may share one, so whoever changes it learns what stands, as another may have been first.
 */
import { HeadraceError } from './errors.js';

/** What the name of a built-in view begins with, and no client's view. */
export const BUILT_IN_PREFIX = '@';

export function isBuiltIn(name: string): boolean {
  return name.startsWith(BUILT_IN_PREFIX);
}

/** How many views a shared catalog may have: those of clients and built-in ones, each counted by themselves. */
export interface CatalogLimits {
  readonly viewsMax: number;
  readonly builtInMax: number;
}

/** Of those like this one. */
export function viewsMaxOf(name: string, { viewsMax, builtInMax }: CatalogLimits): number {
  return isBuiltIn(name) ? builtInMax : viewsMax;
}

export function tooManyViews(name: string, limits: CatalogLimits): HeadraceError {
  const max = viewsMaxOf(name, limits);
  const what = isBuiltIn(name)
    ? `the servers have ${max} caches already`
    : `there are ${max} views already (HEADRACE_VIEWS_MAX)`;
  return new HeadraceError('too-many-views', what);
}

/** What a catalog has to know of a view; it keeps the rest as it is given. */
export interface CatalogView {
  readonly name: string;
  /** From 1; tells views apart that had the same name one after the other. */
  readonly uid: number;
  /** Counts the changes of the features, and the fences. */
  readonly schema: number;
  readonly features: readonly unknown[];
  readonly fences?: readonly CatalogFence[];
}

export interface CatalogFence {
  readonly kind: string;
  readonly text: string;
  readonly schema: number;
}

/** The outcome of a change: what stands now, and whether it is what the caller wanted. */
export interface Standing<V> {
  readonly view: V;
  readonly won: boolean;
}

export interface ViewCatalogStore<V extends CatalogView> {
  /** By name. @throws HeadraceError `unavailable`, as everything here does. */
  views(): Promise<V[]>;

  /**
   * Makes a view under a uid of its own, at least `uidMin`, unless there is one of its name: then that one stands.
   * `uidMin` is above every uid that the caller has ever met, so that a catalog that was lost gives none of them again.
   * @throws HeadraceError `too-many-views` when a shared catalog has as many of this kind as it may.
   */
  create(draft: Omit<V, 'uid'>, uidMin: number): Promise<Standing<V>>;

  /**
   * Puts a changed view in the place of the one with its name and uid. Where it does not follow from what is held (see
   * `follows`), what is held stands; where nothing of its name and uid is held, `undefined`: it was dropped.
   */
  put(view: V): Promise<Standing<V> | undefined>;

  /** Removes the view if it is still the one with this uid, and notes that its records are to be erased. */
  drop(view: Pick<V, 'name' | 'uid'>): Promise<void>;

  /** Uids of views that are dropped and may still have records. */
  dropped(): Promise<number[]>;

  /** The records of a dropped view are gone. */
  erased(viewUid: number): Promise<void>;
}

/**
 * Whether a view may take the place of what is held: it has the next schema, or the same one with the same features and
 * no fences but those held. So of several changes that are made upon the same view, one comes through.
 */
export function follows(view: CatalogView, held: CatalogView): boolean {
  if (view.schema !== held.schema) return view.schema === held.schema + 1;
  const known = new Set(held.fences?.map(nameOfFence));
  const isNewer = view.fences?.some(fence => !known.has(nameOfFence(fence))) === true;
  return !isNewer && JSON.stringify(view.features) === JSON.stringify(held.features);
}

function nameOfFence({ kind, text, schema }: CatalogFence): string {
  return `${kind} ${schema} ${text}`;
}
