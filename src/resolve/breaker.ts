/**
 * A tier's circuit breaker, one for all lanes: some failures in a row open it, and while it is open the tier costs
 * nothing; after a while one call is let through to see, and what becomes of it closes or opens it again.
 *
 *            failuresMax in a row                  halfOpenAfterMs passed, one caller of all lanes
 *   closed ──────────────────────► open ──────────────────────────────────► half-open
 *     ▲                              ▲                                        │  │
 *     │                              └──────────── the probe fails ───────────┘  │
 *     └─────────────────────────────────────────── the probe succeeds ───────────┘
 *
 * The states and defaults are those of cockatiel's ConsecutiveBreaker; the machine is our own, because cockatiel keeps
 * state in an object of one thread, and wraps every call in promises. Here all of a state is one word of shared memory,
 * which every lane loads before a call:
 *
 *   bits 31 … 2  since when, in milliseconds, modulo 2^30 (12 days)     bits 1, 0  closed, open or half-open
 *
 * A change is one compare-exchange of that word, so there is nothing for a lane to leave half done when it dies, and
 * whoever succeeds reports the change: once, whatever the number of lanes. The word is also the ticket of the calls made
 * under it: a result counts only while the word is still the same, so that calls from before a change have no say after
 * it. A probe that is not heard of for `probeMsMax`, since its lane died, loses its ticket to the next caller.
 *
 * Two approximations, both harmless: a failure may be counted just after another lane reset the count, so that the
 * breaker opens one failure early; and a breaker that nobody asked for 12 days may ask for a second wait.
 */
import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';

export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  /** How long it stays open before a call is let through. */
  readonly halfOpenAfterMs: number;
  /** A probe that takes longer is given up for lost; longer than any call is given. */
  readonly probeMsMax: number;
}

export const BREAKER_DEFAULTS: BreakerOptions = {
  failuresMax: 5,
  halfOpenAfterMs: 30_000,
  probeMsMax: 10_000,
};

export type BreakerState = 'closed' | 'open' | 'half-open';

export interface BreakerChange {
  readonly tier: string;
  readonly from: BreakerState;
  readonly to: BreakerState;
}

declare const ticketBrand: unique symbol;
/** The right to one call, and the state under which it was given. */
export type Ticket = number & { readonly [ticketBrand]: true };

/** What `admit` answers while the tier is not to be asked. */
export const REFUSED = 3 as Ticket;

const STATES: readonly BreakerState[] = ['closed', 'open', 'half-open'];
const CLOSED = 0;
const OPEN = 1;
const HALF_OPEN = 2;
const STATE_BITS = 2;
const STATE_MASK = (1 << STATE_BITS) - 1;
/** Waits are told from clocks that were set back up to here. */
const WAIT_MS_MAX = 2 ** 28;

const WORD = 0;
const FAILURES = 1;
const CHANGES = 2;
/** A cache line: lanes that count one tier's failures do not slow down those that ask another. */
const WORDS_PER_BREAKER = 16;

/** Shared memory for so many breakers, all closed; the front makes it and gives it to every lane. */
export function breakerMemory(breakers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(breakers * WORDS_PER_BREAKER * Int32Array.BYTES_PER_ELEMENT);
}

export interface BreakerParts {
  /** What is guarded, for the log. */
  readonly tier: string;
  readonly memory: SharedArrayBuffer;
  /** The place of this tier's breaker in the memory. */
  readonly index: number;
  readonly clock: Clock;
  readonly options?: Partial<BreakerOptions>;
  /** Called in the one thread that made the change. */
  readonly onChange?: (change: BreakerChange) => void;
}

export class Breaker {
  readonly #words: Int32Array;
  readonly #parts: BreakerParts;
  readonly #options: BreakerOptions;

  constructor(parts: BreakerParts) {
    const options = { ...BREAKER_DEFAULTS, ...parts.options };
    assert(Number.isInteger(options.failuresMax) && options.failuresMax > 0, 'some failures open a breaker');
    assert(options.halfOpenAfterMs > 0 && options.halfOpenAfterMs <= WAIT_MS_MAX, 'a breaker opens for days');
    assert(options.probeMsMax > 0 && options.probeMsMax <= WAIT_MS_MAX, 'a probe takes no days');
    this.#parts = parts;
    this.#options = options;
    const offset = parts.index * WORDS_PER_BREAKER * Int32Array.BYTES_PER_ELEMENT;
    this.#words = new Int32Array(parts.memory, offset, WORDS_PER_BREAKER);
  }

  get state(): BreakerState {
    return STATES[Atomics.load(this.#words, WORD) & STATE_MASK] as BreakerState;
  }

  /** Changes of state so far, by all lanes. */
  get changes(): number {
    return Atomics.load(this.#words, CHANGES);
  }

  get failuresMax(): number {
    return this.#options.failuresMax;
  }

  /** Whether the breaker is still as it was when the ticket was given. */
  holds(ticket: Ticket): boolean {
    return Atomics.load(this.#words, WORD) === ticket;
  }

  /** A ticket that `succeed` or `fail` must be given back, or `REFUSED`. */
  admit(): Ticket {
    const word = Atomics.load(this.#words, WORD);
    const state = word & STATE_MASK;
    if (state === CLOSED) return word as Ticket;
    const { halfOpenAfterMs, probeMsMax } = this.#options;
    const nowMs = this.#parts.clock.now();
    if (!hasPassed(word, nowMs, state === OPEN ? halfOpenAfterMs : probeMsMax)) return REFUSED;
    return this.#change(word, HALF_OPEN, nowMs);
  }

  /** The call was answered. */
  succeed(ticket: Ticket): void {
    if ((ticket & STATE_MASK) === HALF_OPEN) {
      // Before the change: nothing is counted while half-open.
      Atomics.store(this.#words, FAILURES, 0);
      this.#change(ticket, CLOSED, this.#parts.clock.now());
    } else if (Atomics.load(this.#words, FAILURES) !== 0) {
      if (this.holds(ticket)) Atomics.store(this.#words, FAILURES, 0);
    }
  }

  /** The tier answered that it will not: it is there, which ends a probe, and else tells nothing. */
  refuse(ticket: Ticket): void {
    if ((ticket & STATE_MASK) === HALF_OPEN) this.succeed(ticket);
  }

  /** The tier gave no answer, or none in time. */
  fail(ticket: Ticket): void {
    if ((ticket & STATE_MASK) === CLOSED) {
      if (!this.holds(ticket)) return;
      if (Atomics.add(this.#words, FAILURES, 1) + 1 < this.#options.failuresMax) return;
    }
    this.#change(ticket, OPEN, this.#parts.clock.now());
  }

  /** The new word, if the old one still held; else somebody else made a change. */
  #change(from: number, to: number, nowMs: number): Ticket {
    const word = pack(to, nowMs);
    if (word === from || Atomics.compareExchange(this.#words, WORD, from, word) !== from) return REFUSED;
    const was = from & STATE_MASK;
    // A probe taken over changes hands, not the state.
    if (was !== to) {
      Atomics.add(this.#words, CHANGES, 1);
      const { tier, onChange } = this.#parts;
      onChange?.({ tier, from: STATES[was] as BreakerState, to: STATES[to] as BreakerState });
    }
    return word as Ticket;
  }
}

/** The shift drops what a word has no room for. */
function pack(state: number, nowMs: number): number {
  return (nowMs << STATE_BITS) | state;
}

/** Whether so long has passed since the word's time. A clock that was set far back does not make it wait for ever. */
function hasPassed(word: number, nowMs: number, waitMs: number): boolean {
  const elapsedMs = (pack(0, nowMs) - (word & ~STATE_MASK)) | 0;
  const elapsed = elapsedMs >> STATE_BITS;
  return elapsed >= waitMs || elapsed < -waitMs;
}
