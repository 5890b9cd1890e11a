/**
 * The only types that cross a thread: what the front asks a lane, and what a lane answers. All of it can be cloned.
 *
 * Ops of one turn of the front's event loop travel in one task, reads and writes apart, so that a read never waits for
 * another's disk. A reply has a place per op, in order.
 */
import type { Version } from '../base/clock.js';
import { HeadraceError, type ProblemCode, type ProblemDetail } from '../base/errors.js';
import type { Standing } from '../base/view-catalog.js';
import type { ScoreRequest } from '../caches/embeddings/scorer.js';
import type { VectorLoad } from '../caches/embeddings/vector-line.js';
import type { EntryHead } from '../caches/entry.js';
import type { LeaseMark, LeaseToken } from '../caches/lease-mark.js';
import type { Invalidation } from '../views/fence.js';
import type { CatalogedView, StoredView } from '../views/schema.js';

export interface ReadOp {
  readonly viewUid: number;
  readonly ids: readonly string[];
  /** Milliseconds since the epoch, as in every op: past that, the op is not begun. */
  readonly deadlineMs: number;
}

export interface PutOp {
  readonly kind: 'put';
  readonly viewUid: number;
  readonly id: string;
  /** Of the body within the task's `bodies`. */
  readonly start: number;
  readonly end: number;
  readonly flat: boolean;
  readonly deadlineMs: number;
}

/** A lease that this server has given and taken back. */
export interface OwnLease {
  /** From the lease to the write. */
  readonly tookMs: number;
}

/** A lease of a mark in the entry, see `lease-mark.ts`. */
export interface LeasedFill extends LeaseToken {
  /** How long leases last here. */
  readonly leaseMs: number;
}

export type EntryLease = OwnLease | LeasedFill;

/** Marks an entry as leased. */
export interface LeaseOp extends LeaseMark {
  readonly kind: 'lease';
  readonly viewUid: number;
  readonly id: string;
  /** The version of the entry that is served meanwhile; `null` when there is none. */
  readonly over: Version | null;
  readonly deadlineMs: number;
}

/** An entry of a named cache. */
export interface PutEntryOp {
  readonly kind: 'put-entry';
  readonly viewUid: number;
  readonly id: string;
  readonly head: EntryHead;
  /** Of an origin's answer: that of the moment when it was asked. Without it, one is given when it is written. */
  readonly version?: Version;
  /** With a lease: it is not written above what is newer, as it was made before that. */
  readonly lease?: EntryLease;
  /** Of the payload within the task's `bodies`. */
  readonly start: number;
  readonly end: number;
  readonly deadlineMs: number;
}

export interface RemoveOp {
  readonly kind: 'remove';
  readonly viewUid: number;
  readonly id: string;
  /** As of `PutEntryOp`. */
  readonly version?: Version;
  readonly deadlineMs: number;
}

export interface IngestOp {
  readonly kind: 'ingest';
  readonly viewUid: number;
  /** Whole lines, each with its line feed (the last may lack it). Handed over, not copied. */
  readonly chunk: Uint8Array;
  /** Of each line of the chunk, its number in the request, from 1. */
  readonly lineNumbers: Uint32Array;
  readonly flat: boolean;
  /** The lines are vectors, for a cache of embeddings. */
  readonly vectors?: VectorLoad | undefined;
  readonly deadlineMs: number;
}

export type WriteOp = PutOp | PutEntryOp | LeaseOp | RemoveOp | IngestOp;

/** Scores those of the candidates that are this lane's. */
export interface ScoreTask {
  readonly kind: 'score';
  readonly viewUid: number;
  readonly ids: readonly string[];
  readonly request: ScoreRequest;
  readonly deadlineMs: number;
}

/** Places are those of the task's ids. */
export interface LaneScores {
  /** The best, at most as many as were wanted, with their scores. */
  readonly places: Uint32Array;
  readonly scores: Float64Array;
  /** Of which there is no vector that may be served; the malformed ones are among them. */
  readonly missing: Uint32Array;
  /** That cannot be read now. */
  readonly unavailable: Uint32Array;
  readonly malformed: number;
  /** How many shared memory did not have. */
  readonly below: number;
}

export type ViewDraft = Omit<CatalogedView, 'uid'>;

/** Each may be given twice, and has the effect of once: a lane that dies in the middle is asked again. */
export type ControlTask =
  | { readonly kind: 'catalog-list' }
  | { readonly kind: 'catalog-create'; readonly draft: ViewDraft; readonly uidMin: number }
  | { readonly kind: 'catalog-put'; readonly view: CatalogedView }
  | { readonly kind: 'catalog-drop'; readonly view: CatalogedView }
  | { readonly kind: 'declare'; readonly view: StoredView }
  | { readonly kind: 'forget'; readonly viewUid: number }
  | { readonly kind: 'invalidate'; readonly viewUid: number; readonly spec: Invalidation }
  /** Entries of a named cache, which are gone for good then. */
  | {
      readonly kind: 'erase';
      readonly viewUid: number;
      readonly ids: readonly string[];
      readonly deadlineMs: number;
    }
  /** Begin to erase what the view's fences hide; a notice tells of the end. */
  | { readonly kind: 'sweep'; readonly viewUid: number }
  | ScoreTask
  | ReadThroughTask
  | RefreshTask
  /** Begin to read what was hot before the start, which goes on when this is answered. */
  | { readonly kind: 'warm' }
  | { readonly kind: 'stats' };

/** Entries of a cache that has an origin: what no tier has is asked of it. */
export interface ReadThroughTask {
  readonly kind: 'read-through';
  readonly viewUid: number;
  readonly ids: readonly string[];
  /** False: the cache is switched off, so the origin alone is asked, and nothing is kept. */
  readonly enabled: boolean;
  readonly deadlineMs: number;
}

/** Makes an entry anew in the background, which goes on when this is answered. */
export interface RefreshTask extends RecordKey {
  readonly kind: 'refresh';
  /** One that is fresh for longer is left as it is. */
  readonly untilMs: number;
}

export interface StartTask {
  readonly kind: 'start';
  readonly lane: number;
  readonly lanes: number;
  readonly views: readonly StoredView[];
  /** Cut off in the lane's last lives: what is cached of them may be older than what is stored. */
  readonly lostWrites: LostWrites;
}

export interface RecordKey {
  readonly viewUid: number;
  readonly id: string;
}

/** Of writes; `unknown` when they may be of any records. */
export type LostWrites = readonly RecordKey[] | 'unknown';

export interface ReadTask {
  readonly kind: 'read';
  readonly ops: readonly ReadOp[];
}

export interface WriteTask {
  readonly kind: 'write';
  readonly ops: readonly WriteOp[];
  readonly bodies: Uint8Array;
}

export type LaneTask = StartTask | ReadTask | WriteTask | ControlTask | { readonly kind: 'close' };

/** A `HeadraceError` on its way. */
export interface Failure {
  readonly code: ProblemCode;
  readonly message: string;
  readonly errors: readonly ProblemDetail[] | undefined;
}

export interface ReadReply {
  /** The rows of all ops, one behind the other; see `packed-rows.ts`. */
  readonly rows: ArrayBuffer;
  /** By op; a failed op has its rows, and they are UNAVAILABLE. */
  readonly failures: readonly (Failure | null)[];
}

export interface PutResult {
  readonly version: Version;
  readonly applied: boolean;
}

export interface IngestResult {
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  /** The first 100. */
  readonly errors: readonly LineError[];
}

export interface LineError {
  readonly line: number;
  readonly detail: string;
}

export type WriteResult =
  | { readonly kind: 'put'; readonly put: PutResult }
  | { readonly kind: 'ingest'; readonly ingest: IngestResult }
  /** The version of the entry with the mark; `null` when another has the lease, or has written the entry. */
  | { readonly kind: 'leased'; readonly version: Version | null }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** Counters of a lane since its thread began. */
export interface LaneCounters {
  readonly l1Hits: number;
  readonly tierHits: number;
  readonly misses: number;
  readonly corrupt: number;
  readonly tierFailures: number;
  readonly joined: number;
  readonly applied: number;
  readonly stale: number;
}

/** How an entry was come by. */
export interface ThroughAnswer {
  /** `stale`: an old value of a tier, as the origin failed or takes too long. */
  readonly source: 'tier' | 'origin' | 'stale';
  /** What the origin answered is in the store. */
  readonly isStored: boolean;
  /** Somebody else had asked already. */
  readonly isJoined: boolean;
  /** Why there is none; its row is UNAVAILABLE. */
  readonly failure: Failure | null;
}

export interface ReadThroughReply {
  readonly kind: 'read-through';
  /** A row per id, NOT_FOUND where the origin has none; see `packed-rows.ts`. */
  readonly rows: ArrayBuffer;
  /** By id. */
  readonly answers: readonly ThroughAnswer[];
}

export type ControlReply =
  | { readonly kind: 'done'; readonly count: number }
  | ReadThroughReply
  | { readonly kind: 'cataloged'; readonly views: readonly CatalogedView[] }
  | { readonly kind: 'standing'; readonly standing: Standing<CatalogedView> | undefined }
  | { readonly kind: 'scored'; readonly scores: LaneScores }
  | { readonly kind: 'stats'; readonly counters: LaneCounters };

export type LaneReply =
  | ReadReply
  | ControlReply
  | { readonly kind: 'written'; readonly results: readonly WriteResult[] }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** What a lane's thread says unasked. */
export type LaneNotice =
  /** For the log: something beside its requests failed, and is tried again (`warn`), or is well (`info`). */
  | { readonly kind: 'notice'; readonly level: 'info' | 'warn'; readonly message: string }
  /** Another server may have changed the catalog of views. */
  | { readonly kind: 'views-changed' }
  | SweptNotice
  | WarmingNotice;

/** Of what the view's fences up to this number hide, nothing is left of this lane's keys. */
export interface SweptNotice {
  readonly kind: 'swept';
  readonly viewUid: number;
  readonly upTo: number;
  /** Entries that there were. */
  readonly erased: number;
}

/** How far a lane has come with what was hot before the start. */
export interface WarmingNotice {
  readonly kind: 'warming';
  /** Of the hot keys of all lanes, those of this lane that were looked at. */
  readonly done: number;
  /** Hot keys of all lanes. */
  readonly of: number;
  /** Records that are in shared memory by it. */
  readonly added: number;
  /** Why it is over; absent while it is not. */
  readonly end?: string;
}

const NOTICES: ReadonlySet<unknown> = new Set<LaneNotice['kind']>([
  'notice',
  'views-changed',
  'swept',
  'warming',
]);

export function isLaneNotice(message: unknown): message is LaneNotice {
  if (typeof message !== 'object' || message === null || !('kind' in message)) return false;
  return NOTICES.has(message.kind);
}

export function failureOf(error: unknown): Failure {
  if (error instanceof HeadraceError)
    return { code: error.code, message: error.message, errors: error.errors };
  const detail = error instanceof Error ? error.message : String(error);
  return { code: 'internal', message: `a lane failed: ${detail}`, errors: undefined };
}

export function errorOf(failure: Failure): HeadraceError {
  return new HeadraceError(failure.code, failure.message, failure.errors);
}
