/**
 * The front's end of one lane: queues, coalesces, bounds, and gives the lane a new thread when the old one has died.
 *
 *              submit                    setImmediate                    reply
 *     caller ─────────► queue ──────────────────────────► task in flight ─────────► caller
 *                         ▲      one task of reads and             │
 *                         │      one of writes a turn              │ thread died: reads once more,
 *                         └────────────────────────────────────────┘ writes fail: nobody knows
 *
 *     starting ──► up ──► down: the thread is failing, wait for its exit ──► (back off) ──► starting
 *
 * While a lane is not up, calls wait in its queue, within the lane's bounds and their own deadlines.
 */
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import type { StoredView } from '../views/schema.js';
import type { AnyCall, ControlCall, ReadCall, WriteCall } from './call.js';
import type { LaneEvent } from './lane-event.js';
import { LaneThread, settledWithin } from './lane-thread.js';
import { LostWriteLog } from './lost-writes.js';
import {
  type ControlReply,
  errorOf,
  type Failure,
  type LaneNotice,
  type LaneReply,
  type LaneTask,
  type ReadReply,
  type WriteResult,
} from './messages.js';
import { PackedRows } from './packed-rows.js';
import { writeTaskOf } from './write-task.js';

export interface LaneOptions {
  readonly lane: number;
  readonly lanes: number;
  readonly workerUrl: URL;
  readonly workerData: unknown;
  readonly clock: Clock;
  /** Those that a new thread is to know. */
  readonly views: () => readonly StoredView[];
  /** Ops queued and in flight; over that, `overloaded`. */
  readonly opsMax: number;
  /** Bytes of ids and bodies queued and in flight. */
  readonly bytesMax: number;
  /** Called when a thread has exited, before its successor begins: the lane's shards belong to nobody. */
  readonly onExited: (lane: number) => void;
  readonly onEvent: (event: LaneEvent) => void;
}

const BACK_OFF_MS_FIRST = 50;
const BACK_OFF_MS_MAX = 5_000;
/** A lane that does not close in this time is ended as it is; LMDB's commits survive that. */
const CLOSE_MS_MAX = 5_000;

export class Lane {
  readonly #options: LaneOptions;
  #thread: LaneThread | undefined;
  #state: 'starting' | 'up' | 'down' | 'closed' = 'down';
  #reads: ReadCall[] = [];
  #writes: WriteCall[] = [];
  #controls: ControlCall[] = [];
  #flushing: NodeJS.Immediate | undefined;
  #ops = 0;
  #bytes = 0;
  readonly #lostWrites = new LostWriteLog();
  #startFailures = 0;
  #backOffUntilMs = 0;
  #backOff: NodeJS.Timeout | undefined;
  #onIdle: (() => void)[] = [];
  tasks = 0;
  restarts = 0;
  retried = 0;
  refused = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  get ops(): number {
    return this.#ops;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  /** Starts the first thread. @throws Error when it does not start; later failures are retried without end. */
  async open(): Promise<void> {
    const thread = this.#launch();
    this.#opened((await thread.started) as LaneReply);
  }

  /**
   * @param share of the lane's bounds, up to which it is taken.
   * @throws HeadraceError `overloaded`, `unavailable` or `deadline` at once, before anything was taken.
   */
  admit(bytes: number, deadlineMs: number, share: number): void {
    const { opsMax, bytesMax, clock, lane } = this.#options;
    if (this.#ops >= opsMax * share || this.#bytes + bytes > bytesMax * share) {
      this.refused++;
      throw new HeadraceError('overloaded', `lane ${lane} has as much to do as it may take; try again later`);
    }
    if (deadlineMs <= clock.now()) throw new HeadraceError('deadline', 'the deadline has passed already');
    if (this.#state === 'closed') throw new HeadraceError('draining', 'the server is shutting down');
    if (this.#backOff !== undefined && this.#backOffUntilMs > deadlineMs) {
      throw new HeadraceError('unavailable', `lane ${lane} is being restarted; try again later`);
    }
  }

  read(call: ReadCall): void {
    this.#reads.push(call);
    this.#take(call);
  }

  write(call: WriteCall): void {
    this.#writes.push(call);
    this.#take(call);
  }

  control(call: ControlCall): void {
    this.#controls.push(call);
    this.#take(call);
  }

  /** Resolves when the lane has nothing queued and nothing in flight. */
  idle(): Promise<void> {
    if (this.#ops === 0) return Promise.resolve();
    return new Promise(resolve => this.#onIdle.push(resolve));
  }

  /** Ends the thread wherever it is; the lane gets a new one. Resolves when the old one has exited. */
  async restart(): Promise<void> {
    await this.#thread?.terminate();
  }

  /** Ends the lane: what is queued or in flight fails, the thread closes its tiers, and is ended. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    const wasUp = this.#state === 'up';
    this.#state = 'closed';
    clearTimeout(this.#backOff);
    this.#failQueued(new HeadraceError('draining', 'the server is shutting down'));
    const thread = this.#thread;
    if (thread === undefined) return;
    if (wasUp && !thread.isDown) await settledWithin(thread.run({ kind: 'close' }, []), CLOSE_MS_MAX);
    await thread.terminate();
    this.#options.onExited(this.#options.lane);
  }

  #take(call: AnyCall): void {
    this.#ops++;
    this.#bytes += call.bytes;
    this.#schedule();
  }

  #release(call: AnyCall): void {
    this.#ops--;
    this.#bytes -= call.bytes;
    if (this.#ops === 0) {
      for (const tell of this.#onIdle) tell();
      this.#onIdle = [];
    }
  }

  #schedule(): void {
    if (this.#state !== 'up' || this.#flushing !== undefined) return;
    this.#flushing = setImmediate(() => {
      this.#flushing = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#state !== 'up' || this.#thread === undefined) return;
    const reads = this.#unsettled(this.#reads);
    const writes = this.#unsettled(this.#writes);
    const controls = this.#unsettled(this.#controls);
    this.#reads = [];
    this.#writes = [];
    this.#controls = [];
    if (reads.length > 0) void this.#runReads(this.#thread, reads);
    if (writes.length > 0) void this.#runWrites(this.#thread, writes);
    for (const call of controls) void this.#runControl(this.#thread, call);
  }

  /** Those still waited for; the others' deadline has passed in the queue. */
  #unsettled<Queued extends AnyCall>(calls: readonly Queued[]): Queued[] {
    return calls.filter(call => {
      if (call.isSettled) this.#release(call);
      return !call.isSettled;
    });
  }

  async #runReads(thread: LaneThread, calls: readonly ReadCall[]): Promise<void> {
    let reply: ReadReply;
    try {
      reply = await this.#ask<ReadReply>(
        thread,
        { kind: 'read', ops: calls.map(({ request }) => request) },
        [],
      );
    } catch (error) {
      this.#lost(thread, calls, error, call => this.#reads.push(call));
      return;
    }
    let total = 0;
    for (const { request } of calls) total += request.ids.length;
    let first = 0;
    for (let index = 0; index < calls.length; index++) {
      const call = calls[index] as ReadCall;
      const failure = reply.failures[index];
      const count = call.request.ids.length;
      if (failure == null) call.settle(new PackedRows(reply.rows, total, first, count));
      else call.fail(this.#errorOf(failure));
      this.#release(call);
      first += count;
    }
  }

  async #runWrites(thread: LaneThread, calls: readonly WriteCall[]): Promise<void> {
    const { task, transfer } = writeTaskOf(calls);
    this.#lostWrites.begin(calls);
    try {
      const { results } = await this.#ask<{ results: readonly WriteResult[] }>(thread, task, transfer);
      for (let index = 0; index < calls.length; index++) {
        const call = calls[index] as WriteCall;
        const result = results[index] as WriteResult;
        if (result.kind === 'failed') this.#tellOf(result.failure);
        call.settle(result);
        this.#release(call);
      }
    } catch (error) {
      if (thread.isDown) this.#lostWrites.lose(calls);
      for (const call of calls) {
        call.fail(error instanceof HeadraceError ? error : unknownOutcome(this.#options.lane));
        this.#release(call);
      }
    } finally {
      this.#lostWrites.end(calls);
    }
  }

  async #runControl(thread: LaneThread, call: ControlCall): Promise<void> {
    try {
      const reply = await this.#ask<ControlReply>(thread, call.request, []);
      call.settle(reply);
      this.#release(call);
    } catch (error) {
      // Controls have the effect of once however often they are given, so they are given until they are answered.
      this.#lost(thread, [call], error, again => {
        again.wasRetried = false;
        this.#controls.push(again);
      });
    }
  }

  async #ask<Reply>(thread: LaneThread, task: LaneTask, transfer: readonly ArrayBuffer[]): Promise<Reply> {
    this.tasks++;
    const reply = (await thread.run(task, transfer)) as LaneReply;
    if ('kind' in reply && reply.kind === 'failed') throw this.#errorOf(reply.failure);
    return reply as Reply;
  }

  #errorOf(failure: Failure): HeadraceError {
    this.#tellOf(failure);
    return errorOf(failure);
  }

  /** Clients are told that it failed; only the operator can do something about a bug. */
  #tellOf({ code, message }: Failure): void {
    if (code === 'internal') this.#options.onEvent({ kind: 'failed', lane: this.#options.lane, message });
  }

  /** Calls whose thread has died are put back once; with any other error they fail. */
  #lost<Lost extends AnyCall & { wasRetried: boolean }>(
    thread: LaneThread,
    calls: readonly Lost[],
    error: unknown,
    putBack: (call: Lost) => void,
  ): void {
    for (const call of calls) {
      if (thread.isDown && this.#state !== 'closed' && !call.wasRetried && !call.isSettled) {
        call.wasRetried = true;
        this.retried++;
        putBack(call);
        continue;
      }
      call.fail(error instanceof HeadraceError ? error : gone(this.#options.lane));
      this.#release(call);
    }
    this.#schedule();
  }

  #failQueued(error: HeadraceError): void {
    for (const call of [...this.#reads, ...this.#writes, ...this.#controls]) {
      call.fail(error);
      this.#release(call);
    }
    this.#reads = [];
    this.#writes = [];
    this.#controls = [];
  }

  #launch(): LaneThread {
    const { lane, lanes, workerUrl, workerData, views, onEvent } = this.#options;
    this.#state = 'starting';
    const onDown = (reason: string) => this.#down(thread, reason);
    const onNotice = (notice: LaneNotice) => onEvent({ ...notice, lane });
    const thread: LaneThread = new LaneThread(
      { workerUrl, workerData, onDown, onNotice },
      { kind: 'start', lane, lanes, views: views(), lostWrites: this.#lostWrites.keys },
    );
    this.#thread = thread;
    return thread;
  }

  #opened(reply: LaneReply): void {
    if ('kind' in reply && reply.kind === 'failed') throw errorOf(reply.failure);
    // Closed while it was starting: it must not come up again.
    if (this.#state === 'closed') throw new HeadraceError('draining', 'the server is shutting down');
    this.#state = 'up';
    this.#lostWrites.clear();
    this.#startFailures = 0;
    this.#schedule();
  }

  /** Called in the same turn in which the failure is heard of: no task goes to that thread any more. */
  #down(thread: LaneThread, reason: string): void {
    if (this.#state === 'closed') return;
    const wasUp = this.#state === 'up';
    this.#state = 'down';
    this.#lostWrites.loseAll();
    if (!wasUp) this.#startFailures++;
    this.#options.onEvent({ kind: 'down', lane: this.#options.lane, reason });
    void thread.exited.then(() => {
      if (this.#thread !== thread || this.#state === 'closed') return;
      this.#thread = undefined;
      this.#options.onExited(this.#options.lane);
      this.#restart();
    });
  }

  #restart(): void {
    const { lane, clock, onEvent } = this.#options;
    const failures = this.#startFailures;
    if (failures === 0) {
      void this.#relaunch();
      return;
    }
    const waitMs = Math.min(BACK_OFF_MS_MAX, BACK_OFF_MS_FIRST * 2 ** (failures - 1));
    onEvent({ kind: 'backing-off', lane, waitMs, failures });
    this.#backOffUntilMs = clock.now() + waitMs;
    this.#backOff = setTimeout(() => {
      this.#backOff = undefined;
      void this.#relaunch();
    }, waitMs);
  }

  async #relaunch(): Promise<void> {
    const { lane, onEvent } = this.#options;
    let thread: LaneThread | undefined;
    try {
      thread = this.#launch();
      this.#opened((await thread.started) as LaneReply);
      this.restarts++;
      onEvent({ kind: 'restarted', lane });
    } catch (error) {
      // A thread that ended goes down by itself; one that answered with a failure is ended, and goes down then.
      if (thread?.isDown === true || this.#state === 'closed') return;
      onEvent({ kind: 'failed', lane, message: error instanceof Error ? error.message : String(error) });
      if (thread !== undefined) return thread.terminate();
      // The system gave no thread.
      this.#state = 'down';
      this.#startFailures++;
      this.#restart();
    }
  }
}

function gone(lane: number): HeadraceError {
  return new HeadraceError('unavailable', `lane ${lane} failed twice while it read this; try again`);
}

function unknownOutcome(lane: number): HeadraceError {
  return new HeadraceError(
    'unavailable',
    `lane ${lane} failed during the write: it is not known whether it was applied; write it again`,
  );
}
