/** A catalog of views in memory, for several registries. */
import { follows, type Standing } from '../../src/base/view-catalog.js';
import type { CatalogedView } from '../../src/views/schema.js';

export class SharedCatalog {
  readonly views = new Map<string, CatalogedView>();
  #nextUid = 1;

  async create(draft: Omit<CatalogedView, 'uid'>, uidMin: number): Promise<Standing<CatalogedView>> {
    const held = this.views.get(draft.name);
    if (held !== undefined) return { view: held, won: false };
    const view = { ...draft, uid: Math.max(this.#nextUid, uidMin) };
    this.#nextUid = view.uid + 1;
    this.views.set(view.name, view);
    return { view, won: true };
  }

  async put(view: CatalogedView): Promise<Standing<CatalogedView> | undefined> {
    const held = this.views.get(view.name);
    if (held?.uid !== view.uid) return undefined;
    const won = follows(view, held);
    if (won) this.views.set(view.name, view);
    return { view: won ? view : held, won };
  }
}
