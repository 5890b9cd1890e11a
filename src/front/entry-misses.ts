/**
 * What becomes of a read of an entry that memory does not have: one looks into the store, and where there is nothing
 * either gets the lease; the others wait for what it makes as long as they want to, and are told when to come again.
 */
import { problemOf } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import type { Call, LeaseTable, Turn } from '../caches/lease-table.js';
import type { AnswerError } from './answer-error.js';
import { CacheStatus } from './cache-status.js';
import type { Exchange, Headers } from './front.js';
import type { Timing } from './server-timing.js';

/** A read of an entry. */
export interface Asked {
  readonly cache: CacheDefinition;
  readonly key: string;
  /** The key with the cache's prefix. */
  readonly id: string;
  readonly ifNoneMatch: string;
  /** For what another makes. */
  readonly waitMs: number;
  readonly timing: Timing;
}

/** Where an entry is served from; `made`: from memory, where another has put it meanwhile. */
export type Source = 'L1' | 'L3' | 'made';

export interface EntryMissesOptions {
  /** Who reads an entry of the cache may get a lease on it from this; `undefined`: there are none. */
  readonly leasesOf: (cache: CacheDefinition) => LeaseTable | undefined;
  /** From shared memory, until the next read. */
  readonly probe: (asked: Asked) => Uint8Array | undefined;
  /** From below. @throws HeadraceError when that cannot be said. */
  readonly fetch: (asked: Asked) => Promise<Uint8Array | undefined>;
  /** Why the record cannot be served, as a `Cache-Status`; '' when it can. */
  readonly lackOf: (record: Uint8Array, source: Source) => string;
  readonly serve: (exchange: Exchange, asked: Asked, record: Uint8Array, source: Source) => void;
  readonly answerError: AnswerError;
  readonly now: () => number;
}

/** A read on its way. */
interface Miss {
  readonly exchange: Exchange;
  readonly asked: Asked;
  readonly leases: LeaseTable | undefined;
  readonly untilMs: number;
  /** The `Cache-Status` of its 404. */
  status: string;
  /** Ends its waiting. */
  leave: () => void;
}

/** Of a read, what comes next: what it was called for, or a look into the store beside whoever has the turn. */
type Step = Call | { readonly kind: 'alone' };

const ALONE: Step = { kind: 'alone' };
const AGAIN: Step = { kind: 'again' };
const OVER: Step = { kind: 'over' };

export class EntryMisses {
  readonly #options: EntryMissesOptions;
  readonly #status = new CacheStatus();

  constructor(options: EntryMissesOptions) {
    this.#options = options;
  }

  /** Answers, now or later. `lack` says why memory has nothing to serve, where it knows; else it is ''. */
  answer(exchange: Exchange, asked: Asked, lack: string): void {
    const { leasesOf, now, answerError } = this.#options;
    // A HEAD asks what there is, and makes nothing.
    const leases = exchange.method === 'HEAD' ? undefined : leasesOf(asked.cache);
    if (leases === undefined && lack !== '') return answerMissing(exchange, asked, lack);
    const kept = exchange.later(() => miss.leave());
    const miss: Miss = {
      ...{ exchange: kept, asked, leases },
      untilMs: now() + asked.waitMs,
      status: lack === '' ? this.#status.miss : lack,
      leave: () => undefined,
    };
    this.#run(miss, lack !== '').catch(error =>
      answerError(kept, error, ['cache-status', this.#status.failed]),
    );
  }

  async #run(miss: Miss, isLackKnown: boolean): Promise<void> {
    let step = await this.#begin(miss, isLackKnown);
    for (let known = isLackKnown; ; known = false) {
      switch (step.kind) {
        case 'turn':
          if (await this.#take(miss, step.turn, known)) return;
          step = AGAIN;
          break;
        case 'again':
          if (this.#serveMade(miss)) return;
          step = await this.#begin(miss, false);
          break;
        case 'found':
          if (this.#serveMade(miss)) return;
          step = ALONE;
          break;
        case 'alone':
          return this.#lookAlone(miss);
        case 'over':
          return this.#missing(miss);
        case 'failed':
          throw step.error;
      }
    }
  }

  #begin(miss: Miss, isLackKnown: boolean): Step | Promise<Step> {
    const { leases, asked } = miss;
    const turn = leases === undefined ? 'full' : leases.begin(asked.id);
    if (typeof turn === 'object') return { kind: 'turn', turn };
    const otherwise = isLackKnown || turn === 'missing' ? OVER : ALONE;
    const isWorthIt = turn !== 'full' && (turn !== 'unknown' || isLackKnown);
    return isWorthIt ? this.#wait(miss, otherwise) : otherwise;
  }

  /** @param otherwise where there is no waiting. */
  #wait(miss: Miss, otherwise: Step): Promise<Step> {
    const { leases, asked, untilMs } = miss;
    return new Promise(resolve => {
      const leave = leases?.wait(asked.id, untilMs, resolve);
      if (leave === undefined) resolve(otherwise);
      else miss.leave = leave;
    });
  }

  /** Looks, and takes the lease where there is nothing. False: it was written or invalidated meanwhile. */
  async #take(miss: Miss, turn: Turn, isLackKnown: boolean): Promise<boolean> {
    const { exchange, asked, leases } = miss;
    if (!isLackKnown) {
      const record = await this.#options.fetch(asked).catch(error => {
        leases?.fail(turn, error);
        throw error;
      });
      if (this.#isServable(miss, record)) {
        leases?.found(turn);
        this.#options.serve(exchange, asked, record, 'L3');
        return true;
      }
    }
    if (exchange.aborted) {
      leases?.pass(turn);
      return true;
    }
    const token = leases?.grant(turn);
    if (token === undefined) return false;
    answerMissing(exchange, asked, miss.status, [LEASE_HEADER, token]);
    return true;
  }

  async #lookAlone(miss: Miss): Promise<void> {
    const { exchange, asked } = miss;
    const record = await this.#options.fetch(asked);
    if (this.#isServable(miss, record)) this.#options.serve(exchange, asked, record, 'L3');
    else this.#missing(miss);
  }

  /** Notes why not. */
  #isServable(miss: Miss, record: Uint8Array | undefined): record is Uint8Array {
    const lack = record === undefined ? this.#status.miss : this.#options.lackOf(record, 'L3');
    if (lack !== '') miss.status = lack;
    return lack === '';
  }

  /** True when another has put it into memory. */
  #serveMade({ exchange, asked }: Miss): boolean {
    const { probe, lackOf, serve } = this.#options;
    const record = probe(asked);
    if (record === undefined || lackOf(record, 'L1') !== '') return false;
    serve(exchange, asked, record, 'made');
    return true;
  }

  #missing({ exchange, asked, leases, status }: Miss): void {
    const seconds = leases?.retryAfter(asked.id);
    answerMissing(exchange, asked, status, seconds === undefined ? [] : ['retry-after', String(seconds)]);
  }
}

export const LEASE_HEADER = 'headrace-lease';

/** A miss, to whom it is told: with a lease, or when to come again. */
export function answerMissing(
  exchange: Exchange,
  { cache, key }: Pick<Asked, 'cache' | 'key'>,
  status: string,
  headers: Headers = [],
): void {
  const problem = problemOf('entry-not-found', `cache ${cache.name} has no entry ${key}`);
  exchange.fail(problem, [...headers, 'cache-status', status]);
}
