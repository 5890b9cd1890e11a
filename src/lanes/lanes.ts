/**
 * All lanes, as the front uses them: reads, writes and control, each with a deadline, over single-worker pools.
 *
 * A lane writes the shards with `shard % lanes === lane`; whoever calls has the key's shard and asks `laneOf`. Every
 * promise from here settles: with the lane's answer, or by its deadline, or when the lane is closed.
 */
import { assert } from '../base/assert.js';
import type { Clock, Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import type { Standing } from '../base/view-catalog.js';
import type { VectorLoad } from '../caches/embeddings/vector-line.js';
import type { EntryHead } from '../caches/entry.js';
import type { LeaseMark } from '../caches/lease-mark.js';
import type { Invalidation } from '../views/fence.js';
import type { CatalogedView, StoredView, View } from '../views/schema.js';
import { type AnyCall, Call, type WriteRequest } from './call.js';
import { Deadlines } from './deadlines.js';
import { Lane } from './lane.js';
import type { LaneEvent } from './lane-event.js';
import type { LanesFigures } from './lane-figures.js';
import {
  type ControlReply,
  type ControlTask,
  type EntryLease,
  errorOf,
  type IngestResult,
  type LaneCounters,
  type LaneScores,
  type LeaseOp,
  type PutResult,
  type ReadOp,
  type ReadThroughTask,
  type ScoreTask,
  type ThroughAnswer,
  type ViewDraft,
  type WriteResult,
} from './messages.js';
import { PackedRows } from './packed-rows.js';

export const LANE_LIMITS = {
  opsMax: 16_384,
  bytesMax: 32 * 1024 * 1024,
  controlDeadlineMs: 60_000,
} as const;

/** Up to which share of its bounds a lane takes them; the others are few, and go past. */
const SHARES: ReadonlyMap<ControlTask['kind'], number> = new Map([
  ['invalidate', 1],
  ['erase', 1],
  ['stats', 1],
  // While an origin hangs, the rest is for those who do not wait for it.
  ['read-through', 0.5],
  ['refresh', 0.5],
  ['score', 1],
]);

/** What a lane has of a cache that has an origin. */
export interface Through {
  readonly rows: PackedRows;
  /** By row. */
  readonly answers: readonly ThroughAnswer[];
}

export interface LanesOptions {
  readonly count: number;
  /** The compiled `workers/lane.js`. */
  readonly workerUrl: URL;
  /** For the worker; must be structured-cloneable. */
  readonly workerData: unknown;
  readonly clock: Clock;
  /** A lane's thread has exited: release its shards. */
  readonly onExited: (lane: number) => void;
  readonly onEvent?: (event: LaneEvent) => void;
  /** Per lane, queued and in flight. */
  readonly opsMax?: number;
  readonly bytesMax?: number;
}

/** What reads and writes through lanes needs of them; a thread that joined has it from the one that has the lanes. */
export type LaneCalls = Pick<
  Lanes,
  'count' | 'laneOf' | 'read' | 'write' | 'writeEntry' | 'remove' | 'ingest' | 'invalidate' | 'erase'
>;

export class Lanes {
  readonly #lanes: readonly Lane[];
  readonly #clock: Clock;
  readonly #deadlines: Deadlines<AnyCall>;
  /** By uid: what a lane's new thread is told. */
  readonly #views: Map<number, StoredView>;
  #isDraining = false;
  #late = 0;

  /** Starts all lanes, the first one first: it makes the store. @throws when one does not start. */
  static async open(options: LanesOptions): Promise<Lanes> {
    const { count, workerUrl, workerData, clock, onExited } = options;
    const {
      opsMax = LANE_LIMITS.opsMax,
      bytesMax = LANE_LIMITS.bytesMax,
      onEvent = () => undefined,
    } = options;
    const known = new Map<number, StoredView>();
    const views = () => [...known.values()];
    const rest = { lanes: count, workerUrl, workerData, clock, views, onExited, opsMax, bytesMax, onEvent };
    const lanes = Array.from({ length: count }, (_, lane) => new Lane({ ...rest, lane }));
    try {
      const [first, ...others] = lanes;
      await first?.open();
      await Promise.all(others.map(lane => lane.open()));
      return new Lanes(lanes, clock, known);
    } catch (error) {
      await Promise.all(lanes.map(lane => lane.close()));
      throw error;
    }
  }

  private constructor(lanes: readonly Lane[], clock: Clock, views: Map<number, StoredView>) {
    this.#lanes = lanes;
    this.#clock = clock;
    this.#views = views;
    this.#deadlines = new Deadlines(clock, call => {
      this.#late++;
      call.fail(new HeadraceError('deadline', 'the deadline passed before there was an answer'));
    });
  }

  get count(): number {
    return this.#lanes.length;
  }

  laneOf(shard: number): number {
    return shard % this.#lanes.length;
  }

  /** A row per id, in order. `deadlineMs` is absolute, in milliseconds since the epoch, here and below. */
  async read(lane: number, view: View, ids: readonly string[], deadlineMs: number): Promise<PackedRows> {
    const op: ReadOp = { viewUid: view.uid, ids, deadlineMs };
    const call = this.#begin<ReadOp, PackedRows>(lane, op, charactersOf(ids), deadlineMs);
    this.#lane(lane).read(call);
    return call.answer;
  }

  /** `body` is the record's JSON without the id; it must stay as it is until the write is answered. */
  async write(
    lane: number,
    view: View,
    id: string,
    body: Uint8Array,
    deadlineMs: number,
    flat = false,
  ): Promise<PutResult> {
    const op = { kind: 'put', viewUid: view.uid, id, flat, deadlineMs } as const;
    const result = await this.#write(lane, { op, body }, body.byteLength + id.length);
    assert(result.kind === 'put', 'a put is answered as one');
    return result.put;
  }

  /** Writes an entry of a named cache. `payload` must stay as it is until the write is answered. */
  async writeEntry(
    lane: number,
    view: View,
    id: string,
    head: EntryHead,
    payload: Uint8Array,
    deadlineMs: number,
    lease?: EntryLease,
  ): Promise<PutResult> {
    const leased = lease && { lease };
    const op = { kind: 'put-entry', viewUid: view.uid, id, head, ...leased, deadlineMs } as const;
    const result = await this.#write(lane, { op, body: payload }, payload.byteLength + id.length);
    assert(result.kind === 'put', 'a put is answered as one');
    return result.put;
  }

  /** Marks an entry as leased: its version then, or `null` when another has the lease, or has written the entry. */
  async lease(
    lane: number,
    view: View,
    id: string,
    { untilMs, secret, over }: LeaseMark & Pick<LeaseOp, 'over'>,
    deadlineMs: number,
  ): Promise<Version | null> {
    const op = { kind: 'lease', viewUid: view.uid, id, untilMs, secret, over, deadlineMs } as const;
    const result = await this.#write(lane, { op, body: undefined }, id.length);
    assert(result.kind === 'leased', 'a lease is answered as one');
    return result.version;
  }

  /** Deletes the record; also where there is none, so that older writes stay out. */
  async remove(lane: number, view: View, id: string, deadlineMs: number): Promise<PutResult> {
    const op = { kind: 'remove', viewUid: view.uid, id, deadlineMs } as const;
    const result = await this.#write(lane, { op, body: undefined }, id.length);
    assert(result.kind === 'put', 'a removal is answered as a put of a tombstone');
    return result.put;
  }

  /**
   * Writes the records of whole NDJSON lines, all of this lane. Both arrays are handed over when they fill their
   * buffers: the caller cannot use them any more.
   */
  async ingest(
    lane: number,
    view: View,
    chunk: Uint8Array,
    lineNumbers: Uint32Array,
    flat: boolean,
    deadlineMs: number,
    vectors?: VectorLoad,
  ): Promise<IngestResult> {
    const op = { kind: 'ingest', viewUid: view.uid, chunk, lineNumbers, flat, vectors, deadlineMs } as const;
    const result = await this.#write(lane, { op, body: undefined }, chunk.byteLength);
    assert(result.kind === 'ingest', 'an ingest is answered as one');
    return result.ingest;
  }

  /** Entries of a cache that has an origin: a row per id, and how each was come by. */
  async readThrough(lane: number, task: Omit<ReadThroughTask, 'kind'>): Promise<Through> {
    const { ids, deadlineMs } = task;
    const reply = await this.#control(lane, { kind: 'read-through', ...task }, deadlineMs, charactersOf(ids));
    assert(reply.kind === 'read-through', 'a reading through is answered as one');
    return { rows: new PackedRows(reply.rows, ids.length), answers: reply.answers };
  }

  /** Resolves when the lane has begun to make a stale entry of such a cache anew, or has no room for it. */
  async refresh(lane: number, view: View, id: string, deadlineMs: number): Promise<void> {
    await this.#control(lane, { kind: 'refresh', viewUid: view.uid, id }, deadlineMs);
  }

  /** Drops cached copies in all lanes: how many. */
  invalidate(view: View, spec: Invalidation, deadlineMs: number): Promise<number> {
    return this.#count({ kind: 'invalidate', viewUid: view.uid, spec }, deadlineMs);
  }

  /** Deletes entries of a named cache in all lanes: how many. */
  erase(view: View, ids: readonly string[], deadlineMs: number): Promise<number> {
    return this.#count({ kind: 'erase', viewUid: view.uid, ids, deadlineMs }, deadlineMs);
  }

  /** Has a lane begin to erase what the view's fences hide, as far as it is its own. */
  async sweep(lane: number, viewUid: number): Promise<void> {
    await this.#control(lane, { kind: 'sweep', viewUid }, this.#controlDeadline());
  }

  async #count(task: ControlTask, deadlineMs: number): Promise<number> {
    const replies = await this.#controlAll(task, deadlineMs);
    return replies.reduce((sum, reply) => sum + (reply.kind === 'done' ? reply.count : 0), 0);
  }

  /** Scores candidates of a cache of embeddings, all of this lane. */
  async score(lane: number, task: Omit<ScoreTask, 'kind'>): Promise<LaneScores> {
    const { ids, request, deadlineMs } = task;
    const bytes = charactersOf(ids) + 4 * request.query.length;
    const reply = await this.#control(lane, { kind: 'score', ...task }, deadlineMs, bytes);
    assert(reply.kind === 'scored', 'a question for scores is answered with them');
    return reply.scores;
  }

  /** The views of the catalog. @throws HeadraceError `unavailable`, as the other calls to the catalog do. */
  async catalogedViews(): Promise<readonly CatalogedView[]> {
    const reply = await this.#catalog({ kind: 'catalog-list' });
    assert(reply.kind === 'cataloged', 'a list is answered as one');
    return reply.views;
  }

  /** See `ViewCatalogStore`: resolves when the change is durable, to what stands. */
  async createView(draft: ViewDraft, uidMin: number): Promise<Standing<CatalogedView>> {
    const reply = await this.#catalog({ kind: 'catalog-create', draft, uidMin });
    assert(
      reply.kind === 'standing' && reply.standing !== undefined,
      'a new view stands, or another of its name',
    );
    return reply.standing;
  }

  /** The same for a view that is changed. */
  async changeView(view: CatalogedView): Promise<Standing<CatalogedView> | undefined> {
    const reply = await this.#catalog({ kind: 'catalog-put', view });
    assert(reply.kind === 'standing', 'a change is answered with what stands');
    return reply.standing;
  }

  /** Resolves when the view is gone from the catalog. Its records go bit by bit. */
  async dropView(view: CatalogedView): Promise<void> {
    await this.#catalog({ kind: 'catalog-drop', view });
  }

  /** Resolves when every lane knows the view. */
  async declare(view: StoredView): Promise<void> {
    this.#views.set(view.uid, view);
    await this.#controlAll({ kind: 'declare', view }, this.#controlDeadline());
  }

  /**
   * Resolves when no lane puts records of the view into the shared table any more: raise the epoch of its slot then,
   * before the slot is given to another view.
   */
  async forget(view: Pick<StoredView, 'uid'>): Promise<void> {
    this.#views.delete(view.uid);
    await this.#controlAll({ kind: 'forget', viewUid: view.uid }, this.#controlDeadline());
  }

  /** Resolves when every lane has begun to read what was hot before the start. */
  async warm(): Promise<void> {
    await this.#controlAll({ kind: 'warm' }, this.#controlDeadline());
  }

  /** What the lanes' threads have counted since they began. */
  async counters(deadlineMs: number): Promise<LaneCounters[]> {
    const replies = await this.#controlAll({ kind: 'stats' }, deadlineMs);
    return replies.flatMap(reply => (reply.kind === 'stats' ? [reply.counters] : []));
  }

  stats(): LanesFigures {
    const lanes = this.#lanes.map((lane, index) => {
      const { isUp, ops, bytes, tasks, restarts, retried, refused } = lane;
      return { lane: index, isUp, ops, bytes, tasks, restarts, retried, refused };
    });
    return { lanes, late: this.#late };
  }

  /** Takes no more calls; resolves when all that were taken are answered, or at the deadline. True: all were. */
  async drain(deadlineMs: number): Promise<boolean> {
    this.#isDraining = true;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<boolean>(resolve => {
      timer = setTimeout(() => resolve(false), Math.max(0, deadlineMs - this.#clock.now()));
    });
    const idle = Promise.all(this.#lanes.map(lane => lane.idle())).then(() => true);
    const isIdle = await Promise.race([idle, timeout]);
    clearTimeout(timer);
    return isIdle;
  }

  /** Ends a lane's thread wherever it is, as a crash would; it gets a new one. */
  restart(lane: number): Promise<void> {
    return this.#lane(lane).restart();
  }

  /** Ends all lanes; what is not answered fails. */
  async close(): Promise<void> {
    this.#isDraining = true;
    await Promise.all(this.#lanes.map(lane => lane.close()));
  }

  async #write(lane: number, request: WriteRequest, bytes: number): Promise<WriteResult> {
    const call = this.#begin<WriteRequest, WriteResult>(lane, request, bytes, request.op.deadlineMs);
    this.#lane(lane).write(call);
    const result = await call.answer;
    if (result.kind === 'failed') throw errorOf(result.failure);
    return result;
  }

  async #control(lane: number, task: ControlTask, deadlineMs: number, bytes = 0): Promise<ControlReply> {
    // A change of a view goes past the bounds: there is one at a time, and half of one must not be refused.
    const share = SHARES.get(task.kind) ?? Number.POSITIVE_INFINITY;
    const call = this.#begin<ControlTask, ControlReply>(lane, task, bytes, deadlineMs, share);
    this.#lane(lane).control(call);
    return call.answer;
  }

  #catalog(task: ControlTask): Promise<ControlReply> {
    return this.#control(0, task, this.#controlDeadline());
  }

  #controlDeadline(): number {
    return this.#clock.now() + LANE_LIMITS.controlDeadlineMs;
  }

  #controlAll(task: ControlTask, deadlineMs: number): Promise<ControlReply[]> {
    return Promise.all(this.#lanes.map((_, lane) => this.#control(lane, task, deadlineMs)));
  }

  #begin<Request, Answer>(
    lane: number,
    request: Request,
    bytes: number,
    deadlineMs: number,
    share = 1,
  ): Call<Request, Answer> {
    if (this.#isDraining) throw new HeadraceError('draining', 'the server is shutting down');
    this.#lane(lane).admit(bytes, deadlineMs, share);
    const call = new Call<Request, Answer>(request, bytes, deadlineMs, done => this.#deadlines.delete(done));
    this.#deadlines.add(call);
    return call;
  }

  #lane(index: number): Lane {
    const lane = this.#lanes[index];
    assert(lane !== undefined, `there is no lane ${index}`);
    return lane;
  }
}

function charactersOf(ids: readonly string[]): number {
  let sum = 0;
  for (const id of ids) sum += id.length;
  return sum;
}
