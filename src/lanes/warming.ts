/** How far all lanes have come with reading what was hot before the start: for the log, and for whoever asks. */
import type { LaneEvent } from './lane-event.js';
import type { WarmingNotice } from './messages.js';

export interface WarmingFigures {
  readonly done: number;
  readonly of: number;
}

/** What is logged at the beginning and at the end. */
export type WarmingReport =
  | { readonly kind: 'begun'; readonly of: number }
  | {
      readonly kind: 'ended';
      readonly of: number;
      readonly added: number;
      readonly tookMs: number;
      /** By lane. */
      readonly ends: readonly string[];
    };

export class WarmingProgress {
  readonly #onReport: (report: WarmingReport) => void;
  readonly #nowMs: () => number;
  /** Lanes that have not ended. */
  readonly #running: Set<number>;
  readonly #last: (WarmingNotice | undefined)[];
  #beganAtMs: number | undefined;

  /** @param nowMs of a clock that is never set back. */
  constructor(lanes: number, onReport: (report: WarmingReport) => void, nowMs: () => number) {
    this.#running = new Set(Array.from({ length: lanes }, (_, lane) => lane));
    this.#last = Array.from({ length: lanes });
    this.#onReport = onReport;
    this.#nowMs = nowMs;
  }

  /** `undefined` before it began, once it is over, and when there is nothing to read. */
  get current(): WarmingFigures | undefined {
    const of = this.#of();
    if (this.#running.size === 0 || of === 0) return undefined;
    return { done: this.#sum('done'), of };
  }

  take(event: LaneEvent): void {
    if (!this.#running.has(event.lane)) return;
    // A lane that died does not begin again.
    if (event.kind === 'down') this.#ended(event.lane);
    if (event.kind !== 'warming') return;
    this.#last[event.lane] = event;
    if (this.#beganAtMs === undefined && event.of > 0) {
      this.#beganAtMs = this.#nowMs();
      this.#onReport({ kind: 'begun', of: event.of });
    }
    if (event.end !== undefined) this.#ended(event.lane);
  }

  #ended(lane: number): void {
    this.#running.delete(lane);
    if (this.#running.size > 0 || this.#beganAtMs === undefined) return;
    const tookMs = Math.round(this.#nowMs() - this.#beganAtMs);
    const ends = this.#last.map(notice => notice?.end ?? 'died');
    this.#onReport({ kind: 'ended', of: this.#of(), added: this.#sum('added'), tookMs, ends });
  }

  #of(): number {
    return this.#last.reduce((most, notice) => Math.max(most, notice?.of ?? 0), 0);
  }

  #sum(figure: 'done' | 'added'): number {
    return this.#last.reduce((sum, notice) => sum + (notice?.[figure] ?? 0), 0);
  }
}
