/**
 * Makes sure of what a lane kept in the shared table while nobody told it of changes, once somebody does again.
 *
 * To empty the table instead would take the memory away from those who are served from it each time that a connection
 * breaks, a master fails over or a lane dies, and just when the store has most to do. So a copy that was used is compared
 * with what the tiers have, and stays if it is that; one that nobody has used since it came goes unread.
 *
 * It is a walk over the lane's buckets in steps, a batch of keys at a time, with other work of the lane going first in
 * between. Until a copy's turn comes it is served as before: all of them go when their time is over (`Coherence`), also
 * should the walk not have come to its end by then, since a tier does not answer. The news of a change that comes while
 * its key is being read makes it be read again.
 */
import type { Clock } from '../base/clock.js';
import { storageKey } from '../base/keys.js';
import { type TierChain, UNAVAILABLE } from './chain.js';
import { type Coherence, keyName } from './coherence.js';
import type { FencePass } from './key-fence.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneViews } from './lane-views.js';
import type { NegativeEntries } from './negative-entries.js';
import type { RecordInspector } from './record-inspector.js';

/** With up to twelve records each. */
const STEP_BUCKETS = 4;
/** Without a pause. */
const STEPS_MAX = 256;
const BATCH_KEYS = 48;
const READ_DEADLINE_MS = 2_000;
/** Before keys are read again that could not be read, or have changed meanwhile. */
const AGAIN_MS = 50;

export interface ReviewParts {
  readonly views: LaneViews;
  readonly cache: LaneCache;
  readonly chain: TierChain;
  readonly coherence: Coherence;
  readonly negative: NegativeEntries;
  readonly inspector: RecordInspector;
  readonly clock: Clock;
  /** Lets other work of the thread go first. */
  readonly pause: () => Promise<void>;
  readonly rest: (ms: number) => Promise<void>;
}

interface Asked {
  readonly id: string;
  readonly name: string;
  readonly pass: FencePass;
}

interface ReviewedView {
  readonly uid: number;
  readonly slot: number;
}

export class Review {
  readonly #parts: ReviewParts;

  constructor(parts: ReviewParts) {
    this.#parts = parts;
  }

  /** Reviews all, unless changes go unnoticed again or the table is emptied meanwhile. */
  async run(): Promise<void> {
    const { coherence, views } = this.#parts;
    const period = coherence.period;
    const isOver = () => coherence.period !== period;
    for (const { view } of views.list()) await this.#walk(view, isOver);
    if (!isOver()) coherence.reviewed();
  }

  async #walk(view: ReviewedView, isOver: () => boolean): Promise<void> {
    const { cache, pause } = this.#parts;
    let used: string[] = [];
    const scan = cache.removeWhere(view.slot, (bytes, keyStart, keyEnd, _valueStart, _valueEnd, isUsed) => {
      if (isUsed)
        used.push(Buffer.from(bytes.buffer, bytes.byteOffset + keyStart, keyEnd - keyStart).toString());
      return !isUsed;
    });
    for (let isAtEnd = false; !isAtEnd && !isOver(); ) {
      used = [];
      for (let step = 0; step < STEPS_MAX && !isAtEnd && used.length < BATCH_KEYS; step++) {
        isAtEnd = scan.step(STEP_BUCKETS);
      }
      await this.#readAll(view, used, isOver);
      await pause();
    }
  }

  async #readAll(view: ReviewedView, ids: readonly string[], isOver: () => boolean): Promise<void> {
    for (let left = ids; left.length > 0 && !isOver(); ) {
      left = await this.#read(view, left);
      if (left.length > 0) await this.#parts.rest(AGAIN_MS);
    }
  }

  /** Those that are to be read again. */
  async #read(view: ReviewedView, ids: readonly string[]): Promise<string[]> {
    const { cache, chain, clock, negative, views } = this.#parts;
    const asked = ids
      .filter(id => views.find(view.uid) !== undefined && cache.get(view.slot, id) !== undefined)
      .map((id): Asked => {
        const name = keyName(view.uid, id);
        return { id, name, pass: negative.begin(name) };
      });
    if (asked.length === 0) return [];
    const isUnchanged = ({ name, pass }: Asked) => negative.isGood(name, pass);
    const nowMs = clock.now();
    const found = await chain.getMany(
      asked.map(({ id }) => storageKey(view.uid, id)),
      { nowMs, deadlineMs: nowMs + READ_DEADLINE_MS, mayKeep: place => isUnchanged(asked[place] as Asked) },
    );
    return asked.flatMap((key, index) => {
      const value = found[index];
      if (value === UNAVAILABLE || !isUnchanged(key)) return [key.id];
      this.#settle(view, key.id, value);
      return [];
    });
  }

  #settle({ uid, slot }: ReviewedView, id: string, found: Uint8Array | undefined): void {
    const { cache, coherence, inspector, views } = this.#parts;
    const cached = views.find(uid) === undefined ? undefined : cache.get(slot, id);
    if (cached === undefined) return;
    if (found === undefined) {
      cache.remove(slot, id);
      return;
    }
    if (Buffer.compare(cached, found) === 0) return;
    // The store may have gone back, to what a replica had: it is what counts.
    cache.remove(slot, id);
    cache.put(slot, id, found, coherence.servedUntil(inspector.expiresAt(found)));
  }
}
