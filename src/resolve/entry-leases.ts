/**
 * Leases on entries that several servers share: who gives one writes its mark into the entry, in the store of record, and
 * who has one replaces exactly that. Both are done only if the entry has not changed since it was seen, so that of all
 * servers one gives the lease, and nothing that was written, deleted or leased meanwhile is overwritten.
 */
import type { Clock, HybridClock, Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { storageKey } from '../base/keys.js';
import type { Tier } from '../base/tier.js';
import { EntryReader, fillEntry } from '../caches/entry.js';
import { freshnessOf } from '../caches/freshness.js';
import { fillMarked, isSameSecret, leasedUntil, readMark } from '../caches/lease-mark.js';
import {
  failureOf,
  type LeasedFill,
  type LeaseOp,
  type PutEntryOp,
  type WriteResult,
} from '../lanes/messages.js';
import { RecordReader } from '../views/record-reader.js';
import type { TierChain } from './chain.js';
import { type Coherence, keyName } from './coherence.js';
import { checkDeadline } from './deadline.js';
import { dropOlder, type LaneCache } from './lane-cache.js';
import type { LaneView, LaneViews } from './lane-views.js';
import type { RecordInspector } from './record-inspector.js';

export interface EntryLeasesParts {
  readonly views: LaneViews;
  readonly cache: LaneCache;
  readonly chain: TierChain;
  /** The store of record. */
  readonly record: Tier;
  readonly coherence: Pick<Coherence, 'beginWrite' | 'changedHere' | 'isNewest' | 'servedUntil'>;
  readonly inspector: RecordInspector;
  readonly clock: Clock;
  readonly versions: HybridClock;
}

/** A put with a lease that this server or another has given. */
export interface FillOp extends PutEntryOp {
  readonly lease: LeasedFill;
}

/** An entry or tombstone as it is stored; `undefined`: there is none, or none any more. */
type Held = Uint8Array | undefined;

/** Of a change of one key. */
export interface Replacement {
  readonly lane: LaneView;
  readonly id: string;
  readonly value: Uint8Array;
  readonly version: Version;
  readonly expiresAt: number;
}

export class EntryLeases {
  readonly #parts: EntryLeasesParts;
  readonly #entry = new EntryReader();
  readonly #record = new RecordReader();

  constructor(parts: EntryLeasesParts) {
    this.#parts = parts;
  }

  async grant(op: LeaseOp): Promise<WriteResult> {
    try {
      const lane = this.#begin(op);
      return { kind: 'leased', version: await this.#grant(op, lane) };
    } catch (error) {
      return { kind: 'failed', failure: failureOf(error) };
    }
  }

  async fill(op: FillOp, bodies: Uint8Array): Promise<WriteResult> {
    try {
      return { kind: 'put', put: await this.#fill(op, this.#begin(op), bodies) };
    } catch (error) {
      return { kind: 'failed', failure: failureOf(error) };
    }
  }

  /** Stores it in the place of that version alone: false where there is another. @throws what the store throws. */
  replace({ lane, id, value, version, expiresAt }: Replacement, over: Version): Promise<boolean> {
    return this.#replace({ lane, id, value, version, expiresAt }, over);
  }

  /** Ends the time of a mark, if the entry has not changed since. @throws what the store throws. */
  async release(mark: Omit<LeaseOp, 'kind' | 'over' | 'deadlineMs'>, version: Version): Promise<void> {
    const { views, cache, inspector, clock } = this.#parts;
    const lane = views.get(mark.viewUid);
    const cached = cache.get(lane.view.slot, mark.id);
    const isCurrent = cached !== undefined && inspector.version(cached) === version;
    const held = isCurrent ? cached : await this.#stored(lane, mark.id);
    if (held === undefined || inspector.version(held) !== version) return;
    await this.#replace(this.#marked({ ...mark, untilMs: clock.now() }, lane, held), version);
  }

  /** @throws HeadraceError `deadline`, `view-not-found`, or `unavailable` where there is no place for a lease. */
  #begin({ deadlineMs, viewUid }: LeaseOp | FillOp): LaneView {
    checkDeadline(deadlineMs, this.#parts.clock);
    const lane = this.#parts.views.get(viewUid);
    if (lane.view.byName.has('lease')) return lane;
    throw new HeadraceError('unavailable', 'an older server made this cache, without leases: empty it');
  }

  /** The version of the marked entry; `null` when another has the lease, or has written the entry. */
  async #grant(op: LeaseOp, lane: LaneView): Promise<Version | null> {
    const { cache, inspector } = this.#parts;
    // What memory has, or that it has nothing, is nearly always what is stored, and the store refuses it when it is not.
    const cached = cache.get(lane.view.slot, op.id);
    for (let held = cached, isStored = false; ; held = await this.#stored(lane, op.id), isStored = true) {
      if (this.#isLeasable(op, lane, held)) {
        const marked = this.#marked(op, lane, held);
        if (await this.#replace(marked, held && inspector.version(held))) return marked.version;
      }
      if (isStored) return null;
    }
  }

  /** Not what is leased, and only that version of what is served; or what cannot be served. */
  #isLeasable({ over, id }: LeaseOp, lane: LaneView, held: Held): boolean {
    if (held === undefined) return over === null;
    const nowMs = this.#parts.clock.now();
    const entry = this.#entry;
    entry.reset(held);
    if (entry.isTombstone || isHidden(lane, id, held)) return over === null;
    if (leasedUntil(entry, nowMs) > nowMs && lane.fences?.isBeforeTags(held) !== true) return false;
    if (over !== null) return over === this.#parts.inspector.version(held);
    return entry.isAbsent || freshnessOf(entry, nowMs) === 'old';
  }

  /** It is kept as long as what it stands for: a tombstone still keeps out what is older. */
  #marked(op: Pick<LeaseOp, 'id' | 'untilMs' | 'secret'>, lane: LaneView, held: Held): Replacement {
    const { clock, inspector } = this.#parts;
    const { draft, encoder } = lane;
    const version = this.#versionAbove(held === undefined ? 0 : inspector.version(held));
    const isEntry = held !== undefined && !inspector.isTombstone(held) && !isHidden(lane, op.id, held);
    const record = this.#record;
    if (isEntry) record.reset(held);
    draft.reset();
    fillMarked(draft, isEntry ? record : undefined, op);
    const expiresAt = Math.max(op.untilMs, held === undefined ? 0 : inspector.expiresAt(held));
    const times = {
      writtenAt: isEntry ? record.writtenAt : clock.now(),
      freshUntil: isEntry ? record.freshUntil : 0,
    };
    return {
      lane,
      id: op.id,
      value: encoder.encode(draft, { ...times, version, expiresAt }),
      version,
      expiresAt,
    };
  }

  async #fill(
    op: FillOp,
    lane: LaneView,
    bodies: Uint8Array,
  ): Promise<{ version: Version; applied: boolean }> {
    const { cache, clock } = this.#parts;
    const { lease, id } = op;
    const refused = { version: lease.version, applied: false };
    const cached = cache.get(lane.view.slot, id);
    const mark = this.#markOf(cached, lane, op) ?? this.#markOf(await this.#stored(lane, id), lane, op);
    const leftMs = (mark?.untilMs ?? 0) - clock.now();
    if (mark === undefined || leftMs <= 0) return refused;
    const version = this.#versionAbove(lease.version);
    lane.draft.reset();
    const tookMs = Math.max(0, lease.leaseMs - leftMs);
    fillEntry(lane.draft, op.head, bodies.subarray(op.start, op.end), tookMs);
    const written = { lane, id, version, ...lane.encodeDraft(version, clock.now()) };
    return (await this.#replace(written, lease.version)) ? { version, applied: true } : refused;
  }

  /** The mark that the lease is of; an invalidation voids it. */
  #markOf(held: Held, lane: LaneView, { id, lease }: FillOp) {
    if (held === undefined || isHidden(lane, id, held) || lane.fences?.isBeforeTags(held) === true)
      return undefined;
    if (this.#parts.inspector.version(held) !== lease.version) return undefined;
    this.#entry.reset(held);
    const mark = this.#entry.isTombstone ? undefined : readMark(this.#entry.lease);
    return mark !== undefined && isSameSecret(mark.secret, lease.secret) ? mark : undefined;
  }

  #versionAbove(version: number): Version {
    return Math.max(this.#parts.versions.next(), version + 1) as Version;
  }

  /** What the store of record has; what memory has that is older goes. */
  async #stored({ view: { uid, slot } }: LaneView, id: string): Promise<Held> {
    const { record, inspector, clock, coherence, cache } = this.#parts;
    const [held] = await record.getMany([storageKey(uid, id)], undefined, 'primary');
    coherence.changedHere(uid, id);
    if (held === undefined || !inspector.verify(held) || inspector.expiresAt(held) <= clock.now()) {
      cache.remove(slot, id);
      return undefined;
    }
    dropOlder(cache, slot, id, inspector.version(held));
    return held;
  }

  /** False: the store has another version. */
  async #replace(replacement: Replacement, over: Version | undefined): Promise<boolean> {
    const { chain, coherence, cache, views } = this.#parts;
    const { lane, id, value, version, expiresAt } = replacement;
    const { uid, slot } = lane.view;
    const name = keyName(uid, id);
    const pass = coherence.beginWrite(name);
    const changed = () => coherence.changedHere(uid, id);
    let isReplaced: boolean;
    try {
      isReplaced = await chain.replace({ key: storageKey(uid, id), value, version }, over, changed);
    } catch (error) {
      changed();
      cache.remove(slot, id);
      throw error;
    }
    if (!isReplaced) return false;
    changed();
    if (views.find(uid) === undefined) return true;
    if (coherence.isNewest(name, pass)) cache.put(slot, id, value, coherence.servedUntil(expiresAt));
    else dropOlder(cache, slot, id, version);
    return true;
  }
}

function isHidden({ fences }: LaneView, id: string, held: Uint8Array): boolean {
  return fences?.hidesId(held, 0, held.length, id) === true;
}
