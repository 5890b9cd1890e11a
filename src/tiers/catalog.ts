/**
 * The catalog of views on local disk, beside the records, in embedded mode. Written by lane 0 alone, through one
 * `Catalog`: changes that are asked for at once happen one after the other, as each is decided by what is held, and what
 * is written can be read once it is committed.
 *
 * A dropped view leaves a note with its uid until its records are gone from the disk, so that a restart goes on
 * removing them. The next uid is kept too: a uid is never used again.
 */
import { follows, type Standing, type ViewCatalogStore } from '../base/view-catalog.js';
import type { CatalogedView } from '../views/schema.js';
import type { DiskGuard } from './disk-guard.js';
import type { LmdbEnvironment } from './lmdb-environment.js';

const VIEW = 'view/';
const DROPPED = 'dropped/';
const NEXT_UID = 'next-uid';
/** Behind every ASCII text. */
const END = '\u{10ffff}';
/** More than the pages that one change makes dirty. */
const CHANGE_BYTES = 1 << 20;

export class Catalog implements ViewCatalogStore<CatalogedView> {
  readonly #environment: LmdbEnvironment;
  readonly #guard: DiskGuard | undefined;
  /** The end of the last change asked for. */
  #changed: Promise<unknown> = Promise.resolve();

  constructor(environment: LmdbEnvironment, guard?: DiskGuard) {
    this.#environment = environment;
    this.#guard = guard;
  }

  async views(): Promise<CatalogedView[]> {
    return this.#list(VIEW).map(({ value }) => viewFrom(value));
  }

  /** Resolves when durable. @throws HeadraceError `disk-full`, as the other changes do. */
  create(draft: Omit<CatalogedView, 'uid'>, uidMin: number): Promise<Standing<CatalogedView>> {
    return this.#inTurn(async () => {
      const held = this.#held(draft.name);
      if (held !== undefined) return { view: held, won: false };
      const view = { ...draft, uid: Math.max(this.#nextUid, uidMin) };
      await this.#write(view);
      return { view, won: true };
    });
  }

  put(view: CatalogedView): Promise<Standing<CatalogedView> | undefined> {
    return this.#inTurn(async () => {
      const held = this.#held(view.name);
      if (held === undefined || held.uid !== view.uid) return undefined;
      if (!follows(view, held)) return { view: held, won: false };
      await this.#write(view);
      return { view, won: true };
    });
  }

  drop({ name, uid }: Pick<CatalogedView, 'name' | 'uid'>): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#held(name)?.uid !== uid) return;
      const { catalog } = this.#environment;
      this.#guard?.checkReserve(CHANGE_BYTES);
      await catalog.batch(() => {
        catalog.put(DROPPED + uid, '');
        catalog.remove(VIEW + name);
      });
    });
  }

  async dropped(): Promise<number[]> {
    return this.#list(DROPPED).map(({ key }) => Number(key.slice(DROPPED.length)));
  }

  erased(viewUid: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#guard?.checkReserve(CHANGE_BYTES);
      await this.#environment.catalog.remove(DROPPED + viewUid);
    });
  }

  get #nextUid(): number {
    return Number(this.#environment.catalog.get(NEXT_UID) ?? 1);
  }

  #held(name: string): CatalogedView | undefined {
    const text = this.#environment.catalog.get(VIEW + name);
    return text === undefined ? undefined : viewFrom(text);
  }

  async #write(view: CatalogedView): Promise<void> {
    this.#guard?.checkReserve(CHANGE_BYTES);
    const { catalog } = this.#environment;
    const nextUid = Math.max(this.#nextUid, view.uid + 1);
    await catalog.batch(() => {
      catalog.put(NEXT_UID, String(nextUid));
      catalog.put(VIEW + view.name, JSON.stringify(view));
    });
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changed.then(change);
    this.#changed = result.catch(() => undefined);
    return result;
  }

  #list(prefix: string): { key: string; value: string }[] {
    return [...this.#environment.catalog.getRange({ start: prefix, end: prefix + END })];
  }
}

function viewFrom(text: string): CatalogedView {
  const view = JSON.parse(text) as CatalogedView;
  // JSON leaves out what is undefined; the type does not.
  return { ...view, l1Bytes: view.l1Bytes };
}
