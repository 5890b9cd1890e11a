/**
 * The store as the HTTP side has it for entries of named caches: beside reading and writing, what goes by way of an entry's
 * lane to the cache's origin, and leases that servers share.
 */
import type { Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import type { LeaseMark } from '../caches/lease-mark.js';
import type { Lanes, Through as LaneThrough } from '../lanes/lanes.js';
import { errorOf, type ThroughAnswer } from '../lanes/messages.js';
import type { View } from '../views/schema.js';
import { headraceError, RecordStore, type RecordStoreOptions } from './record-store.js';
import { Refreshes } from './refreshes.js';

export interface EntryStoreOptions extends RecordStoreOptions {
  readonly lanes: Lanes;
}

/** An entry that was read through to an origin. */
export interface Through extends Omit<ThroughAnswer, 'failure'> {
  /** `undefined`: there is none, or `error` says why it is not known. */
  readonly record: Uint8Array | undefined;
  readonly error: HeadraceError | undefined;
}

export class EntryStore extends RecordStore {
  readonly #lanes: Lanes;
  readonly #refreshes = new Refreshes();

  constructor(options: EntryStoreOptions) {
    super(options);
    this.#lanes = options.lanes;
  }

  /**
   * Entries of a cache that has an origin, which is asked for what no tier has: by id, in order.
   * @param enabled false: the cache is switched off, so the origin alone is asked, and nothing is kept.
   * @throws HeadraceError `view-not-found`; else what is wrong stands with the ids that it is about.
   */
  async readThrough(view: View, ids: readonly string[], enabled: boolean): Promise<readonly Through[]> {
    const deadlineMs = this.deadline();
    const entries = new Array<Through>(ids.length);
    const byLane = new Map<number, number[]>();
    ids.forEach((id, place) => {
      const lane = this.laneOf(view, id);
      const places = byLane.get(lane);
      if (places === undefined) byLane.set(lane, [place]);
      else places.push(place);
    });
    await Promise.all(
      [...byLane].map(async ([lane, places]) => {
        const task = {
          viewUid: view.uid,
          ids: places.map(place => ids[place] as string),
          enabled,
          deadlineMs,
        };
        const found = await this.#lanes.readThrough(lane, task).catch(headraceError);
        if (found instanceof HeadraceError && found.code === 'view-not-found') throw found;
        places.forEach((place, row) => {
          entries[place] = throughOf(found, row);
        });
      }),
    );
    return entries;
  }

  /**
   * Has an entry of such a cache made anew in the background, soon and once, unless there is one by now that is fresh
   * beyond `untilMs`.
   */
  refresh(view: View, id: string, nowMs: number, untilMs: number): void {
    if (this.#refreshes.begin(view.uid, id, nowMs)) this.#refresh(view, id, untilMs);
  }

  /** Brings an entry of any cache into shared memory, in the background, unless it is there and fresh. */
  bring(view: View, id: string): void {
    this.#refresh(view, id, this.now());
  }

  #refresh(view: View, id: string, untilMs: number): void {
    // Whoever asks for it next tries again.
    const task = { viewUid: view.uid, id, untilMs };
    this.#lanes.refresh(this.laneOf(view, id), task, this.deadline()).catch(headraceError);
  }

  /**
   * Marks an entry of a named cache as leased, for all servers that share the store: its version then, or `null` when
   * another has the lease, or has written the entry.
   * @param over the version of the entry that is served meanwhile, `null` when there is none.
   */
  leaseEntry(view: View, id: string, mark: LeaseMark, over: Version | null): Promise<Version | null> {
    return this.#lanes.lease(this.laneOf(view, id), view, id, { ...mark, over }, this.deadline());
  }
}

function throughOf(found: LaneThrough | HeadraceError, row: number): Through {
  const unknown = { record: undefined, source: 'origin', isStored: false, isJoined: false } as const;
  if (found instanceof HeadraceError) return { ...unknown, error: found };
  const { failure, ...answer } = found.answers[row] as ThroughAnswer;
  if (failure !== null) return { ...unknown, error: errorOf(failure) };
  return { ...answer, record: found.rows.record(row), error: undefined };
}
