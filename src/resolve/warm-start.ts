/**
 * Fills a lane's part of the shared table after a start with the keys that were hot before it, hottest first.
 *
 * The keys are read through the chain of tiers, as requests read them, a batch at a time, at a bounded rate, with all
 * other work of the lane going first in between; the same fence keeps out what changes meanwhile. Nothing gives way for
 * it: a key is only added where there is room, and once the lane's shards are full, warming is over.
 *
 * Lists name keys of all lanes, since which lane a key has changes with the process; each lane picks its own.
 *
 * Where other servers write the same records, copies may only be kept while changes are told of: until then warming
 * waits. When that began anew in between, in this lane or another, the table was emptied, and warming begins again.
 */
import type { Clock } from '../base/clock.js';
import { idOfStorageKey, viewUidOfStorageKey } from '../base/keys.js';
import { type Found, type TierChain, UNAVAILABLE } from './chain.js';
import { type Coherence, keyName } from './coherence.js';
import type { FencePass } from './key-fence.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneView, LaneViews } from './lane-views.js';
import type { NegativeEntries } from './negative-entries.js';
import type { RecordInspector } from './record-inspector.js';
import type { SavedKey } from './warm-save.js';

/** As many as a request's slice: they may be large. */
const BATCH_KEYS = 64;
/** Keys of the list that are looked at without a pause, most of them other lanes'. */
const LOOK_KEYS = 512;
const KEY_BYTES_MIN = 5;
const READ_DEADLINE_MS = 2_000;
/** How far behind its rate warming may be and still catch up. */
const LAG_MS_MAX = 50;
const REST_MS_MIN = 1;
const WAIT_MS = 50;
const PROGRESS_MS = 250;
/** Batches in a row that no tier answered for, and what is rested after each. */
const FAILURES_MAX = 10;
const FAILURE_REST_MS = 500;
const ROUNDS_MAX = 4;

/** How warming ended: all keys were looked at, there was no room left, it was stopped, or the store did not answer. */
export type WarmingEnd = 'done' | 'full' | 'stopped' | 'unavailable';

export interface WarmingProgress {
  /** Keys of this lane that were looked at. */
  readonly done: number;
  /** Keys of all lanes. */
  readonly of: number;
  /** Records put into the shared table. */
  readonly added: number;
}

export interface WarmingParts {
  /** Hottest first; can be gone through again. */
  readonly lists: { readonly count: number; entries(): Iterable<SavedKey> };
  readonly lane: number;
  readonly lanes: number;
  readonly views: LaneViews;
  readonly cache: LaneCache;
  readonly chain: TierChain;
  readonly coherence: Coherence;
  readonly negative: NegativeEntries;
  readonly inspector: RecordInspector;
  readonly clock: Clock;
  /** Keys a second that this lane may read. */
  readonly rate: number;
  /** Whether what is read now may be kept for long. */
  readonly isWhole: () => boolean;
  /** Another number after the table was emptied by any lane. */
  readonly epoch: () => number;
  /** Lets other work of the thread go first. */
  readonly pause: () => Promise<void>;
  readonly rest: (ms: number) => Promise<void>;
  readonly onProgress: (progress: WarmingProgress) => void;
}

interface Wanted extends SavedKey {
  readonly id: string;
  readonly name: string;
  readonly lane: LaneView;
  readonly pass: FencePass;
}

export class Warming {
  readonly #parts: WarmingParts;
  #isStopped = false;
  #done = 0;
  #added = 0;
  #nextAtMs = 0;
  #toldAtMs = 0;
  #failures = 0;

  constructor(parts: WarmingParts) {
    this.#parts = parts;
  }

  get progress(): WarmingProgress {
    return { done: this.#done, of: this.#parts.lists.count, added: this.#added };
  }

  stop(): void {
    this.#isStopped = true;
  }

  async run(): Promise<WarmingEnd> {
    const { epoch } = this.#parts;
    let end: WarmingEnd = 'done';
    for (let round = 0; round < ROUNDS_MAX; round++) {
      await this.#untilWhole();
      const began = epoch();
      end = await this.#round();
      if (began === epoch() || (end !== 'done' && end !== 'full')) break;
    }
    return end;
  }

  async #round(): Promise<WarmingEnd> {
    const { lists, clock, cache, pause } = this.#parts;
    this.#done = 0;
    this.#nextAtMs = clock.now();
    let batch: Wanted[] = [];
    let position = 0;
    for (const entry of lists.entries()) {
      if (++position % LOOK_KEYS === 0) {
        await pause();
        if (this.#isStopped) return 'stopped';
        if (cache.isFull) return 'full';
      }
      const wanted = this.#wantedOf(entry, position);
      if (wanted !== undefined) batch.push(wanted);
      if (batch.length < BATCH_KEYS) continue;
      const end = await this.#take(batch);
      if (end !== undefined) return end;
      batch = [];
    }
    if (batch.length === 0) return cache.isFull ? 'full' : 'done';
    return (await this.#take(batch)) ?? 'done';
  }

  /** Whether the key is this lane's, and worth reading. */
  #wantedOf({ key, heat }: SavedKey, position: number): Wanted | undefined {
    const { views, cache, negative, lane, lanes } = this.#parts;
    const known = key.length < KEY_BYTES_MIN ? undefined : views.find(viewUidOfStorageKey(key));
    if (known === undefined) {
      // Of a view that is no more: it has no lane, but is to be counted once.
      if (position % lanes === lane) this.#done++;
      return undefined;
    }
    const { uid, slot } = known.view;
    const id = idOfStorageKey(key);
    if (!cache.owns(slot, id)) return undefined;
    this.#done++;
    if (!cache.canAdd(slot, id)) return undefined;
    const name = keyName(uid, id);
    return { key, heat, id, name, lane: known, pass: negative.begin(name) };
  }

  /** Reads a batch when its time has come; the end when there is one. */
  async #take(batch: readonly Wanted[]): Promise<WarmingEnd | undefined> {
    await this.#rest(batch.length);
    await this.#untilWhole();
    if (this.#isStopped) return 'stopped';
    if (this.#parts.cache.isFull) return 'full';
    await this.#read(batch);
    this.#tell();
    return this.#failures > FAILURES_MAX ? 'unavailable' : undefined;
  }

  async #read(batch: readonly Wanted[]): Promise<void> {
    const { chain, clock, rest } = this.#parts;
    const nowMs = clock.now();
    const found = await chain.getMany(
      batch.map(({ key }) => key),
      {
        nowMs,
        deadlineMs: nowMs + READ_DEADLINE_MS,
        mayKeep: place => this.#mayKeep(batch[place] as Wanted),
      },
    );
    for (let index = 0; index < batch.length; index++) this.#keep(batch[index] as Wanted, found[index]);
    if (found.every(row => row === UNAVAILABLE)) {
      this.#failures++;
      await rest(FAILURE_REST_MS);
    } else this.#failures = 0;
  }

  #keep(wanted: Wanted, found: Found): void {
    if (found === undefined || found === UNAVAILABLE || !this.#mayKeep(wanted)) return;
    const { cache, coherence, inspector } = this.#parts;
    const { id, heat, lane } = wanted;
    const untilMs = coherence.servedUntil(inspector.expiresAt(found));
    if (cache.addHot(lane.view.slot, id, found, untilMs, heat)) this.#added++;
  }

  #mayKeep({ name, lane, pass }: Wanted): boolean {
    const { views, negative } = this.#parts;
    return views.find(lane.view.uid) !== undefined && negative.isGood(name, pass);
  }

  async #untilWhole(): Promise<void> {
    while (!this.#isStopped && !this.#parts.isWhole()) await this.#parts.rest(WAIT_MS);
  }

  /** Until so many more keys may be read; other work goes first in any case. */
  async #rest(keys: number): Promise<void> {
    const { clock, rate, rest, pause } = this.#parts;
    const waitMs = this.#nextAtMs - clock.now();
    this.#nextAtMs = Math.max(this.#nextAtMs, clock.now() - LAG_MS_MAX) + (keys * 1000) / rate;
    if (waitMs >= REST_MS_MIN && !this.#isStopped) await rest(waitMs);
    else await pause();
  }

  #tell(): void {
    const nowMs = this.#parts.clock.now();
    if (nowMs >= this.#toldAtMs && nowMs < this.#toldAtMs + PROGRESS_MS) return;
    this.#toldAtMs = nowMs;
    this.#parts.onProgress(this.progress);
  }
}
