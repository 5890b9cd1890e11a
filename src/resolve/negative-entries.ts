/**
 * Keys that no tier had, remembered for a short time: whoever asks for them again does not reach the tiers.
 *
 * None may hide a record that is known to exist. So an entry goes with any change of its key, and a read that began
 * before a change leaves no entry after it (`key-fence.ts`): a change must be told here when the store of record has
 * it, and before its writer is answered. A write that failed is told of too, for it may be applied yet; what is applied
 * later than that, unacknowledged, is hidden for `ttlMs` at most.
 *
 * Memory is bounded and nothing runs by itself: there are two generations of half the entries each. When the younger is
 * full it becomes the older, and the older is dropped whole. An entry so goes early only if there are many.
 */
import { type FencePass, KeyFence } from './key-fence.js';

export interface NegativeOptions {
  /** How long an absent key is remembered; 0: not at all. */
  readonly ttlMs: number;
  /** An id has up to 512 bytes, so that this many take 16 MiB at the very most. */
  readonly entriesMax: number;
}

export const NEGATIVE_DEFAULTS: NegativeOptions = { ttlMs: 5_000, entriesMax: 16_384 };

export class NegativeEntries {
  readonly #options: NegativeOptions;
  readonly #fence: KeyFence;
  /** By name: until when. */
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  /** Asks that were spared the tiers. */
  hits = 0;

  /** With the lane's fence if it has one, whose changes must then be told here and not to it. */
  constructor(options: Partial<NegativeOptions> = {}, fence = new KeyFence()) {
    this.#options = { ...NEGATIVE_DEFAULTS, ...options };
    this.#fence = fence;
  }

  /** Entries held, expired ones among them; never more than `entriesMax`. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Whether the key is known to be absent. */
  has(name: string, nowMs: number): boolean {
    if (this.#young.size === 0 && this.#old.size === 0) return false;
    const untilMs = this.#young.get(name) ?? this.#old.get(name);
    // A clock that was set back must not make an entry live longer.
    if (untilMs === undefined || untilMs <= nowMs || untilMs > nowMs + this.#options.ttlMs) return false;
    this.hits++;
    return true;
  }

  /** Before the tiers are asked for the key; its pass goes to `settle`. */
  begin(name: string): FencePass {
    return this.#fence.begin(name);
  }

  /** Whether the key has not changed since its pass was taken. */
  isGood(name: string, pass: FencePass): boolean {
    return this.#fence.isGood(name, pass);
  }

  /** No tier has the key, all of them having been asked. True when that is remembered, for `msMax` at most. */
  settle(name: string, pass: FencePass, nowMs: number, msMax = Number.POSITIVE_INFINITY): boolean {
    const { entriesMax } = this.#options;
    const ttlMs = Math.min(this.#options.ttlMs, msMax);
    if (ttlMs === 0 || !this.#fence.isGood(name, pass)) return false;
    this.#old.delete(name);
    this.#young.set(name, nowMs + ttlMs);
    if (this.#young.size >= entriesMax / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    return true;
  }

  /** The key was written or invalidated, here or elsewhere. */
  forget(name: string): void {
    this.#fence.changed(name);
    this.#young.delete(name);
    this.#old.delete(name);
  }

  /** Any key may have been: what changed elsewhere was not heard for a while, or many were invalidated at once. */
  clear(): void {
    this.#fence.allChanged();
    this.#young.clear();
    this.#old.clear();
  }
}
