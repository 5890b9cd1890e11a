/**
 * An op as the front holds it: who waits, until when, and what it counts for. A call is settled once. It keeps its
 * place in the lane's bounds until the lane is done with it, as a late answer costs the lane as much as one in time.
 */
import type { HeadraceError } from '../base/errors.js';
import type { Timed } from './deadlines.js';
import type {
  ControlReply,
  ControlTask,
  IngestOp,
  PutEntryOp,
  PutOp,
  ReadOp,
  RemoveOp,
  WriteResult,
} from './messages.js';
import type { PackedRows } from './packed-rows.js';

/** A put's place in the task's `bodies` is known when it is packed. */
export interface WriteRequest {
  readonly op: Omit<PutOp, 'start' | 'end'> | Omit<PutEntryOp, 'start' | 'end'> | RemoveOp | IngestOp;
  readonly body: Uint8Array | undefined;
}

export type ReadCall = Call<ReadOp, PackedRows>;
export type WriteCall = Call<WriteRequest, WriteResult>;
export type ControlCall = Call<ControlTask, ControlReply>;

/** A call of any kind, for what does not depend on its answer. */
export interface AnyCall extends Timed {
  readonly bytes: number;
  readonly isSettled: boolean;
  fail(error: HeadraceError): void;
}

export class Call<Request, Answer> implements AnyCall {
  readonly request: Request;
  /** What it counts for while it is queued or in flight. */
  readonly bytes: number;
  readonly deadlineMs: number;
  readonly answer: Promise<Answer>;
  /** The thread that had it died, and it was asked again. */
  wasRetried = false;
  #isSettled = false;
  readonly #onSettled: (call: AnyCall) => void;
  #resolve!: (answer: Answer) => void;
  #reject!: (error: HeadraceError) => void;

  constructor(request: Request, bytes: number, deadlineMs: number, onSettled: (call: AnyCall) => void) {
    this.request = request;
    this.bytes = bytes;
    this.deadlineMs = deadlineMs;
    this.#onSettled = onSettled;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** The first answer or error counts, what comes later is dropped. */
  settle(answer: Answer): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#onSettled(this);
    this.#resolve(answer);
  }

  fail(error: HeadraceError): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#onSettled(this);
    this.#reject(error);
  }
}
