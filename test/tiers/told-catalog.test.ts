/** A catalog whose changes are told elsewhere: when, and what becomes of a change that cannot be. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import type { ViewCatalogStore } from '../../src/base/view-catalog.js';
import { ToldCatalog } from '../../src/tiers/told-catalog.js';
import type { CatalogedView } from '../../src/views/schema.js';
import { SharedCatalog } from '../views/shared-catalog.js';
import { draft, view } from './catalog-suite.js';

/** Notes what comes, in order; changes take a turn, and fail when they are to. */
class NotedCatalog implements ViewCatalogStore<CatalogedView> {
  readonly #catalog = new SharedCatalog();
  readonly notes: string[];
  isAway = false;

  constructor(notes: string[]) {
    this.notes = notes;
  }

  async #change<T>(answer: () => Promise<T>): Promise<T> {
    await nextTurn();
    if (this.isAway) throw new HeadraceError('unavailable', 'the store is away');
    const answered = await answer();
    this.notes.push('stored');
    return answered;
  }

  async views(): Promise<CatalogedView[]> {
    return [...this.#catalog.views.values()];
  }

  create(made: Omit<CatalogedView, 'uid'>, uidMin: number) {
    return this.#change(() => this.#catalog.create(made, uidMin));
  }

  put(changed: CatalogedView) {
    return this.#change(() => this.#catalog.put(changed));
  }

  drop({ name }: Pick<CatalogedView, 'name' | 'uid'>): Promise<void> {
    return this.#change(async () => void this.#catalog.views.delete(name));
  }

  async dropped(): Promise<number[]> {
    return [7];
  }

  async erased(viewUid: number): Promise<void> {
    this.notes.push(`erased ${viewUid}`);
  }
}

function told(tell: () => Promise<unknown> = async () => undefined) {
  const notes: string[] = [];
  const store = new NotedCatalog(notes);
  const catalog = new ToldCatalog(store, () => {
    notes.push('told');
    return tell();
  });
  return { notes, store, catalog };
}

describe('a catalog whose changes are told', () => {
  it('tells of each when it is durable, and answers what the store does', async () => {
    const { notes, catalog } = told();
    expect(await catalog.create(draft('a'), 5)).toEqual({ view: view('a', 5), won: true });
    expect(await catalog.put(view('a', 5, 2))).toEqual({ view: view('a', 5, 2), won: true });
    expect(await catalog.views()).toEqual([view('a', 5, 2)]);
    expect(await catalog.put(view('none', 6))).toBeUndefined();
    await catalog.drop({ name: 'a', uid: 5 });
    expect(await catalog.views()).toEqual([]);
    expect(notes).toEqual(Array(4).fill(['stored', 'told']).flat());
  });

  it('tells nobody of what is only read, or only tidied up', async () => {
    const { notes, catalog } = told();
    expect([await catalog.views(), await catalog.dropped()]).toEqual([[], [7]]);
    await catalog.erased(7);
    expect(notes).toEqual(['erased 7']);
  });

  it('has made a change though nobody can be told, and waits for nobody to hear of it', async () => {
    const deaf = told(() => Promise.reject(new Error('nobody listens')));
    expect(await deaf.catalog.create(draft('a'), 1)).toEqual({ view: view('a', 1), won: true });
    const slow = told(() => new Promise(() => undefined));
    expect(await slow.catalog.create(draft('a'), 1)).toEqual({ view: view('a', 1), won: true });
    // A rejection that nobody handled would end the process.
    await nextTurn();
    expect([deaf.notes, slow.notes]).toEqual([
      ['stored', 'told'],
      ['stored', 'told'],
    ]);
  });

  it('tells nobody of a change that failed', async () => {
    const { notes, store, catalog } = told();
    store.isAway = true;
    const failing = [
      catalog.create(draft('a'), 1),
      catalog.put(view('a', 1)),
      catalog.drop({ name: 'a', uid: 1 }),
    ];
    const reasons = await Promise.allSettled(failing);
    expect(reasons.map(result => result.status === 'rejected' && result.reason.code)).toEqual(
      Array(3).fill('unavailable'),
    );
    expect(notes).toEqual([]);
  });
});
