/**
 * Loaded into the real server before its own code (`node --import`): on SIGUSR2 some of its worker threads, taken at
 * random, die: ended from outside at whatever instruction they are, or by an exception that nobody catches, or by
 * leaving. Each order is a line of the log. Worker threads load this file too, and obey.
 *
 * Only for threads that have started: one that is ended from outside while lmdb opens its store takes the process with
 * it (an error that native code cannot throw into a thread that is ending).
 */
import { writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import workerThreads, { BroadcastChannel, isMainThread, threadId, Worker } from 'node:worker_threads';
import { SEED, Seeded } from '../base/seeded.js';

type Manner = 'terminate' | 'throw' | 'exit';

interface Order {
  readonly threadId: number;
  readonly manner: Manner;
}

const orders = new BroadcastChannel('lane-killer');
orders.unref();

if (isMainThread) killOnSignal();
else orders.onmessage = event => obey((event as { data: Order }).data);

function obey(order: Order): void {
  if (order.threadId !== threadId) return;
  if (order.manner === 'exit') process.exit(1);
  throw new Error('killed by the test');
}

function killOnSignal(): void {
  const random = new Seeded(SEED);
  const alive = new Set<Worker>();

  class MortalWorker extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      alive.add(this);
      this.once('exit', () => alive.delete(this));
    }
  }
  workerThreads.Worker = MortalWorker;
  syncBuiltinESMExports();

  process.on('SIGUSR2', () => {
    const victims = [...alive].filter(() => random.below(2) === 0);
    if (victims.length === 0) victims.push(...[...alive].slice(0, 1));
    for (const victim of victims) {
      // Most from outside: that alone can stop a thread in the middle of a function.
      const manner = random.pick<Manner>(['terminate', 'terminate', 'terminate', 'throw', 'exit']);
      writeSync(1, `${JSON.stringify({ msg: 'ordered', manner })}\n`);
      if (manner === 'terminate') void victim.terminate();
      else orders.postMessage({ threadId: victim.threadId, manner } satisfies Order);
    }
  });
}
