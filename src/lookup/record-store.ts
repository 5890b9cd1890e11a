/**
 * The feature store as the front thread sees it: shared memory first, then the lanes. Every read and write of records
 * goes through here; what can be answered at once is no promise.
 */
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import type { EntryHead } from '../caches/entry.js';
import type { TableReader } from '../l1/table-reader.js';
import type { LaneCalls } from '../lanes/lanes.js';
import type { EntryLease, PutResult } from '../lanes/messages.js';
import { type PackedRows, ROW } from '../lanes/packed-rows.js';
import type { Invalidation } from '../views/fence.js';
import { fenceSetOf } from '../views/fence-set.js';
import type { View } from '../views/schema.js';
import { Ingest, type IngestOptions } from './ingest.js';

export interface RecordStoreOptions {
  readonly table: TableReader;
  readonly lanes: LaneCalls;
  readonly clock: Clock;
  readonly deadlineMs: number;
}

/** Where the rows of a lookup go: `LookupAnswer` is one. */
export interface RowSink {
  /**
   * Takes of the `count` rows that the table's reader has just read what it can take at once, as the rows `first` and
   * on: a bit for each. The others are reported one by one.
   */
  gather(table: TableReader, count: number, first: number): number;
  /** The bytes are valid during the call. */
  present(row: number, bytes: Uint8Array, offset: number, length: number): void;
  absent(row: number): void;
  unavailable(row: number): void;
}

/** A fault that is an answer, as a value; what is none is thrown. */
export function headraceError(error: unknown): HeadraceError {
  if (error instanceof HeadraceError) return error;
  throw error;
}

/** A buffer of a load may wait for the disk behind others; a client that loads is not in a hurry. */
const LOAD_DEADLINE_MS = 60_000;
/** Dropping by prefix, tag or pattern walks through all records of L1. */
const SCAN_DEADLINE_MS = 60_000;

/** Rows that shared memory did not have, by lane. */
class Missed {
  readonly ids: string[] = [];
  readonly rows: number[] = [];
  /** Of the reply that left these rows over, some row was UNAVAILABLE. */
  leftByFailure = false;
}

export class RecordStore {
  readonly #table: TableReader;
  readonly #lanes: LaneCalls;
  readonly #clock: Clock;
  readonly #deadlineMs: number;

  constructor({ table, lanes, clock, deadlineMs }: RecordStoreOptions) {
    this.#table = table;
    this.#lanes = lanes;
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
  }

  /** Holds the record that `probe` found, from its first byte on, until the next read of any kind. */
  get l1Bytes(): Uint8Array {
    return this.#table.bytes;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Of a request that begins now. */
  deadline(): number {
    return this.#clock.now() + this.#deadlineMs;
  }

  /** Copies the record from shared memory to `l1Bytes`: its length, or -1 when it is not there. */
  probe(view: View, id: string, nowMs: number): number {
    this.#table.key(view.slot, id);
    return this.#shown(view, id, this.#table.get(nowMs));
  }

  /** The same of one that nobody uses by that. */
  peek(view: View, id: string, nowMs: number): number {
    this.#table.key(view.slot, id);
    return this.#shown(view, id, this.#table.peek(nowMs));
  }

  #shown(view: View, id: string, length: number): number {
    if (view.fences.length === 0 || length < 0) return length;
    return this.#isHidden(view, id, 0, length) ? -1 : length;
  }

  /** 32 bits of a keyed hash of the id that was read last. */
  get idHash(): number {
    return this.#table.hash;
  }

  /** Whether what lies there of `l1Bytes` was invalidated. */
  #isHidden(view: View, id: string, offset: number, length: number): boolean {
    return fenceSetOf(view)?.hidesId(this.#table.bytes, offset, offset + length, id) === true;
  }

  /**
   * The record from below shared memory, `undefined` when there is none.
   * @throws HeadraceError `overloaded`, `deadline`, `unavailable`.
   */
  async fetch(view: View, id: string, deadlineMs = this.deadline()): Promise<Uint8Array | undefined> {
    const lane = this.laneOf(view, id);
    let rows = await this.#lanes.read(lane, view, [id], deadlineMs);
    while (rows.status(0) === ROW.deferred) rows = await this.#lanes.read(lane, view, [id], deadlineMs);
    if (rows.status(0) === ROW.unavailable)
      throw new HeadraceError('unavailable', `the record ${id} cannot be read now`);
    return rows.record(0);
  }

  /**
   * Reads all ids into the sink, hits before it returns. Nothing when that was all; else a promise that resolves when
   * the lanes have answered for the others: to how many they were and why any are unavailable. It rejects only with
   * what the sink throws.
   */
  lookup(view: View, ids: readonly string[], sink: RowSink): Promise<LookupMisses> | undefined {
    const table = this.#table;
    const nowMs = this.#clock.now();
    let missed: (Missed | undefined)[] | undefined;
    for (let from = 0, read = 0; from < ids.length; from += read) {
      read = table.getMany(view.slot, ids, from, nowMs);
      const gathered = sink.gather(table, read, from);
      if (gathered === 2 ** read - 1) continue;
      for (let row = 0; row < read; row++) {
        if ((gathered & (1 << row)) !== 0) continue;
        const offset = table.offsetOf(row);
        const length = table.lengthOf(row);
        const id = ids[from + row]!;
        if (length >= 0 && (view.fences.length === 0 || !this.#isHidden(view, id, offset, length))) {
          sink.present(from + row, table.bytes, offset, length);
          continue;
        }
        missed ??= [];
        const lane = this.#lanes.laneOf(table.shardOf(row));
        const ofLane = missed[lane] ?? new Missed();
        missed[lane] = ofLane;
        ofLane.ids.push(id);
        ofLane.rows.push(from + row);
      }
    }
    return missed === undefined ? undefined : this.#fetchMissed(view, missed, sink);
  }

  async #fetchMissed(
    view: View,
    missed: readonly (Missed | undefined)[],
    sink: RowSink,
  ): Promise<LookupMisses> {
    const deadlineMs = this.deadline();
    const outcome: LookupMisses = { count: 0, failure: undefined };
    const asked = missed.flatMap((ofLane, lane) => (ofLane === undefined ? [] : [{ ofLane, lane }]));
    // All, also when one fails: nothing may go to the sink once it has another lookup.
    const settled = await Promise.allSettled(
      asked.map(async ({ ofLane, lane }) => {
        outcome.count += ofLane.ids.length;
        outcome.failure = (await this.#fetchFrom(lane, view, ofLane, deadlineMs, sink)) ?? outcome.failure;
      }),
    );
    for (const result of settled) if (result.status === 'rejected') throw result.reason;
    return outcome;
  }

  /** Asks a lane until it has answered for every row; what went wrong, if anything. */
  async #fetchFrom(
    lane: number,
    view: View,
    missed: Missed,
    deadlineMs: number,
    sink: RowSink,
  ): Promise<HeadraceError | undefined> {
    let failure: HeadraceError | undefined;
    for (let left = missed; left.rows.length > 0; ) {
      const found = await this.#lanes.read(lane, view, left.ids, deadlineMs).catch(headraceError);
      if (found instanceof HeadraceError) {
        for (const row of left.rows) sink.unavailable(row);
        return found;
      }
      left = deliver(found, left, sink);
      if (left.leftByFailure)
        failure = new HeadraceError('unavailable', 'a tier that is needed does not answer');
    }
    return failure;
  }

  /** @throws HeadraceError what is wrong with the body, or why it cannot be written now. */
  write(view: View, id: string, body: Uint8Array): Promise<PutResult> {
    return this.#lanes.write(this.laneOf(view, id), view, id, body, this.deadline());
  }

  /** The same for an entry of a named cache; not applied only with a lease, when something newer was stored. */
  writeEntry(
    view: View,
    id: string,
    head: EntryHead,
    payload: Uint8Array,
    lease?: EntryLease,
  ): Promise<PutResult> {
    return this.#lanes.writeEntry(this.laneOf(view, id), view, id, head, payload, this.deadline(), lease);
  }

  /** @throws HeadraceError why it cannot be removed now. */
  remove(view: View, id: string): Promise<PutResult> {
    return this.#lanes.remove(this.laneOf(view, id), view, id, this.deadline());
  }

  ingest(options: Omit<IngestOptions, 'deadlineMs'>): Ingest {
    const deadlineMs = () => this.#clock.now() + LOAD_DEADLINE_MS;
    return new Ingest(this.#table, this.#lanes, { ...options, deadlineMs });
  }

  /** Drops cached copies; resolves to how many there were. */
  invalidate(view: View, what: Invalidation): Promise<number> {
    return this.#lanes.invalidate(view, what, this.#clock.now() + SCAN_DEADLINE_MS);
  }

  /** Deletes these entries of a named cache: how many there were. @throws HeadraceError why it cannot be done now. */
  erase(view: View, ids: readonly string[]): Promise<number> {
    return this.#lanes.erase(view, ids, this.#clock.now() + SCAN_DEADLINE_MS);
  }

  /** Which lane has the record. */
  protected laneOf(view: View, id: string): number {
    this.#table.key(view.slot, id);
    return this.#lanes.laneOf(this.#table.shard);
  }
}

export interface LookupMisses {
  count: number;
  failure: HeadraceError | undefined;
}

/** Returns the rows that are to be asked for again. */
function deliver(found: PackedRows, { ids, rows }: Missed, sink: RowSink): Missed {
  const deferred = new Missed();
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index]!;
    const status = found.status(index);
    if (status === ROW.present) sink.present(row, found.bytes, found.offset(index), found.length(index));
    else if (status === ROW.notFound) sink.absent(row);
    else if (status === ROW.unavailable) {
      sink.unavailable(row);
      deferred.leftByFailure = true;
    } else {
      deferred.ids.push(ids[index]!);
      deferred.rows.push(row);
    }
  }
  return deferred;
}
