/**
 * A tier that always answers in time, wrapped from outside around any tier:
 *
 *   call ─► deadline passed? ─► breaker open? ─► attempt, with a timeout (and a hedge) ─► answer
 *                                      ▲                            │ failed, and may pass
 *                                      └── pause, if time is left ◄─┘
 *
 * - Timeout: of each attempt. What ran out of time fails with `unavailable`; a write may then still be applied later,
 *   which versions make harmless. The deadline is the request's: the caller hears at the deadline, while the attempt
 *   is watched up to its timeout all the same, for short deadlines must not hide from the breaker that a tier hangs.
 * - Breaker: `breaker.ts`, shared by all lanes. Each attempt counts. While it is open, a call fails at once with an
 *   error made beforehand: no promise chain, no timer.
 * - Doubt: `guard-doubt.ts`. An attempt that failed, or a write that takes longer than a read may, has the tier pinged,
 *   so that the breaker opens however few calls there are. Costs those that are answered in time nothing.
 * - Retry, by cockatiel: exponential pauses with full jitter, only for failures that may pass (`unavailable`, and no
 *   `TierRefusal`), only if the longest pause that can be drawn ends before the deadline. Writes are retried only when
 *   asked for: what an attempt that failed had in truth applied, the next one reports as held, at the write's own version.
 * - Hedge: `guard-hedge.ts`, reads only, off unless given.
 *
 * What a tier answers or throws at once is passed through as it is.
 *
 * Cockatiel comes in after a first failure only: its retry, breaker and timeout around every call took 10.5 µs a call.
 * So made, a guarded call took 0.7 µs, one that is answered at once 0.1 µs, and one that an open breaker fails 0.3 µs.
 */
import { DelegateBackoff, handleWhen, type RetryPolicy, retry } from 'cockatiel';
import { type Clock, systemClock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { type ReadFrom, type Tier, type TierRead, TierRefusal, type TierWrite } from '../base/tier.js';
import { type Breaker, REFUSED, type Ticket } from './breaker.js';
import { Doubt, isRefusal, isTransient } from './guard-doubt.js';
import { Hedge, type HedgeOptions } from './guard-hedge.js';

export interface RetryOptions {
  /** Attempts after the first. */
  readonly retriesMax: number;
  /** The longest pause before the first of them; each next may be twice as long. */
  readonly pauseMs: number;
  readonly writes: boolean;
}

export const RETRY_DEFAULTS: RetryOptions = { retriesMax: 3, pauseMs: 100, writes: false };

export interface GuardOptions {
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly breaker?: Breaker;
  /** Without it nothing is retried. */
  readonly retry?: RetryOptions;
  /** Without it nothing is hedged. */
  readonly hedge?: HedgeOptions;
  readonly clock?: Clock;
  /** From 0 to 1, for the jitter. */
  readonly random?: () => number;
}

type Values = Awaited<ReturnType<Tier['getMany']>>;

interface Call<T> {
  readonly ask: () => T | Promise<T>;
  /** What the tier did not do when time ran out. */
  readonly verb: string;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
}

export class GuardedTier implements Tier {
  readonly name: Tier['name'];
  readonly keysOf?: (viewUid: number) => AsyncIterable<readonly Uint8Array[]>;
  readonly #tier: Tier;
  readonly #options: GuardOptions;
  readonly #clock: Clock;
  readonly #hedge: Hedge | undefined;
  readonly #doubt: Doubt | undefined;
  readonly #retry: RetryPolicy | undefined;
  readonly #openError: TierRefusal;
  readonly #lateError: HeadraceError;
  /** Attempts that failed, timeouts among them; refusals are not. */
  failures = 0;
  timeouts = 0;
  retries = 0;
  hedges = 0;
  /** Calls that an open breaker kept from the tier. */
  refused = 0;

  constructor(tier: Tier, options: GuardOptions) {
    this.name = tier.name;
    this.#tier = tier;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#hedge = options.hedge && new Hedge(options.hedge, options.readTimeoutMs);
    const { breaker, readTimeoutMs } = options;
    const ping = tier.ping?.bind(tier);
    const keysOf = tier.keysOf?.bind(tier);
    if (keysOf !== undefined) this.keysOf = viewUid => this.#inParts(keysOf(viewUid));
    this.#doubt = breaker && ping && new Doubt(ping, breaker, readTimeoutMs);
    this.#retry = options.retry && retryPolicy(options.retry, options.random ?? Math.random);
    this.#openError = new TierRefusal(`${tier.name} is not asked: it failed too often, its breaker is open`);
    this.#lateError = new HeadraceError('deadline', `the deadline passed before ${tier.name} answered`);
  }

  getMany(
    keys: readonly Uint8Array[],
    deadlineMs = Number.POSITIVE_INFINITY,
    from?: ReadFrom,
  ): Values | Promise<Values> {
    const call: Call<Values> = {
      ask: () => this.#tier.getMany(keys, deadlineMs, from),
      verb: 'answer',
      timeoutMs: this.#options.readTimeoutMs,
      deadlineMs,
    };
    const answer = this.#attempt(call, this.#hedge);
    return answer instanceof Promise && this.#retry !== undefined
      ? answer.catch(error => this.#again(call, error, this.#hedge))
      : answer;
  }

  putMany(writes: readonly TierWrite[], deadlineMs = Number.POSITIVE_INFINITY) {
    return this.#write({
      ask: () => this.#tier.putMany(writes, deadlineMs),
      verb: 'confirm a write, which may yet be applied,',
      timeoutMs: this.#options.writeTimeoutMs,
      deadlineMs,
    });
  }

  deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    return this.#write({
      ask: () => this.#tier.deleteMany(keys),
      verb: 'confirm a deletion',
      timeoutMs: this.#options.writeTimeoutMs,
      deadlineMs: Number.POSITIVE_INFINITY,
    });
  }

  discardMany(reads: readonly TierRead[]): Promise<void> {
    return this.#write({
      ask: () => this.#tier.discardMany?.(reads) ?? Promise.resolve(),
      verb: 'confirm a deletion',
      timeoutMs: this.#options.writeTimeoutMs,
      deadlineMs: Number.POSITIVE_INFINITY,
    });
  }

  /** Each part is a call of its own. */
  async *#inParts(keys: AsyncIterable<readonly Uint8Array[]>): AsyncGenerator<readonly Uint8Array[]> {
    const parts = keys[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { value, done } = await this.#attempt({
          ask: () => parts.next(),
          verb: 'answer',
          timeoutMs: this.#options.readTimeoutMs,
          deadlineMs: Number.POSITIVE_INFINITY,
        });
        if (done === true) return;
        yield value;
      }
    } finally {
      // Not waited for: it may hang with the tier.
      parts.return?.().catch(() => undefined);
    }
  }

  close(): Promise<void> {
    this.#doubt?.close();
    return this.#tier.close();
  }

  async #write<T>(call: Call<T>): Promise<T> {
    try {
      return await this.#attempt(call);
    } catch (error) {
      if (this.#options.retry?.writes !== true) throw error;
      return this.#again(call, error);
    }
  }

  /** Throws at once when the tier is not to be asked. */
  #attempt<T>(call: Call<T>, hedge?: Hedge): T | Promise<T> {
    if (call.deadlineMs <= this.#clock.now()) throw this.#lateError;
    const ticket = this.#options.breaker?.admit();
    if (ticket === REFUSED) {
      this.refused++;
      throw this.#openError;
    }
    let answer: T | Promise<T>;
    try {
      answer = call.ask();
    } catch (error) {
      this.#failed(ticket, error);
      throw error;
    }
    if (answer instanceof Promise) {
      return this.#inTime(call, hedge === undefined ? answer : this.#hedged(call, answer, hedge), ticket);
    }
    this.#succeeded(ticket);
    return answer;
  }

  /** Watches an attempt: the breaker hears once what became of it, the caller by the deadline. */
  #inTime<T>(call: Call<T>, answer: Promise<T>, ticket: Ticket | undefined): Promise<T> {
    const { timeoutMs, deadlineMs, verb } = call;
    const doubtMs = Math.min(timeoutMs, this.#options.readTimeoutMs);
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.timeouts++;
        fail(new HeadraceError('unavailable', `${this.name} did not ${verb} within ${timeoutMs} ms`));
      };
      // One timer for both, as most attempts need neither.
      let timeout = setTimeout(() => {
        if (doubtMs === timeoutMs) return giveUp();
        timeout = setTimeout(giveUp, timeoutMs - doubtMs);
        if (ticket !== undefined) this.#doubt?.raise(ticket);
      }, doubtMs);
      const leftMs = deadlineMs - this.#clock.now();
      const deadline = leftMs < timeoutMs ? setTimeout(() => reject(this.#lateError), leftMs) : undefined;
      let isOver = false;
      /** True the first time: what comes after the timeout has no say. */
      const end = () => {
        if (isOver) return false;
        isOver = true;
        clearTimeout(timeout);
        clearTimeout(deadline);
        return true;
      };
      const fail = (error: unknown) => {
        if (end()) this.#failed(ticket, error);
        reject(error);
      };
      answer.then(value => {
        if (end()) this.#succeeded(ticket);
        resolve(value);
      }, fail);
    });
  }

  /** The answer, or that of a second question, whichever comes first. */
  #hedged<T>(call: Call<T>, first: Promise<T>, hedge: Hedge): Promise<T> {
    hedge.deposit();
    const { delayMs } = hedge;
    const askedMs = this.#clock.now();
    return new Promise((resolve, reject) => {
      let open = 1;
      const lose = (error: unknown) => {
        if (--open > 0) return;
        clearTimeout(timer);
        reject(error);
      };
      const second = () => {
        if (call.deadlineMs <= this.#clock.now() || !hedge.take()) return;
        this.hedges++;
        open++;
        try {
          Promise.resolve(call.ask()).then(resolve, lose);
        } catch (error) {
          lose(error);
        }
      };
      const timer = delayMs < call.timeoutMs ? setTimeout(second, delayMs) : undefined;
      first.then(value => {
        clearTimeout(timer);
        hedge.observe(this.#clock.now() - askedMs);
        resolve(value);
      }, lose);
    });
  }

  /** The attempts after one that failed with `error`. */
  #again<T>(call: Call<T>, error: unknown, hedge?: Hedge): Promise<T> {
    const { retry: options } = this.#options;
    if (options === undefined || this.#retry === undefined) return Promise.reject(error);
    const noMore = new AbortController();
    return this.#retry.execute(async ({ attempt }) => {
      try {
        if (attempt === 0) throw error;
        this.retries++;
        return await this.#attempt(call, hedge);
      } catch (failure) {
        if (this.#clock.now() + pauseMsMax(options, attempt) >= call.deadlineMs) noMore.abort();
        throw failure;
      }
    }, noMore.signal);
  }

  #succeeded(ticket: Ticket | undefined): void {
    if (ticket !== undefined) this.#options.breaker?.succeed(ticket);
  }

  #failed(ticket: Ticket | undefined, error: unknown): void {
    const { breaker } = this.#options;
    if (isRefusal(error)) {
      if (ticket !== undefined) breaker?.refuse(ticket);
      return;
    }
    this.failures++;
    if (ticket === undefined) return;
    breaker?.fail(ticket);
    this.#doubt?.raise(ticket);
  }
}

export function guardTier(tier: Tier, options: GuardOptions): GuardedTier {
  return new GuardedTier(tier, options);
}

/** Full jitter: anything from no pause to the longest, so that those who failed together do not come back together. */
function retryPolicy(options: RetryOptions, random: () => number): RetryPolicy {
  return retry(handleWhen(isTransient), {
    maxAttempts: options.retriesMax,
    backoff: new DelegateBackoff(({ attempt }) => random() * pauseMsMax(options, attempt - 1)),
  });
}

/** Before the retry that follows so many others. */
function pauseMsMax({ pauseMs }: RetryOptions, retriesBefore: number): number {
  return pauseMs * 2 ** retriesBefore;
}
