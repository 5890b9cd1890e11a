/**
 * Answers a message of writes: read, give a version, pack, make durable, then put into the shared table.
 *
 * All writes of a message go to the store of record in one call. The shared table is written after that, so that no
 * reader ever sees what a crash could take back. Where the store held a newer version, an older cached copy is dropped:
 * it can be left over from a lane that died between the two.
 */

import { assert } from '../base/assert.js';
import { type Clock, type HybridClock, VERSION_MAX, VERSIONS_PER_MS, type Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { storageKey } from '../base/keys.js';
import type { TierWrite } from '../base/tier.js';
import { VectorLineReader } from '../caches/embeddings/vector-line.js';
import { fillEntry } from '../caches/entry.js';
import {
  failureOf,
  type IngestOp,
  type IngestResult,
  type LineError,
  type PutEntryOp,
  type PutOp,
  type RemoveOp,
  type WriteOp,
  type WriteResult,
} from '../lanes/messages.js';
import { encodeTombstone, withVersion } from '../views/record-codec.js';
import type { TierChain } from './chain.js';
import { type Coherence, keyName } from './coherence.js';
import { checkDeadline } from './deadline.js';
import type { EntryLeases, FillOp } from './entry-leases.js';
import type { FencePass } from './key-fence.js';
import { dropOlder, type LaneCache } from './lane-cache.js';
import type { LaneView, LaneViews } from './lane-views.js';
import type { RecordInspector } from './record-inspector.js';

export const TOMBSTONE_TTL_MS_DEFAULT = 3_600_000;

const LINE_ERRORS_MAX = 100;
const RAISE_ROUNDS_MAX = 16;
const LINE_FEED = 10;

export interface RecordWriterParts {
  readonly views: LaneViews;
  readonly cache: LaneCache;
  readonly chain: TierChain;
  readonly coherence: Coherence;
  readonly inspector: RecordInspector;
  readonly clock: Clock;
  readonly versions: HybridClock;
  /** Where several servers share the store: what is done with leases is between them. */
  readonly leases?: Pick<EntryLeases, 'grant' | 'fill'> | undefined;
  /** How long a deletion outlives its record: longer than any request lives. */
  readonly tombstoneTtlMs?: number;
}

/** A write packed and on its way to the store. */
export interface Packed extends TierWrite {
  readonly lane: LaneView;
  readonly id: string;
  readonly expiresAt: number;
  /** Up to where the version may be raised when the store holds a larger one; 0: it stays as it is. */
  readonly raiseMax: number;
}

/** What an op made of its part of the message. */
type Prepared =
  | { readonly kind: 'failed'; readonly result: WriteResult }
  /** Answered beside the others. */
  | { readonly kind: 'apart'; readonly result: Promise<WriteResult> }
  | { readonly kind: 'one'; readonly at: number }
  | { readonly kind: 'lines'; readonly from: number; readonly to: number; readonly ingest: IngestResult };

/** Writes that could not be raised, and why. */
interface Cut {
  readonly places: ReadonlySet<number>;
  readonly result: WriteResult;
}

export class RecordWriter {
  readonly #parts: RecordWriterParts;
  readonly #tombstoneTtlMs: number;
  applied = 0;
  stale = 0;

  constructor(parts: RecordWriterParts) {
    this.#parts = parts;
    this.#tombstoneTtlMs = parts.tombstoneTtlMs ?? TOMBSTONE_TTL_MS_DEFAULT;
  }

  async write(ops: readonly WriteOp[], bodies: Uint8Array): Promise<WriteResult[]> {
    const batch: Packed[] = [];
    const prepared = ops.map(op => this.#prepare(op, bodies, batch));
    try {
      const held = batch.length === 0 ? [] : await this.#store(batch);
      const cut = await this.#raise(batch, held);
      return await Promise.all(
        prepared.map(part =>
          cut !== undefined && concerns(cut, part) ? cut.result : resultOf(part, batch, held),
        ),
      );
    } catch (error) {
      const failed: WriteResult = { kind: 'failed', failure: failureOf(error) };
      return Promise.all(prepared.map(part => ('result' in part ? part.result : failed)));
    }
  }

  /**
   * An entry as a record, to be stored by `keep` or only to be answered.
   * @param costMs how long it took to make. @throws HeadraceError `invalid-record`.
   */
  packEntry(op: PutEntryOp, lane: LaneView, bodies: Uint8Array, costMs = tookMs(op)): Packed {
    lane.draft.reset();
    fillEntry(lane.draft, op.head, bodies.subarray(op.start, op.end), costMs);
    lane.draft.id = op.id;
    lane.draft.version = op.version;
    const packed = this.#pack(lane);
    return op.lease === undefined ? packed : { ...packed, raiseMax: 0 };
  }

  /** Stores it as `write` does: whether it was applied. @throws HeadraceError what the store throws. */
  async keep(packed: Packed): Promise<boolean> {
    const [held = null] = await this.#store([packed]);
    return held === null;
  }

  #prepare(op: WriteOp, bodies: Uint8Array, batch: Packed[]): Prepared {
    const { leases } = this.#parts;
    if (op.kind === 'lease') {
      assert(leases !== undefined, 'leases are marked in a store that servers share');
      return { kind: 'apart', result: leases.grant(op) };
    }
    if (isFill(op) && leases !== undefined) return { kind: 'apart', result: leases.fill(op, bodies) };
    try {
      checkDeadline(op.deadlineMs, this.#parts.clock);
      const lane = this.#parts.views.get(op.viewUid);
      if (op.kind === 'ingest') return this.#readLines(op, lane, batch);
      batch.push(this.#packOne(op, lane, bodies));
      return { kind: 'one', at: batch.length - 1 };
    } catch (error) {
      return { kind: 'failed', result: { kind: 'failed', failure: failureOf(error) } };
    }
  }

  #packOne(op: PutOp | PutEntryOp | RemoveOp, lane: LaneView, bodies: Uint8Array): Packed {
    if (op.kind === 'remove') return this.#tombstone(op, lane);
    return op.kind === 'put' ? this.#readBody(op, lane, bodies) : this.packEntry(op, lane, bodies);
  }

  #readBody(op: PutOp, lane: LaneView, bodies: Uint8Array): Packed {
    lane.reader(op.flat).read(lane.draft, bodies, op.start, op.end, 'path');
    lane.draft.id = op.id;
    return this.#pack(lane);
  }

  #readLines(op: IngestOp, lane: LaneView, batch: Packed[]): Prepared {
    const { chunk, lineNumbers } = op;
    const readLine = lineReader(op, lane);
    const from = batch.length;
    const errors: LineError[] = [];
    let failed = 0;
    let line = 0;
    for (let start = 0; start < chunk.length; line++) {
      const feed = chunk.indexOf(LINE_FEED, start);
      const end = feed === -1 ? chunk.length : feed;
      const number = lineNumbers[line] ?? 0;
      try {
        readLine(start, end, number);
        batch.push(this.#pack(lane));
      } catch (error) {
        if (!(error instanceof HeadraceError)) throw error;
        failed++;
        if (errors.length < LINE_ERRORS_MAX) errors.push({ line: number, detail: describe(error, number) });
      }
      start = end + 1;
    }
    return { kind: 'lines', from, to: batch.length, ingest: { applied: 0, stale: 0, failed, errors } };
  }

  #pack(lane: LaneView): Packed {
    const { clock, versions } = this.#parts;
    const { draft, view } = lane;
    const version = draft.version ?? versions.next();
    const raiseMax = draft.version === undefined ? VERSION_MAX : 0;
    const encoded = lane.encodeDraft(version, clock.now());
    return { key: storageKey(view.uid, draft.id), ...encoded, version, lane, id: draft.id, raiseMax };
  }

  #tombstone(op: RemoveOp, lane: LaneView): Packed {
    const version = op.version ?? this.#parts.versions.next();
    const raiseMax = op.version === undefined ? Number.MAX_SAFE_INTEGER : 0;
    const now = this.#parts.clock.now();
    const expiresAt = now + this.#tombstoneTtlMs;
    const value = encodeTombstone(version, now, expiresAt);
    return { key: storageKey(lane.view.uid, op.id), value, version, lane, id: op.id, expiresAt, raiseMax };
  }

  async #store(batch: readonly Packed[]): Promise<(Version | null)[]> {
    const { cache, coherence, views, versions } = this.#parts;
    const names = batch.map(({ lane, id }) => keyName(lane.view.uid, id));
    const passes = names.map(name => coherence.beginWrite(name));
    const mayKeep = (at: number) => coherence.isNewest(names[at] as string, passes[at] as FencePass);
    const results = await this.#putMany(batch);
    for (let index = 0; index < batch.length; index++) {
      const { lane, id, value, version, expiresAt } = batch[index] as Packed;
      const { slot, uid } = lane.view;
      const held = results[index] ?? null;
      if (held === null) this.applied++;
      else {
        this.stale++;
        versions.seen(held);
      }
      if (views.find(uid) === undefined) continue;
      if (held === null && mayKeep(index)) cache.put(slot, id, value, coherence.servedUntil(expiresAt));
      else dropOlder(cache, slot, id, held ?? version);
    }
    return [...results];
  }

  /** Tells of the change when the store has it, or may have it: cached copies must not outlive what they were made of. */
  async #putMany(batch: readonly Packed[]): Promise<readonly (Version | null)[]> {
    const { cache, chain, coherence } = this.#parts;
    const changed = () => {
      for (const { lane, id } of batch) coherence.changedHere(lane.view.uid, id);
    };
    try {
      const results = await chain.putMany(batch, changed);
      // Also of what was read from a tier above before that had the write.
      changed();
      return results;
    } catch (error) {
      // A disk that is full has taken nothing.
      const isUntouched = error instanceof HeadraceError && error.code === 'disk-full';
      for (const { lane, id } of isUntouched ? [] : batch) {
        coherence.changedHere(lane.view.uid, id);
        cache.remove(lane.view.slot, id);
      }
      throw error;
    }
  }

  /**
   * A write that was given its version here has none to lose by: where the store held a larger one, it goes above that.
   * It is tried again while others get there first, each time twice as far ahead: those closer to the store would else be
   * faster each time. Where the store fails in between, only what was to be raised has failed: the rest of the batch is
   * durable.
   */
  async #raise(batch: Packed[], held: (Version | null)[]): Promise<Cut | undefined> {
    for (let round = 0; round < RAISE_ROUNDS_MAX; round++) {
      const places: number[] = [];
      /** By key, so that of two writes in one batch the later one stays. */
      const raised = new Map<string, Version>();
      for (let at = 0; at < batch.length; at++) {
        const newer = held[at] ?? null;
        const write = batch[at] as Packed;
        if (newer === null || newer >= write.raiseMax) continue;
        const name = keyName(write.lane.view.uid, write.id);
        const above = Math.max(newer, raised.get(name) ?? 0);
        const version = Math.min(write.raiseMax, above + leadOf(round)) as Version;
        raised.set(name, version);
        batch[at] = { ...write, version, value: withVersion(write.value, version) };
        places.push(at);
      }
      if (places.length === 0) return undefined;
      this.stale -= places.length;
      let results: readonly (Version | null)[];
      try {
        results = await this.#store(places.map(at => batch[at] as Packed));
      } catch (error) {
        return { places: new Set(places), result: { kind: 'failed', failure: failureOf(error) } };
      }
      places.forEach((at, index) => {
        held[at] = results[index] ?? null;
      });
    }
    return undefined;
  }
}

/** Reads a line of the load into the lane's draft. */
function lineReader(
  { chunk, flat, vectors }: IngestOp,
  lane: LaneView,
): (start: number, end: number, number: number) => void {
  const { draft } = lane;
  if (vectors !== undefined) {
    const reader = new VectorLineReader(vectors);
    return (start, end, number) => reader.read(draft, chunk, start, end, number);
  }
  const reader = lane.reader(flat);
  return (start, end, number) => reader.read(draft, chunk, start, end, 'body', number);
}

/** By how much: the next version at first, then milliseconds of the clock that gives versions, 16 s at last. */
function leadOf(round: number): number {
  return round === 0 ? 1 : VERSIONS_PER_MS * 2 ** (round - 1);
}

/** 0: that is not known. */
function tookMs({ lease }: PutEntryOp): number {
  return lease !== undefined && 'tookMs' in lease ? lease.tookMs : 0;
}

function isFill(op: WriteOp): op is FillOp {
  return op.kind === 'put-entry' && op.lease !== undefined && 'secret' in op.lease;
}

function concerns({ places }: Cut, part: Prepared): boolean {
  if (part.kind === 'failed' || part.kind === 'apart') return false;
  if (part.kind === 'one') return places.has(part.at);
  for (let at = part.from; at < part.to; at++) if (places.has(at)) return true;
  return false;
}

function resultOf(
  part: Prepared,
  batch: readonly Packed[],
  held: readonly (Version | null)[],
): WriteResult | Promise<WriteResult> {
  if (part.kind === 'failed' || part.kind === 'apart') return part.result;
  if (part.kind === 'one') {
    const newer = held[part.at] ?? null;
    const version = newer ?? (batch[part.at] as Packed).version;
    return { kind: 'put', put: { version, applied: newer === null } };
  }
  let applied = 0;
  for (let at = part.from; at < part.to; at++) if ((held[at] ?? null) === null) applied++;
  return { kind: 'ingest', ingest: { ...part.ingest, applied, stale: part.to - part.from - applied } };
}

/** The line is told beside the detail, and once is enough; so is each of several faults. */
function describe({ code, errors = [], message }: HeadraceError, line: number): string {
  if (code === 'bad-json') return message.replace(`(line ${line}, column`, '(column');
  if (errors.length < 2) return message;
  return errors.map(({ at, detail }) => `${at} ${detail}`).join('; ');
}
