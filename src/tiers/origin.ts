/**
 * The HTTP origin of a read-through cache: computes what no tier has.
 *
 *   fetch(key) ─► waiting ≤ waitingMax ─► url with {key} ─► GET ──────────────────────────────┐
 *                                    └──► url without ────► batch of a few ms ─► one POST ───┴─► pool ─► origin
 *
 * It is asked once a key by who keeps single flight, and wrapped from outside by the breaker, to which a `TierRefusal`
 * is an answer. Retries are its own, since what may be asked again shows only here (`origin-exchange.ts`).
 */
import { type Clock, systemClock } from '../base/clock.js';
import { isBatchTarget, type OriginTarget, pathOfKey } from '../base/origin-url.js';
import { TierRefusal } from '../base/tier.js';
import { BATCH_DEFAULTS, type BatchOptions, OriginBatcher } from './origin-batch.js';
import {
  EXCHANGE_DEFAULTS,
  type ExchangeOptions,
  type ExchangeParts,
  OriginExchange,
} from './origin-exchange.js';
import { type OriginValue, valueOfReply } from './origin-value.js';

export interface OriginOptions {
  readonly exchange: ExchangeOptions;
  readonly batch: BatchOptions;
  /** Keys that are asked for at one time, those that wait for a connection included. */
  readonly waitingMax: number;
}

export const ORIGIN_DEFAULTS: OriginOptions = {
  exchange: EXCHANGE_DEFAULTS,
  batch: BATCH_DEFAULTS,
  waitingMax: 10_000,
};

export interface OriginFigures {
  readonly waiting: number;
  readonly attempts: number;
  readonly retries: number;
  readonly batches: number;
}

export class Origin {
  readonly #target: OriginTarget;
  readonly #waitingMax: number;
  readonly #exchange: OriginExchange;
  readonly #batcher: OriginBatcher | undefined;
  #waiting = 0;

  constructor(target: OriginTarget, options: OriginOptions = ORIGIN_DEFAULTS, parts: ExchangeParts = {}) {
    const clock: Clock = parts.clock ?? systemClock;
    const exchange = new OriginExchange(target, options.exchange, { ...parts, clock });
    const [path = '/'] = target.pieces;
    this.#target = target;
    this.#waitingMax = options.waitingMax;
    this.#exchange = exchange;
    this.#batcher = isBatchTarget(target)
      ? new OriginBatcher({ exchange, path, clock, options: options.batch })
      : undefined;
  }

  /**
   * The value; `undefined` where the origin has none.
   * @throws HeadraceError `unavailable` when it fails, `deadline`, `overloaded` when too many keys are asked for;
   * TierRefusal when it has answered, with something that is no value.
   */
  async fetch(key: string, deadlineMs = Number.POSITIVE_INFINITY): Promise<OriginValue | undefined> {
    if (this.#waiting >= this.#waitingMax) {
      throw new TierRefusal(`${this.#waitingMax} keys are being asked of the origin already`, 'overloaded');
    }
    this.#waiting++;
    try {
      return await this.#fetch(key, deadlineMs);
    } finally {
      this.#waiting--;
    }
  }

  figures(): OriginFigures {
    const { attempts, retries } = this.#exchange;
    return { waiting: this.#waiting, attempts, retries, batches: this.#batcher?.batches ?? 0 };
  }

  /** What is under way fails. */
  close(): Promise<void> {
    this.#batcher?.close();
    return this.#exchange.close();
  }

  async #fetch(key: string, deadlineMs: number): Promise<OriginValue | undefined> {
    const path = pathOfKey(this.#target, key);
    if (this.#batcher !== undefined) return this.#batcher.fetch(key, deadlineMs);
    const reply = await this.#exchange.ask({ path }, deadlineMs);
    return reply && valueOfReply(reply);
  }
}
