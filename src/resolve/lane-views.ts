/** The views a lane knows, each with what it takes to read and pack its records; made when first needed, then reused. */
import { HeadraceError } from '../base/errors.js';
import { VIEW_UID_BYTES, viewUidOfStorageKey } from '../base/keys.js';
import { type FenceSet, fenceSetOf } from '../views/fence-set.js';
import { RecordEncoder } from '../views/record-codec.js';
import { RecordDraft } from '../views/record-draft.js';
import { RecordJsonReader } from '../views/record-json.js';
import { type StoredView, type View, viewOf } from '../views/schema.js';

export class LaneView {
  readonly view: View;
  readonly fences: FenceSet | undefined;
  #draft: RecordDraft | undefined;
  #encoder: RecordEncoder | undefined;
  #nested: RecordJsonReader | undefined;
  #flat: RecordJsonReader | undefined;

  constructor(view: View) {
    this.view = view;
    this.fences = fenceSetOf(view);
  }

  /** One for all records of the view: filled, packed, filled again. */
  get draft(): RecordDraft {
    this.#draft ??= new RecordDraft(this.view);
    return this.#draft;
  }

  get encoder(): RecordEncoder {
    this.#encoder ??= new RecordEncoder(this.view);
    return this.#encoder;
  }

  reader(flat: boolean): RecordJsonReader {
    if (flat) {
      this.#flat ??= new RecordJsonReader(this.view, 'flat');
      return this.#flat;
    }
    this.#nested ??= new RecordJsonReader(this.view, 'nested');
    return this.#nested;
  }
}

export class LaneViews {
  readonly #byUid = new Map<number, LaneView>();
  /** Whether any view has fences: mostly none has. */
  #areFenced = false;

  /** Takes the view, unless a newer schema of it is known. */
  declare(stored: StoredView): void {
    const known = this.#byUid.get(stored.uid);
    if (known === undefined || known.view.schema <= stored.schema) {
      this.#byUid.set(stored.uid, new LaneView(viewOf(stored)));
      this.#noteFences();
    }
  }

  forget(viewUid: number): void {
    this.#byUid.delete(viewUid);
    this.#noteFences();
  }

  #noteFences(): void {
    this.#areFenced = this.list().some(({ fences }) => fences !== undefined);
  }

  /** Whether the record of this storage key was invalidated. */
  isHidden(key: Uint8Array, record: Uint8Array): boolean {
    if (!this.#areFenced) return false;
    const fences = this.#byUid.get(viewUidOfStorageKey(key))?.fences;
    return fences?.hides(record, 0, record.length, key, VIEW_UID_BYTES, key.length) === true;
  }

  list(): LaneView[] {
    return [...this.#byUid.values()];
  }

  find(viewUid: number): LaneView | undefined {
    return this.#byUid.get(viewUid);
  }

  /** @throws HeadraceError `view-not-found`: the view was dropped after the front had looked it up. */
  get(viewUid: number): LaneView {
    const view = this.#byUid.get(viewUid);
    if (view === undefined) throw new HeadraceError('view-not-found', 'the view has been deleted');
    return view;
  }
}
