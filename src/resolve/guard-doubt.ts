/**
 * A tier in doubt is asked whether it is there, so that its breaker opens as soon when one call a second meets the
 * fault as when thousands do:
 *
 *   a call failed, or waits longer ─► ping ─► ping ─► … one each half of a read's time, each without a reply counted
 *   than a read may                                   as a failure, until one is answered, the breaker changes, or
 *                                                     there were as many as open it
 *
 * A reply to any of the pings ends the doubt, also a late one, and a refusal is a reply. It does not reset the count: a
 * tier may answer pings and fail at everything else, and then its calls open the breaker. Pings use the ticket of the
 * call that raised the doubt: those of a probe open a half-open breaker again, and none closes it.
 *
 * With failuresMax = 5, a breaker opens 3.5 times a read's time after the tier fell silent to a call: with the default
 * timeouts 350 ms for Redis and 525 ms for MongoDB. What is silent for less is forgiven, unless several lanes count.
 */
import { HeadraceError } from '../base/errors.js';
import { type Tier, TierRefusal } from '../base/tier.js';
import type { Breaker, Ticket } from './breaker.js';

/** Of a read's timeout: a ping is the cheapest of calls. */
const PING_SHARE = 0.5;

export class Doubt {
  readonly #ping: NonNullable<Tier['ping']>;
  readonly #breaker: Breaker;
  readonly #pingMs: number;
  #end: (() => void) | undefined;
  #isClosed = false;

  constructor(ping: NonNullable<Tier['ping']>, breaker: Breaker, readTimeoutMs: number) {
    this.#ping = ping;
    this.#breaker = breaker;
    this.#pingMs = PING_SHARE * readTimeoutMs;
  }

  /** A call that was made under the ticket has failed, or waits too long. One doubt at a time is enough. */
  raise(ticket: Ticket): void {
    if (this.#end !== undefined || this.#isClosed || !this.#breaker.holds(ticket)) return;
    const over = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      if (over.signal.aborted) return;
      clearTimeout(timer);
      this.#end = undefined;
      over.abort();
    };
    const ask = (left: number) => {
      if (left === 0 || !this.#breaker.holds(ticket)) return end();
      // Also after a ping that failed at once: what refuses connections for a moment has its time to come back.
      timer = setTimeout(() => {
        this.#breaker.fail(ticket);
        ask(left - 1);
      }, this.#pingMs);
      this.#ping(over.signal).then(end, error => {
        if (isRefusal(error)) end();
      });
    };
    this.#end = end;
    ask(this.#breaker.failuresMax);
  }

  close(): void {
    this.#isClosed = true;
    this.#end?.();
  }
}

/** The tier has answered that it will not: it is there, and its breaker does not mind. */
export function isRefusal(error: unknown): boolean {
  return error instanceof HeadraceError && !isTransient(error);
}

/** It may pass, and then another attempt helps. */
export function isTransient(error: unknown): boolean {
  return error instanceof HeadraceError && error.code === 'unavailable' && !(error instanceof TierRefusal);
}
