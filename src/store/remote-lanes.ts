/**
 * The lanes as a thread has them that joined a store: its calls of one turn of the event loop go to the thread that opened
 * it as one message. Each is settled by its deadline, also when that thread is busy. Bytes go in buffers of their own: with
 * a part of one, all of it would cross, or be shared.
 */
import type { MessagePort } from 'node:worker_threads';
import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import type { VectorLoad } from '../caches/embeddings/vector-line.js';
import type { EntryHead } from '../caches/entry.js';
import { type AnyCall, Call } from '../lanes/call.js';
import { Deadlines } from '../lanes/deadlines.js';
import { LANE_LIMITS, type LaneCalls } from '../lanes/lanes.js';
import { type EntryLease, errorOf, type IngestResult, type PutResult } from '../lanes/messages.js';
import { PackedRows } from '../lanes/packed-rows.js';
import type { Invalidation } from '../views/fence.js';
import type { View } from '../views/schema.js';
import type {
  LaneRequest,
  ThreadAnswer,
  ThreadCall,
  ToOwner,
  ToThread,
  ViewRequest,
} from './thread-messages.js';

type ThreadRequest = Call<LaneRequest | ViewRequest, ThreadAnswer>;

export class RemoteLanes implements LaneCalls {
  readonly count: number;
  readonly #port: MessagePort;
  readonly #clock: Clock;
  readonly #callsMax: number;
  readonly #deadlines: Deadlines<AnyCall>;
  readonly #calls = new Map<number, ThreadRequest>();
  #waiting: ThreadCall[] = [];
  #number = 0;
  #isClosed = false;

  constructor(port: MessagePort, clock: Clock, count: number, callsMax: number) {
    this.#port = port;
    this.#clock = clock;
    this.count = count;
    this.#callsMax = callsMax;
    this.#deadlines = new Deadlines(clock, call =>
      call.fail(new HeadraceError('deadline', 'the deadline passed before there was an answer')),
    );
  }

  laneOf(shard: number): number {
    return shard % this.count;
  }

  async read(lane: number, view: View, ids: readonly string[], deadlineMs: number): Promise<PackedRows> {
    const answer = await this.#ask({ kind: 'read', lane, viewUid: view.uid, ids, deadlineMs }, deadlineMs);
    assert(answer.kind === 'rows', 'a read is answered with rows');
    return new PackedRows(answer.rows, answer.count);
  }

  write(
    lane: number,
    view: View,
    id: string,
    body: Uint8Array,
    deadlineMs: number,
    flat = false,
  ): Promise<PutResult> {
    const request = { kind: 'write', lane, viewUid: view.uid, id, flat, deadlineMs } as const;
    return this.#put({ ...request, body: new Uint8Array(body) });
  }

  writeEntry(
    lane: number,
    view: View,
    id: string,
    head: EntryHead,
    payload: Uint8Array,
    deadlineMs: number,
    lease?: EntryLease,
  ): Promise<PutResult> {
    const request = { kind: 'write-entry', lane, viewUid: view.uid, id, head, lease, deadlineMs } as const;
    return this.#put({ ...request, payload: new Uint8Array(payload) });
  }

  remove(lane: number, view: View, id: string, deadlineMs: number): Promise<PutResult> {
    return this.#put({ kind: 'remove', lane, viewUid: view.uid, id, deadlineMs });
  }

  async ingest(
    lane: number,
    view: View,
    chunk: Uint8Array,
    lineNumbers: Uint32Array,
    flat: boolean,
    deadlineMs: number,
    vectors?: VectorLoad,
  ): Promise<IngestResult> {
    const answer = await this.#ask(
      { kind: 'ingest', lane, viewUid: view.uid, chunk, lineNumbers, flat, vectors, deadlineMs },
      deadlineMs,
    );
    assert(answer.kind === 'ingest', 'an ingest is answered as one');
    return answer.ingest;
  }

  invalidate(view: View, spec: Invalidation, deadlineMs: number): Promise<number> {
    return this.#counted({ kind: 'invalidate', viewUid: view.uid, spec, deadlineMs }, deadlineMs);
  }

  erase(view: View, ids: readonly string[], deadlineMs: number): Promise<number> {
    return this.#counted({ kind: 'erase', viewUid: view.uid, ids, deadlineMs }, deadlineMs);
  }

  /** A change of views: the number of the schema that it left, or of what it hides, if there is one. */
  async change(request: ViewRequest): Promise<number | null> {
    const answer = await this.#ask(request, this.#clock.now() + LANE_LIMITS.controlDeadlineMs);
    return answer.kind === 'number' ? answer.value : null;
  }

  take(answers: Extract<ToThread, { readonly kind: 'answers' }>['answers']): void {
    for (const { number, answer } of answers) {
      const call = this.#calls.get(number);
      if (answer.kind === 'failed') call?.fail(errorOf(answer.failure));
      else call?.settle(answer);
    }
  }

  /** What is not answered fails. */
  close(): void {
    this.#isClosed = true;
    for (const call of this.#calls.values()) call.fail(closed());
  }

  async #put(request: LaneRequest): Promise<PutResult> {
    const answer = await this.#ask(request, request.deadlineMs);
    assert(answer.kind === 'put', 'a write of one record is answered as one');
    return answer.put;
  }

  async #counted(request: LaneRequest, deadlineMs: number): Promise<number> {
    const answer = await this.#ask(request, deadlineMs);
    assert(answer.kind === 'number' && answer.value !== null, 'what removes is answered with how many');
    return answer.value;
  }

  async #ask(request: LaneRequest | ViewRequest, deadlineMs: number): Promise<ThreadAnswer> {
    if (this.#isClosed) throw closed();
    if (this.#calls.size >= this.#callsMax)
      throw new HeadraceError(
        'overloaded',
        'this thread has as many calls under way as it may; try again later',
      );
    const number = ++this.#number;
    const call: ThreadRequest = new Call(request, 0, deadlineMs, settled => {
      this.#deadlines.delete(settled);
      this.#calls.delete(number);
    });
    this.#calls.set(number, call);
    this.#deadlines.add(call);
    this.#waiting.push({ number, request });
    if (this.#waiting.length === 1) setImmediate(() => this.#send());
    return call.answer;
  }

  #send(): void {
    const calls = this.#waiting;
    this.#waiting = [];
    if (!this.#isClosed) this.#port.postMessage({ kind: 'calls', calls } satisfies ToOwner);
  }
}

export function closed(): HeadraceError {
  return new HeadraceError('draining', 'the store is closed');
}
