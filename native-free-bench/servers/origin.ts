/** An HTTP origin that caches are read through to, in a thread of its own: as slow and as well as it is told to be. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

/** What its thread is given. */
export interface OriginWorkerData {
  readonly payload: string;
  /** Shared with it, by `WORDS`. */
  readonly words: Int32Array;
}

/** Questions so far, and how they are answered. */
export const WORDS = { calls: 0, delayMs: 1, status: 2 } as const;

const WORKER = new URL('../origin.js', import.meta.url);

export class OriginForBench {
  readonly port: number;
  readonly #worker: Worker;
  readonly #words: Int32Array;

  private constructor(worker: Worker, words: Int32Array, port: number) {
    this.#worker = worker;
    this.#words = words;
    this.port = port;
  }

  static async start(payload: string): Promise<OriginForBench> {
    const words = new Int32Array(new SharedArrayBuffer(4 * Object.keys(WORDS).length));
    const workerData: OriginWorkerData = { payload, words };
    const worker = new Worker(WORKER, { workerData });
    const [port] = (await once(worker, 'message')) as [number];
    const origin = new OriginForBench(worker, words, port);
    origin.be(200, 0);
    return origin;
  }

  /** Since the start. */
  get calls(): number {
    return Atomics.load(this.#words, WORDS.calls);
  }

  /** From now on each question is answered so, after so long. */
  be(status: number, delayMs: number): void {
    Atomics.store(this.#words, WORDS.status, status);
    Atomics.store(this.#words, WORDS.delayMs, delayMs);
  }

  /** Writes a configuration file with these caches, each with this origin, and says where it is. */
  configFile(dir: string, caches: Readonly<Record<string, object>>): string {
    const url = `http://127.0.0.1:${this.port}/search?q={key}`;
    const origin = { url, allowHosts: ['127.0.0.1'], allowPrivate: ['127.0.0.1'] };
    const withOrigin = Object.entries(caches).map(([name, options]) => [name, { ...options, origin }]);
    const file = join(dir, 'caches.json');
    writeFileSync(file, JSON.stringify({ caches: Object.fromEntries(withOrigin) }));
    return file;
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
