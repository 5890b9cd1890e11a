/**
 * What becomes of a read of an entry that memory does not have: one looks into the store, and where there is nothing
 * either gets the lease; the others wait for what it makes as long as they want to, and are told when to come again.
 */

import { assert } from '../base/assert.js';
import type { Version } from '../base/clock.js';
import { HeadraceError, problemOf } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import type { Call, SharedLease, Turn } from '../caches/lease-claim.js';
import type { LeaseTable } from '../caches/lease-table.js';
import type { AnswerError } from './answer-error.js';
import { CacheStatus, type Forward } from './cache-status.js';
import { EntryPolls } from './entry-polls.js';
import type { Exchange, Headers } from './front.js';
import type { Timing } from './server-timing.js';
import type { VectorForm } from './vector-form.js';

/** A read of an entry. */
export interface Asked {
  readonly cache: CacheDefinition;
  readonly key: string;
  /** The key with the cache's prefix. */
  readonly id: string;
  /** Of a vector. */
  readonly form: VectorForm | undefined;
  readonly ifNoneMatch: string;
  /** For what another makes. */
  readonly waitMs: number;
  readonly timing: Timing;
}

/** Where an entry is served from; `made`: from memory, where another has put it meanwhile. */
export type Source = 'L1' | 'L3' | 'made';

/** Why there is nothing to serve. */
export interface Lack {
  /** As a `Cache-Status`. */
  readonly status: string;
  readonly forward: Forward;
  /** Until when another server has a lease on it, 0 when none has. */
  readonly leasedUntilMs: number;
  /** The version of what is held and cannot be read, so that a lease is given over it; `null`: nothing is in the way. */
  readonly over: Version | null;
}

export interface Served {
  readonly record: Uint8Array;
  readonly source: Source;
  readonly token?: string | undefined;
}

export interface EntryMissesOptions {
  /** Who reads an entry of the cache may get a lease on it from this; `undefined`: there are none. */
  readonly leasesOf: (cache: CacheDefinition) => LeaseTable | undefined;
  /** From shared memory, until the next read. */
  readonly probe: (asked: Asked) => Uint8Array | undefined;
  /** From below. @throws HeadraceError when that cannot be said. */
  readonly fetch: (asked: Asked) => Promise<Uint8Array | undefined>;
  /** Why the record cannot be served; `undefined` when it can. */
  readonly lackOf: (asked: Asked, record: Uint8Array, source: Source) => Lack | undefined;
  /** Of a cache that has an origin: what nobody has is asked for there. */
  readonly askOrigin: (exchange: Exchange, asked: Asked, forward: Forward) => void;
  readonly serve: (exchange: Exchange, asked: Asked, record: Uint8Array, source: Source) => void;
  /** The same of one that is due to be made anew, with the token of the lease if there is one. */
  readonly serveDue: (exchange: Exchange, asked: Asked, served: Served) => void;
  /**
   * Where several servers share the store: gives a lease there, on nothing or on the version that is served meanwhile.
   * `undefined`: another has it, or has written the entry.
   */
  readonly lease: ((asked: Asked, over: Version | null) => Promise<SharedLease | undefined>) | undefined;
  readonly answerError: AnswerError;
  readonly now: () => number;
}

/** A read on its way. */
interface Miss {
  readonly exchange: Exchange;
  readonly asked: Asked;
  readonly leases: LeaseTable | undefined;
  readonly untilMs: number;
  lack: Lack;
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
  readonly #polls = new EntryPolls();

  constructor(options: EntryMissesOptions) {
    this.#options = options;
  }

  /** Answers, now or later. `lack` says why memory has nothing to serve, where it knows. */
  answer(exchange: Exchange, asked: Asked, lack: Lack | undefined): void {
    const { leasesOf, now, answerError } = this.#options;
    // A HEAD asks what there is, and makes nothing.
    const leases = exchange.method === 'HEAD' ? undefined : leasesOf(asked.cache);
    if (leases === undefined && lack !== undefined) return this.#lacks(exchange, asked, lack);
    const kept = exchange.later(() => miss.leave());
    const miss: Miss = {
      ...{ exchange: kept, asked, leases },
      untilMs: now() + asked.waitMs,
      lack: lack ?? ABSENT,
      leave: () => undefined,
    };
    this.#run(miss, lack !== undefined).catch(error =>
      answerError(kept, error, ['cache-status', STATUS.failed]),
    );
  }

  /** Answers with an entry that is due to be made anew, and with the lease if nobody has it. */
  refresh(exchange: Exchange, asked: Asked, served: Served, version: Version): void {
    const { leasesOf, lease, serveDue, answerError } = this.#options;
    const leases = exchange.method === 'HEAD' ? undefined : leasesOf(asked.cache);
    if (lease === undefined)
      return serveDue(exchange, asked, { ...served, token: leases?.refresh(asked.id) });
    const turn = leases?.beginRefresh(asked.id);
    if (leases === undefined || turn === undefined) return serveDue(exchange, asked, served);
    const kept = exchange.later();
    // What it was read from is used again before the store has answered.
    const record = served.record.slice();
    lease(asked, version)
      // It can be served in any case.
      .catch(() => undefined)
      .then(given => {
        const token = given && leases.grantRefresh(turn, given);
        leases.pass(turn);
        serveDue(kept, asked, { ...served, record, token });
      })
      .catch(error => answerError(kept, error));
  }

  async #run(miss: Miss, isLackKnown: boolean): Promise<void> {
    let step = await this.#begin(miss, isLackKnown);
    for (let round = 0, known = isLackKnown; ; round++, known = false) {
      switch (step.kind) {
        case 'turn':
          if (await this.#take(miss, step.turn, known)) return;
          step = AGAIN;
          break;
        case 'again':
          if (this.#serveMade(miss)) return;
          // Written or deleted each time that it was looked for.
          if (round >= VOID_ROUNDS_MAX && this.#options.now() >= miss.untilMs) return this.#missing(miss);
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
    const turn = leases === undefined ? 'full' : leases.begin(asked.id, isLackKnown);
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
      if (leases === undefined || leave === undefined) return resolve(otherwise);
      miss.leave = leave;
      if (this.#options.lease !== undefined) this.#watch(asked, leases);
    });
  }

  /** Looks, and takes the lease where there is nothing. False: it was written or invalidated meanwhile. */
  async #take(miss: Miss, turn: Turn, isLackKnown: boolean): Promise<boolean> {
    const { exchange, asked } = miss;
    const { fetch, serve, now } = this.#options;
    const { leases } = miss;
    assert(leases !== undefined, 'a turn is of a table');
    try {
      for (let round = 0; round < ROUNDS_MAX; round++) {
        const record = isLackKnown && round === 0 ? undefined : await fetch(asked);
        if (!(isLackKnown && round === 0) && this.#isServable(miss, record)) {
          leases.found(turn);
          serve(exchange, asked, record, 'L3');
          return true;
        }
        if (exchange.aborted) {
          leases.pass(turn);
          return true;
        }
        if (miss.lack.leasedUntilMs > now()) {
          leases.elsewhere(turn, miss.lack.leasedUntilMs);
          return false;
        }
        const token = await this.#grant(miss, leases, turn);
        if (token === undefined) continue;
        if (token === VOID) return false;
        answerMissing(exchange, asked, miss.lack.status, token === NONE ? [] : [LEASE_HEADER, token]);
        return true;
      }
    } catch (error) {
      leases.fail(turn, error);
      throw error;
    }
    // Others were faster each time.
    leases.pass(turn);
    this.#missing(miss);
    return true;
  }

  /** The token, if there is one; `undefined` when the store has changed, and is to be looked into again. */
  async #grant(miss: Miss, leases: LeaseTable, turn: Turn): Promise<Token | undefined> {
    const { lease } = this.#options;
    if (lease === undefined) return leases.grant(turn) ?? VOID;
    try {
      const given = await lease(miss.asked, miss.lack.over);
      return given && (leases.grant(turn, given) ?? VOID);
    } catch (error) {
      // A store that can be read but not written: what it lacks is missing all the same.
      if (!(error instanceof HeadraceError)) throw error;
      leases.giveUp(turn);
      return NONE;
    }
  }

  async #lookAlone(miss: Miss): Promise<void> {
    const { exchange, asked } = miss;
    const record = await this.#options.fetch(asked);
    if (this.#isServable(miss, record)) this.#options.serve(exchange, asked, record, 'L3');
    else this.#missing(miss);
  }

  /** Notes why not. */
  #isServable(miss: Miss, record: Uint8Array | undefined): record is Uint8Array {
    const lack = record === undefined ? ABSENT : this.#options.lackOf(miss.asked, record, 'L3');
    if (lack !== undefined) miss.lack = lack;
    return lack === undefined;
  }

  /** True when another has put it into memory. */
  #serveMade({ exchange, asked }: Miss): boolean {
    const { probe, lackOf, serve } = this.#options;
    const record = probe(asked);
    if (record === undefined || lackOf(asked, record, 'L1') !== undefined) return false;
    serve(exchange, asked, record, 'made');
    return true;
  }

  /** Another server may make it, or delete it; of that news come into memory where anybody tells of changes. */
  #watch(asked: Asked, leases: LeaseTable): void {
    const { probe, fetch, lackOf, now } = this.#options;
    const { cache, id } = asked;
    const look = async () => {
      if (!leases.isLeased(id)) return;
      const record = probe(asked) ?? (await fetch(asked));
      const lack = record === undefined ? ABSENT : lackOf(asked, record, 'L1');
      if (lack === undefined || lack.leasedUntilMs <= now()) leases.void(id);
    };
    this.#polls.watch(`${cache.name}/${id}`, { isAwaited: () => leases.isAwaited(id), look });
  }

  #missing({ exchange, asked, leases, lack }: Miss): void {
    const seconds = leases?.retryAfter(asked.id);
    this.#lacks(exchange, asked, lack, seconds === undefined ? [] : ['retry-after', String(seconds)]);
  }

  #lacks(exchange: Exchange, asked: Asked, { status, forward }: Lack, headers: Headers = []): void {
    if (asked.cache.origin === undefined) answerMissing(exchange, asked, status, headers);
    else this.#options.askOrigin(exchange, asked, forward);
  }
}

/** Of a lease; or there is none, as the store takes none, or as the turn is void. */
type Token = string | typeof NONE | typeof VOID;

const NONE = Symbol('none');
const VOID = Symbol('void');
const STATUS = new CacheStatus();
const ABSENT: Lack = { status: STATUS.miss, forward: 'miss', leasedUntilMs: 0, over: null };
/** So often the store may have changed between a look and the lease. */
const ROUNDS_MAX = 3;
/** So many steps are gone in vain by who does not wait. */
const VOID_ROUNDS_MAX = 8;

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
