/**
 * One life of a lane: a Piscina that lives exactly as long as its one worker.
 *
 * Piscina puts a new worker in the place of a failed one when it hears of the failure, which is before the old thread
 * has ended, and never again once one fails while it starts. A lane needs the opposite: no successor until the thread
 * has truly exited, and one every time. So this pool may have no worker of its own accord (`minThreads: 0`), gets no
 * task once it is down and keeps none, and is left behind; the successor is a new pool.
 */
import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { assert } from '../base/assert.js';
import { isLaneNotice, type LaneNotice, type LaneTask } from './messages.js';

const CONCURRENT_TASKS_MAX = 1 << 20;
const START_MS_MAX = 10_000;

export interface LaneThreadOptions {
  readonly workerUrl: URL;
  readonly workerData: unknown;
  /** Called at once when the thread is failing; it may still be running. No task is taken from here on. */
  readonly onDown: (reason: string) => void;
  readonly onNotice: (notice: LaneNotice) => void;
}

export class LaneThread {
  readonly #pool: Piscina<LaneTask, unknown>;
  readonly #worker: Worker;
  /** Resolves when the thread has exited, and nothing of it runs any more. */
  readonly exited: Promise<void>;
  /** What the first task, which starts the thread, was answered with. */
  readonly started: Promise<unknown>;
  #isDown = false;
  #reason = 'it was ended';

  constructor(options: LaneThreadOptions, startTask: LaneTask) {
    const pool = new Piscina<LaneTask, unknown>({
      filename: options.workerUrl.href,
      workerData: options.workerData,
      minThreads: 0,
      maxThreads: 1,
      concurrentTasksPerWorker: CONCURRENT_TASKS_MAX,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
      recordTiming: false,
    });
    this.#pool = pool;
    const goDown = () => {
      if (this.#isDown) return;
      this.#isDown = true;
      // What the thread had not taken yet is still queued: if the pool hears only now that it had been ready, as it may
      // (that comes through another port than the failure), it makes a second thread for it. This empties the queue.
      void pool.destroy();
      options.onDown(this.#reason);
    };
    pool.on('error', (error: unknown) => {
      this.#reason = error instanceof Error ? error.message : String(error);
    });
    pool.on('workerDestroy', goDown);
    pool.on('message', (message: unknown) => {
      if (isLaneNotice(message)) options.onNotice(message);
    });
    const started = pool.run(startTask);
    const worker = pool.threads[0];
    assert(worker !== undefined, 'the first task starts a worker');
    this.#worker = worker;
    worker.once('error', (error: unknown) => {
      this.#reason = error instanceof Error ? error.message : String(error);
    });
    this.exited = new Promise(resolve => {
      worker.once('exit', code => {
        if (!this.#isDown) this.#reason = `it exited with code ${code}`;
        goDown();
        resolve();
      });
    });
    // A worker that ends before it took the first task never answers it.
    const ended = () => {
      throw new Error(`the lane's thread ended before it was ready: ${this.#reason}`);
    };
    this.started = Promise.race([started.catch(() => this.exited.then(ended)), this.exited.then(ended)]);
    this.started.catch(() => undefined);
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** Rejects when the thread ends before it answers. */
  run(task: LaneTask, transfer: readonly ArrayBuffer[]): Promise<unknown> {
    assert(!this.#isDown, 'a lane that is down takes no task');
    return this.#pool.run(task, { transferList: [...transfer] });
  }

  /**
   * Ends the thread, wherever it is, and waits until it has exited. Only its start is waited for: to open the store,
   * lmdb takes the write lock on the thread itself, and a thread that is ended there takes the lock to its grave.
   */
  async terminate(): Promise<void> {
    this.#worker.ref();
    await settledWithin(this.started, START_MS_MAX);
    await this.#pool.destroy();
    await this.exited;
  }
}

/** Resolves when the promise is settled, either way, or the time is over. */
export async function settledWithin(promise: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>(resolve => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([promise.catch(() => undefined), timeout]);
  clearTimeout(timer);
}
