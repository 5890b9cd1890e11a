/**
 * Fetches of one cache what is likely to be asked for next, in the background:
 *
 *   read ─► was it predicted? ─► learn ─► who follows ─► queue ┄ later ┄► not in memory, within the rate ─► fetch
 *                 │ used                                                        │
 *                 └───────────────── judge ◄──────────── wasted: its time is over, unasked
 *
 * A read does no more than to look into a few typed arrays; the rest is done after it, all that came meanwhile at once. All
 * of it is bounded, and what there is no room for is left out: who is not prefetched is asked for as ever.
 */
import { randomInt } from 'node:crypto';
import type { Clock } from '../base/clock.js';
import type { PrefetchDefinition } from './prefetch-definition.js';
import { PrefetchJudge } from './prefetch-judge.js';
import { NO_NODE, Successors } from './successors.js';

/** Characters of a session's name; one that has more is none. */
const SESSION_LENGTH_MAX = 128;
const QUEUE = 256;
/** Followers that are known to be in memory, for so long. */
const HELD = 1_024;
const HELD_MS = 250;
/** Predictions whose outcome is not known, at least and at most; between them, twice what the rate allows for. */
const PENDING_MIN = 1_024;
const PENDING_MAX = 65_536;
/** So long is waited for it, or as long as an entry is fresh. */
const PENDING_MS_MAX = 60_000;
/** The share of them that is looked at for such as are over, each time. */
const SWEEP_SHARE = 1 / 64;
const FOLLOWERS_MAX = 4;
/** What may be made up for of the rate. */
const BURST_MS = 100;

export interface PrefetcherParts {
  readonly definition: PrefetchDefinition;
  readonly ttlMs: number;
  readonly clock: Pick<Clock, 'now'>;
  /** Memory has the entry, and it may be served. */
  readonly isHeld: (id: string) => boolean;
  /** Brings it there, in the background. */
  readonly fetch: (id: string) => void;
  /** Runs it soon, when what is under way is done. */
  readonly soon: (run: () => void) => void;
  /** Of the hashes of sessions; tests give their own. */
  readonly seed?: number;
}

export class Prefetcher {
  readonly #parts: PrefetcherParts;
  readonly #successors: Successors;
  readonly #judge = new PrefetchJudge();
  readonly #seed: number;
  readonly #pendingMs: number;
  readonly #followers = new Int32Array(FOLLOWERS_MAX);
  readonly #queue = new Int32Array(QUEUE);
  #queued = 0;
  /** What was found in memory a moment ago, by hash. */
  readonly #held = new Int32Array(HELD);
  #heldSinceMs = 0;
  /** By hash. */
  readonly #pending: Int32Array;
  readonly #pendingUntilMs: Float64Array;
  /** Of the judge. */
  readonly #windows: Uint8Array;
  #swept = 0;
  #allowance = 0;
  #allowedAtMs: number;
  #prefetched = 0;
  #used = 0;
  #wasted = 0;
  #late = 0;
  readonly #run = () => this.#drain();

  constructor(parts: PrefetcherParts) {
    this.#parts = parts;
    this.#successors = new Successors(parts.definition.keysMax);
    this.#seed = parts.seed ?? randomInt(2 ** 31);
    this.#pendingMs = Math.min(PENDING_MS_MAX, parts.ttlMs);
    const pending = pendingFor(parts.definition.rate);
    this.#pending = new Int32Array(pending);
    this.#pendingUntilMs = new Float64Array(pending);
    this.#windows = new Uint8Array(pending);
    this.#allowedAtMs = parts.clock.now();
  }

  /**
   * Somebody has read the key.
   * @param session who; '': that is not known, and nothing is learned.
   * @param hash of the key.
   */
  saw(session: string, hash: number, id: string, isHit: boolean, nowMs: number): void {
    if (session === '' || session.length > SESSION_LENGTH_MAX) return;
    const key = hash === 0 ? 1 : hash;
    const place = this.#placeOf(key);
    if (this.#pending[place] === key) this.#settle(place, isHit, nowMs);
    const successors = this.#successors;
    const node = successors.saw(this.#hashOf(session), key, id, nowMs);
    if (node === NO_NODE) return;
    const count = successors.predict(node, this.#followers);
    for (let at = 0; at < count; at++) this.#enqueue(this.#followers[at]!);
  }

  figures(): Readonly<Record<string, number | boolean>> {
    const { isOn, switchedOff } = this.#judge;
    const turnedOut = { used: this.#used, wasted: this.#wasted, late: this.#late };
    return { isOn, keys: this.#successors.size, prefetched: this.#prefetched, ...turnedOut, switchedOff };
  }

  #enqueue(key: number): void {
    if (this.#pending[this.#placeOf(key)] === key || this.#held[key & (HELD - 1)] === key) return;
    if (this.#queued === QUEUE) return;
    this.#queue[this.#queued++] = key;
    if (this.#queued === 1) this.#parts.soon(this.#run);
  }

  #drain(): void {
    const { clock, isHeld, fetch, definition } = this.#parts;
    const nowMs = clock.now();
    this.#begin(nowMs, definition.rate);
    for (let at = 0; at < this.#queued && this.#allowance >= 1; at++) {
      const key = this.#queue[at]!;
      const id = this.#successors.idOf(key);
      const place = this.#placeOf(key);
      // Of two that meet, the earlier one is watched.
      if (id === '' || (this.#pending[place] !== 0 && nowMs < this.#pendingUntilMs[place]!)) continue;
      if (isHeld(id)) {
        this.#held[key & (HELD - 1)] = key;
        continue;
      }
      if (this.#pending[place] !== 0) this.#over(place);
      this.#pending[place] = key;
      this.#pendingUntilMs[place] = nowMs + this.#pendingMs;
      this.#windows[place] = this.#judge.watch();
      this.#allowance--;
      if (!this.#judge.isOn) continue;
      this.#prefetched++;
      fetch(id);
    }
    this.#queued = 0;
  }

  #begin(nowMs: number, rate: number): void {
    this.#sweep(nowMs);
    const passedMs = Math.max(0, nowMs - this.#allowedAtMs);
    const most = Math.max(1, (rate * BURST_MS) / 1000);
    this.#allowedAtMs = nowMs;
    this.#allowance = Math.min(most, this.#allowance + (rate * passedMs) / 1000);
    if (nowMs - this.#heldSinceMs < HELD_MS && nowMs >= this.#heldSinceMs) return;
    this.#heldSinceMs = nowMs;
    this.#held.fill(0);
  }

  /** It is asked for: of use was what is there now; or would have been, had it been fetched. */
  #settle(place: number, isHit: boolean, nowMs: number): void {
    if (nowMs >= this.#pendingUntilMs[place]!) return this.#over(place);
    const { isOn } = this.#judge;
    if (isOn && isHit) this.#used++;
    // Not there yet. (While it is off, another has brought what is there, which says nothing.)
    if (isOn && !isHit) this.#late++;
    this.#tell(place, isHit === isOn ? true : undefined);
  }

  #over(place: number): void {
    if (this.#judge.isOn) this.#wasted++;
    this.#tell(place, false);
  }

  #tell(place: number, isUseful: boolean | undefined): void {
    this.#pending[place] = 0;
    // What was predicted before says nothing of what is since.
    if (this.#judge.settle(this.#windows[place]!, isUseful)) this.#pending.fill(0);
  }

  #sweep(nowMs: number): void {
    for (let left = this.#pending.length * SWEEP_SHARE; left > 0; left--) {
      const place = this.#swept;
      this.#swept = this.#placeOf(place + 1);
      if (this.#pending[place] !== 0 && nowMs >= this.#pendingUntilMs[place]!) this.#over(place);
    }
  }

  #placeOf(key: number): number {
    return key & (this.#pending.length - 1);
  }

  /** FNV-1a with a seed, never 0. */
  #hashOf(session: string): number {
    let hash = this.#seed ^ 0x811c9dc5;
    for (let at = 0; at < session.length; at++) hash = Math.imul(hash ^ session.charCodeAt(at), 0x01000193);
    hash ^= hash >>> 15;
    return hash === 0 ? 1 : hash;
  }
}

function pendingFor(rate: number): number {
  const wanted = 2 * rate * (PENDING_MS_MAX / 1000);
  return 2 ** Math.ceil(Math.log2(Math.min(PENDING_MAX, Math.max(PENDING_MIN, wanted))));
}
