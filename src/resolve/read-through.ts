/**
 * Entries of caches that have an origin: what no tier has is asked of it, once a key, and stored as any write is.
 *
 *   ask ─► flight under way? ─► tiers ─► fresh, or stale and nobody wants it anew ─────────────────────► answer
 *             │ join              │ old, or nothing                                                         ▲
 *             │                   ▼                                                                         │
 *             │              version ─► origin ─► value, or that there is none ─► stored, unless changed ───┤
 *             └───────────────────────────────────► failed, or nobody can wait longer ─► old value, or why ─┘
 *
 * The version of what is stored is that of the moment when the asking began: what is written or deleted from then on is
 * newer, in every tier and on every server. A change of the key that is told of meanwhile, though its version is of a
 * clock that is behind, makes the flight void (`origin-flights.ts`).
 *
 * The origin is waited for beyond the deadlines of those who ask; who has an old value to fall back on waits for it half
 * of its time, all together. From when that was in vain until the origin is as quick again, it is asked behind the backs
 * of those who have one.
 */
import { assert } from '../base/assert.js';
import type { Clock, HybridClock, Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { adaptedTtlMs } from '../caches/adaptive-ttl.js';
import type { CacheDefinition } from '../caches/definition.js';
import { isOfFormat } from '../caches/embeddings/embedding.js';
import { EntryReader, etagOf } from '../caches/entry.js';
import { type Freshness, freshnessOf } from '../caches/freshness.js';
import { absentEntry, type OriginEntry, originEntry } from '../caches/origin-entry.js';
import {
  errorOf,
  failureOf,
  type PutEntryOp,
  type ReadThroughReply,
  type ReadThroughTask,
  type RefreshTask,
  type ThroughAnswer,
} from '../lanes/messages.js';
import { PackedRows, packRows, ROW, type Row } from '../lanes/packed-rows.js';
import type { OriginCounters } from '../observe/origin-counters.js';
import type { OriginValue } from '../tiers/origin-value.js';
import { recordExpiresAt, recordVersion } from '../views/record-codec.js';
import type { LaneView, LaneViews } from './lane-views.js';
import type { OriginFlight, OriginFlights } from './origin-flights.js';
import type { GuardedOrigin } from './origin-guard.js';
import type { OriginLease, OriginLeases } from './origin-leases.js';
import type { ReadResolver } from './read-resolver.js';
import type { RecordWriter } from './record-writer.js';

/** A cache with its origin, in one lane. */
export interface OriginCache {
  readonly definition: CacheDefinition;
  readonly origin: Pick<GuardedOrigin, 'fetch' | 'isRefusing'>;
  readonly counters: OriginCounters;
}

export interface ReadThroughParts {
  /** By the name of the view that holds the entries. */
  readonly caches: ReadonlyMap<string, OriginCache>;
  readonly views: LaneViews;
  readonly reads: Pick<ReadResolver, 'read'>;
  readonly writes: Pick<RecordWriter, 'packEntry' | 'keep' | 'write'>;
  readonly flights: OriginFlights<Outcome>;
  /** Where servers share the store of record. */
  readonly leases?: Pick<OriginLeases, 'take' | 'rest'> | undefined;
  readonly versions: HybridClock;
  readonly clock: Clock;
}

/** What a flight ends with: an entry that a tier has, what the origin has (or that it has none), or why nothing. */
export type Outcome =
  | { readonly kind: 'held'; readonly record: Uint8Array }
  | { readonly kind: 'origin'; readonly record: Uint8Array | undefined; readonly isStored: boolean }
  | { readonly kind: 'failed'; readonly error: HeadraceError };

interface Ask {
  readonly cache: OriginCache;
  readonly lane: LaneView;
  readonly id: string;
  readonly isOneOfSeveral: boolean;
  /** For a reader, 0; else what is fresh no longer than this is to be made anew, as is all that is stale. */
  readonly untilMs: number;
  /** The cache is switched on. */
  readonly enabled: boolean;
}

export interface Brought {
  readonly isFetched: boolean;
  readonly failure: HeadraceError | undefined;
}

type Answer = readonly [row: Row, how: ThroughAnswer];

/** In the background, of one lane. */
const REFRESHES_MAX = 64;
/** Of one of them, when others ask for the same. */
const LOOKS_MAX = 3;
/** The last keys asked for may go over it. */
const REPLY_BYTES_MAX = 32 * 1024 * 1024;
/** Tiers have timeouts of their own. */
const TIERS_MS_MAX = 60_000;
/** So long before a deadline it is answered what there is. */
const SPARE_MS = 10;
const NO_BYTES = new Uint8Array(0);

export class ReadThrough {
  readonly #parts: ReadThroughParts;
  readonly #entry = new EntryReader();
  /** Whose origins were waited for in vain, and for how long. */
  readonly #slow = new Map<OriginCache, number>();
  #refreshing = 0;

  constructor(parts: ReadThroughParts) {
    this.#parts = parts;
  }

  /** So many keys at a time as a batch has. @throws HeadraceError `view-not-found`. */
  async read({ viewUid, ids, enabled, deadlineMs }: ReadThroughTask): Promise<ReadThroughReply> {
    const lane = this.#parts.views.get(viewUid);
    const cache = this.#cacheOf(lane);
    const step = cache.definition.origin?.batchMax ?? 1;
    const answers: Answer[] = [];
    let bytes = 0;
    for (let from = 0; from < ids.length; from += step) {
      const some = ids.slice(from, from + step);
      const whole = { cache, lane, isOneOfSeveral: ids.length > 1, untilMs: 0, enabled };
      const asks = some.map(id => ({ ...whole, id }));
      const now =
        bytes > REPLY_BYTES_MAX
          ? asks.map(() => TOO_MUCH)
          : await Promise.all(asks.map(ask => this.#answer(ask, deadlineMs)));
      for (const [row] of now) bytes += typeof row === 'number' ? 0 : row.byteLength;
      answers.push(...now);
    }
    const rows = packRows(answers.map(([row]) => row));
    return { kind: 'read-through', rows, answers: answers.map(([, how]) => how) };
  }

  /** Has an entry made anew in the background, unless that is under way, or too many are. */
  refresh({ viewUid, id, untilMs }: Omit<RefreshTask, 'kind'>): void {
    const { views, flights } = this.#parts;
    const isKnown = views.find(viewUid) !== undefined;
    if (!isKnown || this.#refreshing >= REFRESHES_MAX || flights.isFull(viewUid)) return;
    if (flights.join(viewUid, id) !== undefined) return;
    this.#refreshing++;
    void this.bring({ viewUid, id, untilMs }, false).finally(() => {
      this.#refreshing--;
    });
  }

  /**
   * The same, when it is waited for; does not reject. Of a cache without an origin, what a tier has comes into memory. It
   * is looked for apart from the question to the origin: who reads it meanwhile joins that one, and need not wait for this.
   */
  async bring({ viewUid, id, untilMs }: Omit<RefreshTask, 'kind'>, isOneOfSeveral = true): Promise<Brought> {
    const { views, flights, caches } = this.#parts;
    let isFetched = false;
    try {
      const lane = views.get(viewUid);
      const cache = caches.get(lane.view.name);
      for (let round = 0; round < LOOKS_MAX && !isFetched; round++) {
        const held = await this.#held({ lane, id });
        if (cache === undefined) break;
        const ask = { cache, lane, id, isOneOfSeveral, untilMs, enabled: true };
        if (held !== undefined && this.#isEnough(ask, this.#judge(cache, held))) break;
        // Whose question is under way may have found enough for a reader, but not for this.
        const other = flights.join(viewUid, id);
        if (other === undefined && flights.isFull(viewUid)) return { isFetched, failure: TOO_MANY };
        isFetched = other === undefined;
        const outcome = await (other ?? this.#begin(ask)).answer;
        if (outcome.kind === 'failed') return { isFetched, failure: outcome.error };
      }
      return { isFetched, failure: undefined };
    } catch (error) {
      return { isFetched, failure: errorOf(failureOf(error)) };
    }
  }

  #cacheOf({ view }: LaneView): OriginCache {
    const cache = this.#parts.caches.get(view.name);
    assert(cache !== undefined, 'only caches that have an origin are read through');
    return cache;
  }

  async #answer(ask: Ask, deadlineMs: number): Promise<Answer> {
    const { flights, clock } = this.#parts;
    const { counters } = ask.cache;
    const joined = ask.enabled ? flights.join(ask.lane.view.uid, ask.id) : undefined;
    if (joined === undefined && flights.isFull(ask.lane.view.uid)) return failed(TOO_MANY);
    const flight = joined ?? this.#begin(ask);
    const outcome = await this.#wait(ask.cache, flight, deadlineMs);
    const isJoined = joined !== undefined;
    if (outcome?.kind === 'held') return [outcome.record, { ...HELD, isJoined }];
    if (outcome?.kind === 'origin') {
      const { record = ROW.notFound, isStored } = outcome;
      return [record, { source: 'origin', isStored, isJoined, failure: null }];
    }
    const { old } = flight;
    if (old !== undefined && recordExpiresAt(old) > clock.now()) {
      counters.add('staleServed');
      return [old, { ...HELD, source: 'stale', isJoined }];
    }
    return failed(outcome?.error ?? LATE);
  }

  /** `undefined`: whoever asked cannot wait longer, or need not. */
  async #wait(
    cache: OriginCache,
    flight: OriginFlight<Outcome>,
    deadlineMs: number,
  ): Promise<Outcome | undefined> {
    const nowMs = this.#parts.clock.now();
    const leftMs = Math.max(0, deadlineMs - nowMs);
    const patienceMs = leftMs / 2;
    if (this.#slow.has(cache)) await within(Promise.race([flight.looked, flight.answer]), patienceMs);
    const isSlow = this.#slow.has(cache) && flight.old !== undefined;
    // Who joins when others have waited so long need not wait as well.
    const firstMs = isSlow ? 0 : Math.max(0, patienceMs - Math.max(0, nowMs - flight.beganMs));
    const outcome = await within(flight.answer, firstMs);
    if (outcome !== undefined) return outcome;
    if (flight.old === undefined)
      return within(flight.answer, leftMs - firstMs - Math.min(SPARE_MS, leftMs / 10));
    if (!isSlow) this.#slow.set(cache, patienceMs);
    return undefined;
  }

  #begin(ask: Ask): OriginFlight<Outcome> {
    const { flights } = this.#parts;
    const find = (flight: OriginFlight<Outcome>) =>
      this.#find(ask, flight).catch(
        (error): Outcome => ({ kind: 'failed', error: errorOf(failureOf(error)) }),
      );
    const { uid } = ask.lane.view;
    return ask.enabled ? flights.begin(uid, ask.id, find) : flights.beginAlone(uid, find);
  }

  async #find(ask: Ask, flight: OriginFlight<Outcome>): Promise<Outcome> {
    const found = await this.#look(ask, flight);
    flight.endLook();
    return found ?? this.#askInTurn(ask, flight);
  }

  /** What is held, where that is enough; else the flight knows of it. */
  async #look(ask: Ask, flight: OriginFlight<Outcome>): Promise<Outcome | undefined> {
    const held = ask.enabled ? await this.#held(ask) : undefined;
    const freshness = held === undefined ? 'unreadable' : this.#judge(ask.cache, held);
    if (held !== undefined && this.#isEnough(ask, freshness)) return { kind: 'held', record: held };
    flight.held = held;
    flight.old = freshness === 'unreadable' ? undefined : held;
    return undefined;
  }

  /** Of servers that share a store, one asks for a key, and the others look for what it brings. */
  async #askInTurn(ask: Ask, flight: OriginFlight<Outcome>): Promise<Outcome> {
    const { leases } = this.#parts;
    const { origin, definition } = ask.cache;
    if (leases === undefined || !ask.enabled || origin.isRefusing) return this.#askOrigin(ask, flight);
    for (let round = 0; ; round++) {
      const lease = await leases.take(definition, ask.lane, ask.id, flight.held);
      if (lease !== 'elsewhere') return this.#askWith(lease, ask, flight);
      if (ask.untilMs > 0 && flight.held !== undefined) return { kind: 'held', record: flight.held };
      await leases.rest(round);
      const found = await this.#look(ask, flight);
      if (found !== undefined) return found;
    }
  }

  async #askWith(lease: OriginLease | undefined, ask: Ask, flight: OriginFlight<Outcome>): Promise<Outcome> {
    flight.lease = lease;
    try {
      return await this.#askOrigin(ask, flight);
    } finally {
      await lease?.release();
    }
  }

  /** Whether what was judged last need not be made anew. */
  #isEnough({ untilMs }: Ask, freshness: Freshness | 'unreadable'): boolean {
    if (freshness !== 'fresh' && freshness !== 'stale') return false;
    return untilMs === 0 || this.#entry.freshUntil > untilMs;
  }

  /** What the table or a tier has: it may have come since whoever asks has looked. */
  async #held({ lane, id }: Pick<Ask, 'lane' | 'id'>): Promise<Uint8Array | undefined> {
    const { reads, clock } = this.#parts;
    const deadlineMs = clock.now() + TIERS_MS_MAX;
    const { rows, failures } = await reads.read([{ viewUid: lane.view.uid, ids: [id], deadlineMs }]);
    const [failure] = failures;
    if (failure != null) throw errorOf(failure);
    const row = new PackedRows(rows, 1);
    if (row.status(0) === ROW.unavailable)
      throw new HeadraceError('unavailable', `the entry ${id} cannot be read now`);
    return row.record(0);
  }

  /** `unreadable`: nothing but a mark, or of a cache of embeddings that was told otherwise when it was written. */
  #judge({ definition }: OriginCache, record: Uint8Array): Freshness | 'unreadable' {
    this.#entry.reset(record);
    if (this.#entry.isVacant || !isOfFormat(definition.embedding, this.#entry)) return 'unreadable';
    return freshnessOf(this.#entry, this.#parts.clock.now());
  }

  /** The one place where a lane calls an origin: nothing that may be served is held, and nobody else asks for the key. */
  async #askOrigin(ask: Ask, flight: OriginFlight<Outcome>): Promise<Outcome> {
    const { versions, clock } = this.#parts;
    const { cache, id, isOneOfSeveral, untilMs } = ask;
    if (untilMs > 0 && flight.held !== undefined)
      cache.counters.add(this.#judge(cache, flight.held) === 'fresh' ? 'ahead' : 'refreshes');
    // Else what is asked for now would lose to what it is to replace, where that is of a clock that is ahead.
    if (flight.held !== undefined) versions.seen(recordVersion(flight.held));
    const version = versions.next();
    const key = id.slice(cache.definition.prefix.length);
    const beganMs = clock.now();
    const value = await cache.origin.fetch(key, isOneOfSeveral);
    if (clock.now() - flight.beganMs < (this.#slow.get(cache) ?? 0)) this.#slow.delete(cache);
    return this.#keep(ask, flight, value, { version, costMs: Math.max(0, clock.now() - beganMs) });
  }

  async #keep(
    { cache, lane, id, enabled }: Ask,
    flight: OriginFlight<Outcome>,
    value: OriginValue | undefined,
    { version, costMs }: { readonly version: Version; readonly costMs: number },
  ): Promise<Outcome> {
    const { writes, views } = this.#parts;
    const { definition, counters } = cache;
    const { head, isKept } =
      value === undefined ? absentEntry(definition) : this.#entryOf(cache, value, flight.held);
    const payload = value?.payload ?? NO_BYTES;
    const deadlineMs = Number.POSITIVE_INFINITY;
    const place = { viewUid: lane.view.uid, id, version, deadlineMs };
    const op: PutEntryOp = { kind: 'put-entry', ...place, head, start: 0, end: payload.length };
    const packed = writes.packEntry(op, lane, payload, costMs);
    const outcome = (isStored: boolean): Outcome => ({
      kind: 'origin',
      record: value === undefined ? undefined : packed.value,
      isStored,
    });
    // Who has a lease is told of changes by that, and of its own mark as if it were one.
    const isVoid = flight.isVoid && flight.lease === undefined;
    if (!enabled || isVoid || views.find(lane.view.uid) === undefined) return outcome(false);
    try {
      if (isKept) return outcome(await (flight.lease?.keep(packed) ?? writes.keep(packed)));
      // What was there before would else be taken for what there is.
      if (flight.held !== undefined) await writes.write([{ kind: 'remove', ...place }], NO_BYTES);
    } catch {
      counters.add('unstored');
    }
    return outcome(false);
  }

  /** Whether it is what was held shows by the validator: the origin's own, or that of the bytes. */
  #entryOf({ definition, counters }: OriginCache, value: OriginValue, held?: Uint8Array): OriginEntry {
    const etag = value.etag === '' ? etagOf(value.contentType, value.payload) : value.etag;
    const entry = this.#entry;
    if (held !== undefined) entry.reset(held);
    const isSame = held !== undefined && !entry.isTombstone && entry.etag === etag;
    if (isSame) counters.add('unchanged');
    const ttlMs = adaptedTtlMs(definition, isSame ? entry : undefined, this.#parts.clock.now());
    return originEntry({ ...value, etag }, { ...definition, ttlMs });
  }
}

const HELD: ThroughAnswer = { source: 'tier', isStored: false, isJoined: false, failure: null };

const LATE = new HeadraceError(
  'deadline',
  'the deadline passed before the origin answered; what it answers later is kept',
);
const TOO_MANY = new HeadraceError(
  'overloaded',
  'too many keys of the cache are being asked for; try again later',
);
const TOO_MUCH = failed(
  new HeadraceError('too-many-ids', `the entries have more than ${REPLY_BYTES_MAX} bytes: ask for fewer`),
);

function failed(error: HeadraceError): Answer {
  return [ROW.unavailable, { ...HELD, source: 'origin', failure: failureOf(error) }];
}

/** What the promise, which does not reject, resolves to within the time, else `undefined`. */
function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve(undefined), ms);
    void promise.then(value => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}
