/**
 * Tells when deadlines pass, with one timer for all: armed for the earliest, it looks at all when it fires, and not
 * more often than every few milliseconds. Deadlines that are met cost an insert and a delete in a set.
 */
import type { Clock } from '../base/clock.js';

export interface Timed {
  /** Milliseconds since the epoch. */
  readonly deadlineMs: number;
}

const LOOK_AGAIN_MS = 4;

export class Deadlines<T extends Timed> {
  readonly #clock: Clock;
  readonly #onPassed: (item: T) => void;
  readonly #items = new Set<T>();
  #timer: NodeJS.Timeout | undefined;
  #armedForMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, onPassed: (item: T) => void) {
    this.#clock = clock;
    this.#onPassed = onPassed;
  }

  add(item: T): void {
    this.#items.add(item);
    if (item.deadlineMs < this.#armedForMs) this.#arm(item.deadlineMs);
  }

  delete(item: T): void {
    this.#items.delete(item);
    if (this.#items.size === 0) this.#disarm();
  }

  /** Tells of every deadline that has passed by now. */
  check(): void {
    const now = this.#clock.now();
    let earliest = Number.POSITIVE_INFINITY;
    for (const item of this.#items) {
      if (item.deadlineMs > now) earliest = Math.min(earliest, item.deadlineMs);
      else {
        this.#items.delete(item);
        this.#onPassed(item);
      }
    }
    this.#disarm();
    if (earliest < Number.POSITIVE_INFINITY) this.#arm(earliest);
  }

  #arm(deadlineMs: number): void {
    this.#disarm();
    this.#armedForMs = deadlineMs;
    const wait = Math.max(LOOK_AGAIN_MS, Math.ceil(deadlineMs - this.#clock.now()));
    this.#timer = setTimeout(() => this.check(), Math.min(wait, 2 ** 31 - 1));
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#armedForMs = Number.POSITIVE_INFINITY;
  }
}
