/**
 * Loaded into the real server before its own code (`node --import`): on SIGUSR2 one of its worker threads, taken at
 * random, dies: ended from outside at whatever instruction it is, or by an exception that nobody catches, or by leaving.
 * Each order is a line of the log. Worker threads load this file too, and obey.
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
    const victim = [...alive][random.below(alive.size)];
    // Most from outside: that alone can stop a thread in the middle of a function.
    const manner = random.pick<Manner>(['terminate', 'terminate', 'terminate', 'throw', 'exit']);
    if (victim !== undefined && manner === 'terminate') {
      alive.delete(victim);
      void victim.terminate();
    } else if (victim !== undefined) {
      // Stays a victim: a thread that is only beginning does not hear it.
      orders.postMessage({ threadId: victim.threadId, manner } satisfies Order);
    }
    writeSync(1, `${JSON.stringify({ msg: 'ordered', manner: victim === undefined ? 'none' : manner })}\n`);
  });
}
