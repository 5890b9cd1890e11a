/**
 * The catalog of views in MongoDB, shared by all instances: a numbered list of changes.
 *
 * A change is a document whose `_id` is the number after the last one's. Two instances that change the catalog at once
 * insert the same number, the server takes one, and the other looks at what the first did before it tries again with the
 * next: every change is decided with all changes before it known. That an `_id` is there once is all it needs of the
 * server; counters that are raised in place lose updates in FerretDB 1.x, which raises them in two steps.
 *
 *     { _id: 1, uid: 1, nextUid: 2, kind: 'past' }
 *     { _id: 2, uid: 1, nextUid: 2, kind: 'live', name: 'product', view: '{"name":"product",…}' }
 *     { _id: 3, uid: 2, nextUid: 3, kind: 'dropped' }
 *     { _id: 4, uid: 3, nextUid: 4, kind: 'erased' }
 *
 * The last change of a uid is its state; those before it are marked as past. `nextUid` of the last change of all is
 * above every uid ever given.
 *
 * A change that is past, or erased, stays until NUMBERS_KEPT more were given, one after the other, each when a majority
 * had the one before. So its number is taken: whoever read the list long ago, and inserts the number that was free then,
 * loses. And whoever reads the list while it changes, in the order of the numbers, and meets the live change of a uid,
 * meets the one that ended it too.
 *
 * What is read has reached a majority, so that no change is built upon one that a new primary does not have.
 *
 * Other instances learn of changes by asking for the last number once in a while. Change streams would tell them sooner,
 * but need a replica set.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { Collection } from 'mongodb';
import { HeadraceError } from '../base/errors.js';
import {
  type CatalogLimits,
  follows,
  isBuiltIn,
  type Standing,
  tooManyViews,
  type ViewCatalogStore,
  viewsMaxOf,
} from '../base/view-catalog.js';
import type { CatalogedView } from '../views/schema.js';
import { hasMongoCode, type MongoConnection, mongoUnavailable } from './mongo-connection.js';

export const CATALOG_POLL_MS = 1_000;
/** More than this many lost races in a row, and the change fails. */
const ATTEMPTS_MAX = 100;
/** After a lost race: time for the change that won it to reach a majority, and for others to come first. */
const RETRY_MS_MAX = 50;
const NUMBERS_KEPT = 10_000;

/** What is to happen to a view. */
interface Step {
  readonly uid: number;
  /** `dropped`: there may still be records. `erased`: there are none. */
  readonly kind: 'live' | 'dropped' | 'erased';
  readonly name?: string;
  /** JSON: the names of features may hold what names of fields may not. */
  readonly view?: string;
}

/** A step that has its place in the list. */
interface Change extends Step {
  readonly _id: number;
  readonly nextUid: number;
}

type LiveChange = Change & { readonly name: string; readonly view: string };
type ListedChange = Omit<Change, 'kind'> & { readonly kind: Change['kind'] | 'past' };

/** What to answer, and the step there is to take first. */
interface Decision<T> {
  readonly answer: T;
  readonly step?: Step;
}

export interface CatalogWatch {
  readonly intervalMs?: number;
  /** There are changes, by any instance, this one too, since `views` last resolved. Called again until it has. */
  readonly onChange: () => void;
  /** A question failed; it is asked again after the interval. */
  readonly onError?: (error: HeadraceError) => void;
}

export class MongoCatalog implements ViewCatalogStore<CatalogedView> {
  readonly #connection: MongoConnection;
  readonly #changes: Collection<ListedChange>;
  readonly #limits: CatalogLimits;
  /** The number of the last change when the views were last read. */
  #lastRead = 0;

  constructor(connection: MongoConnection, limits: CatalogLimits) {
    const options = { readPreference: 'primary', readConcern: { level: 'majority' } } as const;
    this.#connection = connection;
    this.#changes = connection.database.collection<ListedChange>('catalog', options);
    this.#limits = limits;
  }

  async views(): Promise<CatalogedView[]> {
    const changes = await asked('say which views there are', this.#list());
    this.#lastRead = changes.at(-1)?._id ?? 0;
    return liveOf(changes)
      .map(viewFrom)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Resolves when durable, as the other changes do. */
  create(draft: Omit<CatalogedView, 'uid'>, uidMin: number): Promise<Standing<CatalogedView>> {
    return this.#change<Standing<CatalogedView>>('make a view', changes => {
      const live = liveOf(changes);
      const held = live.find(({ name }) => name === draft.name);
      if (held !== undefined) return { answer: { view: viewFrom(held), won: false } };
      const alike = live.filter(({ name }) => isBuiltIn(name) === isBuiltIn(draft.name));
      if (alike.length >= viewsMaxOf(draft.name, this.#limits)) throw tooManyViews(draft.name, this.#limits);
      const view = { ...draft, uid: Math.max(nextUidOf(changes), uidMin) };
      return { answer: { view, won: true }, step: liveStep(view) };
    });
  }

  put(view: CatalogedView): Promise<Standing<CatalogedView> | undefined> {
    return this.#change<Standing<CatalogedView> | undefined>('store a view', changes => {
      const change = liveOf(changes).find(({ uid, name }) => uid === view.uid && name === view.name);
      if (change === undefined) return { answer: undefined };
      const held = viewFrom(change);
      if (!follows(view, held)) return { answer: { view: held, won: false } };
      const answer = { view, won: true };
      const step = liveStep(view);
      return step.view === change.view ? { answer } : { answer, step };
    });
  }

  drop({ name, uid }: Pick<CatalogedView, 'name' | 'uid'>): Promise<void> {
    return this.#change('drop a view', changes => {
      const isHeld = liveOf(changes).some(change => change.uid === uid && change.name === name);
      return { answer: undefined, ...(isHeld ? { step: { uid, kind: 'dropped' } } : {}) };
    });
  }

  async dropped(): Promise<number[]> {
    return droppedOf(await asked('say which views were dropped', this.#list()));
  }

  erased(viewUid: number): Promise<void> {
    return this.#change('forget a view', changes => {
      const isDropped = droppedOf(changes).includes(viewUid);
      return { answer: undefined, ...(isDropped ? { step: { uid: viewUid, kind: 'erased' } } : {}) };
    });
  }

  /** Tells of changes until the returned function is called. */
  watch({ intervalMs = CATALOG_POLL_MS, onChange, onError }: CatalogWatch): () => void {
    let timer: NodeJS.Timeout | undefined;
    let stopped = false;
    const ask = async (): Promise<void> => {
      try {
        const last = await this.#lastNumber();
        // It may be smaller: the catalog was lost, or a new primary does not know yet what a majority has.
        if (last !== this.#lastRead && !stopped) onChange();
      } catch (error) {
        if (!stopped) onError?.(mongoUnavailable(error, 'say what changed'));
      }
      if (!stopped) timer = setTimeout(ask, intervalMs).unref();
    };
    timer = setTimeout(ask, intervalMs).unref();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }

  /** Takes the step that `decide` makes of what is held, and gives its answer. */
  async #change<T>(doing: string, decide: (changes: readonly Change[]) => Decision<T>): Promise<T> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const changes = await asked(doing, this.#list());
      const { answer, step } = decide(changes);
      if (step === undefined) return answer;
      const nextUid = Math.max(nextUidOf(changes), step.uid + 1);
      const change: Change = { _id: (changes.at(-1)?._id ?? 0) + 1, nextUid, ...step };
      if (await asked(doing, this.#add(change))) {
        // What is left standing here is past all the same, and the next change sees to it.
        await this.#tidy([...changes, change], change._id).catch(() => undefined);
        return answer;
      }
      await wait(Math.random() * Math.min(2 ** attempt, RETRY_MS_MAX));
    }
    throw new HeadraceError(
      'unavailable',
      `MongoDB did not ${doing}: other instances won ${ATTEMPTS_MAX} races`,
    );
  }

  /** False: another instance has added a change with this number. */
  async #add(change: Change): Promise<boolean> {
    try {
      await this.#changes.insertOne(change);
      return true;
    } catch (error) {
      if (hasMongoCode(error, 'duplicateKey')) return false;
      throw error;
    }
  }

  async #tidy(changes: readonly Change[], lastNumber: number): Promise<void> {
    const keptFrom = lastNumber - NUMBERS_KEPT;
    const last = lastByUid(changes);
    const first = lastByUid([...changes].reverse());
    const isPast = (change: Change): boolean =>
      last.get(change.uid) !== change ||
      // Not before all else of its uid is: the last that is left is its state.
      (change.kind === 'erased' && change._id < keptFrom && first.get(change.uid) === change);
    const past = changes.filter(isPast).map(({ _id }) => _id);
    if (past.length > 0) {
      const mark = { $set: { kind: 'past' }, $unset: { name: '', view: '' } } as const;
      await this.#changes.updateMany({ _id: { $in: past } }, mark);
    }
    await this.#changes.deleteMany({ _id: { $lt: keptFrom }, kind: 'past' });
  }

  /** All that is not marked as past, by number. */
  async #list(): Promise<Change[]> {
    await this.#connection.connect();
    const changes = await this.#changes
      .find({ kind: { $ne: 'past' } })
      .sort({ _id: 1 })
      .toArray();
    return changes as Change[];
  }

  async #lastNumber(): Promise<number> {
    await this.#connection.connect();
    const [last] = await this.#changes
      .find({}, { projection: { _id: 1 } })
      .sort({ _id: -1 })
      .limit(1)
      .toArray();
    return last?._id ?? 0;
  }
}

function lastByUid(changes: readonly Change[]): ReadonlyMap<number, Change> {
  return new Map(changes.map(change => [change.uid, change]));
}

function liveOf(changes: readonly Change[]): LiveChange[] {
  return [...lastByUid(changes).values()].filter(
    (change): change is LiveChange =>
      change.kind === 'live' && change.name !== undefined && change.view !== undefined,
  );
}

function droppedOf(changes: readonly Change[]): number[] {
  return [...lastByUid(changes).values()].flatMap(({ kind, uid }) => (kind === 'dropped' ? [uid] : []));
}

function nextUidOf(changes: readonly Change[]): number {
  return changes.at(-1)?.nextUid ?? 1;
}

function liveStep(view: CatalogedView): Step {
  return { uid: view.uid, kind: 'live', name: view.name, view: JSON.stringify(view) };
}

function viewFrom({ name, view: text }: LiveChange): CatalogedView {
  try {
    const view = JSON.parse(text) as CatalogedView;
    // JSON leaves out what is undefined; the type does not.
    return { ...view, l1Bytes: view.l1Bytes };
  } catch {
    throw new HeadraceError(
      'unavailable',
      `MongoDB: the catalog of views has an entry for ${name} that cannot be read: ${text.slice(0, 100)}`,
    );
  }
}

async function asked<T>(doing: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw mongoUnavailable(error, doing);
  }
}
