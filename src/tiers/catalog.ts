/**
 * The catalog: which views there are, kept on disk beside the records. Written by lane 0 alone, read at start.
 *
 * A dropped view leaves a note with its uid until its records are gone from the disk, so that a restart goes on
 * removing them. The next uid is kept too: a uid is never used again.
 */
import type { StoredView } from '../views/schema.js';
import type { DiskGuard } from './disk-guard.js';
import type { LmdbEnvironment } from './lmdb-environment.js';

const VIEW = 'view/';
const DROPPED = 'dropped/';
const NEXT_UID = 'next-uid';
/** Behind every ASCII text. */
const END = '\u{10ffff}';
/** More than the pages that one change makes dirty. */
const CHANGE_BYTES = 1 << 20;

export class Catalog {
  readonly #environment: LmdbEnvironment;
  readonly #guard: DiskGuard | undefined;

  constructor(environment: LmdbEnvironment, guard?: DiskGuard) {
    this.#environment = environment;
    this.#guard = guard;
  }

  views(): StoredView[] {
    return this.#list(VIEW).map(({ value }) => storedViewFrom(value));
  }

  /** The uid a new view gets; from 1. */
  get nextUid(): number {
    return Number(this.#environment.catalog.get(NEXT_UID) ?? 1);
  }

  /** Uids of views that are dropped and may still have records on disk. */
  dropped(): number[] {
    return this.#list(DROPPED).map(({ key }) => Number(key.slice(DROPPED.length)));
  }

  /**
   * Adds the view or puts it in the place of the one of its name. Resolves when durable.
   * @throws HeadraceError `disk-full`, as the other changes do.
   */
  async put(view: StoredView): Promise<void> {
    this.#guard?.checkReserve(CHANGE_BYTES);
    const { catalog } = this.#environment;
    const nextUid = Math.max(this.nextUid, view.uid + 1);
    await catalog.batch(() => {
      catalog.put(NEXT_UID, String(nextUid));
      catalog.put(VIEW + view.name, JSON.stringify(view));
    });
  }

  /** Removes the view if it is still the one with this uid. Resolves when durable. */
  async drop(view: Pick<StoredView, 'name' | 'uid'>): Promise<void> {
    const { catalog } = this.#environment;
    const text = catalog.get(VIEW + view.name);
    if (text === undefined || storedViewFrom(text).uid !== view.uid) return;
    this.#guard?.checkReserve(CHANGE_BYTES);
    await catalog.batch(() => {
      catalog.put(DROPPED + view.uid, '');
      catalog.remove(VIEW + view.name);
    });
  }

  /** The records of a dropped view are gone. */
  async erased(viewUid: number): Promise<void> {
    this.#guard?.checkReserve(CHANGE_BYTES);
    await this.#environment.catalog.remove(DROPPED + viewUid);
  }

  #list(prefix: string): { key: string; value: string }[] {
    return [...this.#environment.catalog.getRange({ start: prefix, end: prefix + END })];
  }
}

function storedViewFrom(text: string): StoredView {
  const view = JSON.parse(text) as StoredView;
  // JSON leaves out what is undefined; the type does not.
  return { ...view, l1Bytes: view.l1Bytes };
}
