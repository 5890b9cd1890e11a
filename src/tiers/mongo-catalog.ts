/**
 * The catalog of views in MongoDB, shared by all instances: a numbered list of changes.
 *
 * A change is a document whose `_id` is the number after the last one's. Two instances that change the catalog at once
 * insert the same number, the server takes one, and the other looks at what the first did before it tries again with the
 * next: every change is decided with all changes before it known. That an `_id` is there once is all it needs of the
 * server; counters that are raised in place lose updates in FerretDB 1.x, which raises them in two steps.
 *
 *     { _id: 1, uid: 1, kind: 'claimed' }
 *     { _id: 2, uid: 1, kind: 'live', name: 'product', view: '{"name":"product",…}' }
 *     { _id: 3, uid: 1, kind: 'dropped', name: 'product' }
 *     { _id: 4, uid: 1, kind: 'erased' }
 *
 * A view's uid is the number under which it was claimed, so none is given twice. The last change of a uid is its state;
 * earlier ones of it are removed, and of an erased one all. The last change of all stays, so that numbers only grow.
 *
 * Other instances learn of changes by asking for the last number once in a while. Change streams would tell them sooner,
 * but need a replica set.
 */
import type { Collection } from 'mongodb';
import { HeadraceError } from '../base/errors.js';
import type { StoredView } from '../views/schema.js';
import { hasMongoCode, type MongoConnection, mongoUnavailable } from './mongo-connection.js';

export const CATALOG_POLL_MS = 1_000;
/** More than this many lost races in a row, and the change fails. */
const ATTEMPTS_MAX = 100;

interface Change {
  readonly _id: number;
  readonly uid: number;
  /** `claimed`: a uid that is nobody else's. `dropped`: there may still be records. `erased`: there are none. */
  readonly kind: 'claimed' | 'live' | 'dropped' | 'erased';
  readonly name?: string;
  /** JSON: the names of features may hold what names of fields may not. */
  readonly view?: string;
}

export interface CatalogWatch {
  readonly intervalMs?: number;
  /** Called after each change by any instance, this one too, since the catalog was last read or told of. */
  readonly onChange: (views: readonly StoredView[]) => void;
  /** A question failed; it is asked again after the interval. */
  readonly onError?: (error: HeadraceError) => void;
}

export class MongoCatalog {
  readonly #connection: MongoConnection;
  readonly #changes: Collection<Change>;
  /** By uid, the number of the last change of the view that this instance knows: what its own changes are based on. */
  readonly #known = new Map<number, number>();
  #told = 0;

  constructor(connection: MongoConnection) {
    this.#connection = connection;
    this.#changes = connection.database.collection<Change>('catalog', { readPreference: 'primary' });
  }

  /** @throws HeadraceError `unavailable`, as everything here does. */
  async views(): Promise<StoredView[]> {
    const changes = await asked('say which views there are', this.#lastOfEach());
    this.#told = Math.max(this.#told, lastNumber(changes));
    return changes.filter(isLive).map(change => {
      this.#known.set(change.uid, change._id);
      return storedViewFrom(change.view);
    });
  }

  /** The uid a new view gets. It was never given before, to any instance, and will not be again. */
  async nextUid(): Promise<number> {
    let uid = 0;
    await this.#change('claim a uid', (_, next) => {
      uid = next;
      return { _id: next, uid, kind: 'claimed' };
    });
    return uid;
  }

  /**
   * Adds the view, whose uid `nextUid` gave, or puts it in the place of the one of its name. Resolves when durable.
   * @throws HeadraceError `view-conflict` when another instance has declared, changed or dropped it meanwhile: read the
   *   views again and declare it on top of what they are now.
   */
  async put(view: StoredView): Promise<void> {
    const { name, uid } = view;
    const text = JSON.stringify(view);
    let number = 0;
    await this.#change('store a view', (changes, next) => {
      const live = changes.filter(isLive).find(change => change.name === name);
      if (live?.uid === uid && live.view === text) {
        number = live._id;
        return undefined;
      }
      const isNew =
        live === undefined && changes.some(change => change.uid === uid && change.kind === 'claimed');
      const isBasedOnLast = live?.uid === uid && live._id === this.#known.get(uid);
      if (!isNew && !isBasedOnLast) throw conflict(name);
      number = next;
      return { _id: next, uid, kind: 'live', name, view: text };
    });
    this.#known.set(uid, number);
  }

  /** Removes the view if it is still the one with this uid. Resolves when durable. */
  async drop({ name, uid }: Pick<StoredView, 'name' | 'uid'>): Promise<void> {
    await this.#change('drop a view', (changes, next) =>
      changes.some(change => isLive(change) && change.uid === uid && change.name === name)
        ? { _id: next, uid, kind: 'dropped', name }
        : undefined,
    );
    this.#known.delete(uid);
  }

  /** Uids of views that are dropped and may still have records. */
  async dropped(): Promise<number[]> {
    const changes = await asked('say which views were dropped', this.#lastOfEach());
    return changes.filter(({ kind }) => kind === 'dropped').map(({ uid }) => uid);
  }

  /** The records of a dropped view are gone. */
  async erased(viewUid: number): Promise<void> {
    await this.#change('forget a view', (changes, next) =>
      changes.some(({ uid, kind }) => uid === viewUid && kind === 'dropped')
        ? { _id: next, uid: viewUid, kind: 'erased' }
        : undefined,
    );
  }

  /** Tells of changes until the returned function is called. */
  watch({ intervalMs = CATALOG_POLL_MS, onChange, onError }: CatalogWatch): () => void {
    let timer: NodeJS.Timeout | undefined;
    let stopped = false;
    const ask = async (): Promise<void> => {
      try {
        const last = await asked('say what changed', this.#lastNumber());
        if (last > this.#told && !stopped) {
          const views = await this.views();
          if (!stopped) onChange(views);
        }
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

  /** Adds the change that `decide` makes of the state and the next number; `undefined`: there is nothing to change. */
  async #change(
    doing: string,
    decide: (changes: readonly Change[], next: number) => Change | undefined,
  ): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const changes = await asked(doing, this.#lastOfEach());
      const change = decide(changes, lastNumber(changes) + 1);
      if (change === undefined || (await asked(doing, this.#add(change)))) return;
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
    } catch (error) {
      if (hasMongoCode(error, 'duplicateKey')) return false;
      throw error;
    }
    const { _id, uid } = change;
    await this.#changes.deleteMany({ _id: { $lt: _id }, $or: [{ uid }, { kind: 'erased' }] });
    return true;
  }

  /** The last change of each uid, by number. */
  async #lastOfEach(): Promise<Change[]> {
    await this.#connection.connect();
    const changes = await this.#changes.find().sort({ _id: 1 }).toArray();
    const last = new Map(changes.map(change => [change.uid, change._id]));
    return changes.filter(({ uid, _id }) => last.get(uid) === _id);
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

function isLive(change: Change): change is Change & { readonly view: string } {
  return change.kind === 'live' && change.view !== undefined;
}

function lastNumber(changes: readonly Change[]): number {
  return changes.at(-1)?._id ?? 0;
}

function conflict(name: string): HeadraceError {
  return new HeadraceError(
    'view-conflict',
    `another instance has changed the view ${name} at the same time: try again`,
  );
}

async function asked<T>(doing: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw mongoUnavailable(error, doing);
  }
}

function storedViewFrom(text: string): StoredView {
  const view = JSON.parse(text) as StoredView;
  // JSON leaves out what is undefined; the type does not.
  return { ...view, l1Bytes: view.l1Bytes };
}
