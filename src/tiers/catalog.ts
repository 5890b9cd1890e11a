/**
 * The catalog of views on local disk, beside the records, in embedded mode. Written by lane 0 alone.
 *
 * A dropped view leaves a note with its uid until its records are gone from the disk, so that a restart goes on
 * removing them. The next uid is kept too: a uid is never used again.
 */
import type { Standing, ViewCatalogStore } from '../base/view-catalog.js';
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

  constructor(environment: LmdbEnvironment, guard?: DiskGuard) {
    this.#environment = environment;
    this.#guard = guard;
  }

  async views(): Promise<CatalogedView[]> {
    return this.#list(VIEW).map(({ value }) => viewFrom(value));
  }

  /** Resolves when durable. @throws HeadraceError `disk-full`, as the other changes do. */
  async create(draft: Omit<CatalogedView, 'uid'>, uidMin: number): Promise<Standing<CatalogedView>> {
    const held = this.#held(draft.name);
    if (held !== undefined) return { view: held, won: false };
    const view = { ...draft, uid: Math.max(this.#nextUid, uidMin) };
    await this.#write(view);
    return { view, won: true };
  }

  async put(view: CatalogedView): Promise<Standing<CatalogedView> | undefined> {
    const held = this.#held(view.name);
    if (held === undefined || held.uid !== view.uid) return undefined;
    if (!follows(view, held)) return { view: held, won: false };
    await this.#write(view);
    return { view, won: true };
  }

  async drop({ name, uid }: Pick<CatalogedView, 'name' | 'uid'>): Promise<void> {
    if (this.#held(name)?.uid !== uid) return;
    const { catalog } = this.#environment;
    this.#guard?.checkReserve(CHANGE_BYTES);
    await catalog.batch(() => {
      catalog.put(DROPPED + uid, '');
      catalog.remove(VIEW + name);
    });
  }

  async dropped(): Promise<number[]> {
    return this.#list(DROPPED).map(({ key }) => Number(key.slice(DROPPED.length)));
  }

  async erased(viewUid: number): Promise<void> {
    this.#guard?.checkReserve(CHANGE_BYTES);
    await this.#environment.catalog.remove(DROPPED + viewUid);
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

  #list(prefix: string): { key: string; value: string }[] {
    return [...this.#environment.catalog.getRange({ start: prefix, end: prefix + END })];
  }
}

function follows(view: CatalogedView, held: CatalogedView): boolean {
  if (view.schema === held.schema + 1) return true;
  return view.schema === held.schema && JSON.stringify(view.features) === JSON.stringify(held.features);
}

function viewFrom(text: string): CatalogedView {
  const view = JSON.parse(text) as CatalogedView;
  // JSON leaves out what is undefined; the type does not.
  return { ...view, l1Bytes: view.l1Bytes };
}
