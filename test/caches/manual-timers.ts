/** A clock and timers that move only when told to, in order. */
import { ManualClock } from '../../src/base/clock.js';

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

export class ManualTimers {
  readonly clock = new ManualClock(0);
  #timers: Timer[] = [];

  readonly later = (ms: number, run: () => void): (() => void) => {
    const timer = { atMs: this.clock.now() + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer);
    };
  };

  get size(): number {
    return this.#timers.length;
  }

  /** Runs what is due at the end of each millisecond. */
  tick(): void {
    this.clock.advance(1);
    for (let due = this.#due(); due !== undefined; due = this.#due()) {
      this.#timers = this.#timers.filter(timer => timer !== due);
      due.run();
    }
  }

  #due(): Timer | undefined {
    return this.#timers.find(({ atMs }) => atMs <= this.clock.now());
  }
}
