/**
 * A cache's origin behind its circuit breaker, which all lanes share, with what is counted of it.
 *
 * A question and its retries count once (`origin-exchange.ts` retries), and so does a batch that fails for all its keys.
 * What the origin answers, though it is of no use, is no failure: it is there. Nothing pings an origin, so that its
 * breaker opens after so many questions alone.
 */
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { TierRefusal } from '../base/tier.js';
import type { OriginCounters } from '../observe/origin-counters.js';
import type { Origin } from '../tiers/origin.js';
import type { OriginValue } from '../tiers/origin-value.js';
import { type Breaker, REFUSED, type Ticket } from './breaker.js';

export interface GuardedOriginParts {
  readonly name: string;
  /** Asked for one key; the same as `several` where there is one alone. */
  readonly single: Origin;
  readonly several: Origin;
  readonly breaker: Breaker;
  readonly counters: OriginCounters;
  readonly clock: Clock;
  /** For a question with all its retries. */
  readonly questionMsMax: number;
  /** Of one value. */
  readonly bytesMax: number;
  /** What the cache keeps of a value. @throws HeadraceError that says why it is of no use to it. */
  readonly keptOf: (value: OriginValue) => OriginValue;
}

export class GuardedOrigin {
  readonly #parts: GuardedOriginParts;
  /** What was counted of the origins' own figures. */
  #counted = { retries: 0, batches: 0 };
  /** The last failure: one batch fails for all its keys with the same. */
  #failure: unknown;

  constructor(parts: GuardedOriginParts) {
    this.#parts = parts;
  }

  /** It is not asked at all. */
  get isRefusing(): boolean {
    return this.#parts.breaker.state === 'open';
  }

  /** The value; `undefined` where there is none. @throws HeadraceError why there is no answer that can be used. */
  async fetch(key: string, isOneOfSeveral: boolean): Promise<OriginValue | undefined> {
    const { name, single, several, breaker, counters, clock, questionMsMax } = this.#parts;
    const ticket = breaker.admit();
    if (ticket === REFUSED) {
      counters.add('refused');
      throw new HeadraceError(
        'unavailable',
        `${name} is not asked: it failed too often, its breaker is open`,
      );
    }
    counters.add('calls');
    try {
      const value = await (isOneOfSeveral ? several : single).fetch(key, clock.now() + questionMsMax);
      const kept = value && this.#kept(value);
      breaker.succeed(ticket);
      if (value === undefined) counters.add('notFound');
      else counters.add('bytes', value.payload.length);
      return kept;
    } catch (error) {
      throw this.#failed(ticket, error);
    } finally {
      this.#count();
    }
  }

  /** What is under way fails. */
  async close(): Promise<void> {
    const { single, several } = this.#parts;
    await Promise.all([...new Set([single, several])].map(origin => origin.close()));
  }

  /** One value of a batch may be too large where all of it is not. */
  #kept(value: OriginValue): OriginValue {
    const { name, bytesMax, keptOf } = this.#parts;
    if (value.payload.length > bytesMax)
      throw new TierRefusal(`${name} answered with more than ${bytesMax} bytes`);
    try {
      return keptOf(value);
    } catch (error) {
      if (!(error instanceof HeadraceError)) throw error;
      throw new TierRefusal(`${name} answered with what the cache does not hold: ${error.message}`);
    }
  }

  #failed(ticket: Ticket, error: unknown): unknown {
    const { breaker, counters } = this.#parts;
    if (error instanceof TierRefusal) {
      counters.add('rejected');
      breaker.refuse(ticket);
      return error.code === 'unavailable' ? new HeadraceError('bad-origin', error.message) : error;
    }
    counters.add('failures');
    if (error !== this.#failure) breaker.fail(ticket);
    this.#failure = error;
    return error;
  }

  #count(): void {
    const { single, several, counters } = this.#parts;
    const now = { retries: 0, batches: 0 };
    for (const origin of new Set([single, several])) {
      const { retries, batches } = origin.figures();
      now.retries += retries;
      now.batches += batches;
    }
    counters.add('retries', now.retries - this.#counted.retries);
    counters.add('batches', now.batches - this.#counted.batches);
    this.#counted = now;
  }
}
