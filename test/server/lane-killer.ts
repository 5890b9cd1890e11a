/**
 * Loaded into the real server before its own code (`node --import`): on SIGUSR2 some of its worker threads, taken at
 * random, die: ended from outside at whatever instruction they are, or by an exception that nobody catches, or by
 * leaving. Each order is a line of the log. Worker threads load this file too, and obey.
 *
 * Ended from outside are only threads that have started and are not in a method of lmdb's native classes. Elsewhere such
 * an end may take the process with it, for native code ends that when it fails and cannot say so to a thread that is
 * ending: Node.js when it links the modules of a thread that starts (`v8::Module::IsGraphAsync`, once in about a thousand
 * ends of starting threads), lmdb when it is loaded, opens the store, or begins a commit or a transaction (`napi_throw`,
 * once in a thousand or two). And a thread that opens the store has the lock on writing for a while, which it would take
 * with it. A gate keeps the killer and them apart.
 */
import { writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import workerThreads, {
  BroadcastChannel,
  getEnvironmentData,
  isMainThread,
  MessagePort,
  setEnvironmentData,
  threadId,
  Worker,
} from 'node:worker_threads';
import { SEED, Seeded } from '../base/seeded.js';

type Manner = 'terminate' | 'throw' | 'exit';

interface Order {
  readonly threadId: number;
  readonly manner: Manner;
}

const orders = new BroadcastChannel('lane-killer');
orders.unref();

/** Two words a thread, in its environment data. */
const GATE = 'lane-killer-gate';
/** Whether it may be ended from outside now. */
const STATE = 0;
/** How often it was in lmdb's native code. */
const ENTERED = 1;

/** Of the state. */
const BUSY = 0;
const OPEN = 1;
/** It is going to be ended. */
const DOOMED = 2;

const AGAIN_MS = 1;

/** The thread's own end of its gate, which is not open before it has started. */
class Gate {
  readonly #words = getEnvironmentData(GATE) as unknown as Int32Array;
  #depth = 1;

  leave(): void {
    if (--this.#depth === 0) Atomics.store(this.#words, STATE, OPEN);
  }

  /** While this runs, the thread is not ended from outside. One that is doomed waits here for its end. */
  within<Result>(call: () => Result): Result {
    while (this.#depth === 0 && Atomics.compareExchange(this.#words, STATE, OPEN, BUSY) !== OPEN)
      Atomics.wait(this.#words, STATE, DOOMED);
    this.#depth++;
    Atomics.add(this.#words, ENTERED, 1);
    try {
      return call();
    } finally {
      this.leave();
    }
  }
}

type NativeClass = new (...given: unknown[]) => object;

/** Of lmdb's native code. */
const NATIVE_CLASSES = ['Env', 'Txn', 'Dbi', 'Cursor'];

/** However lmdb is loaded, as an ES module or not: native code comes through `process.dlopen`. */
function guardNativeCode(gate: Gate): void {
  const load = process.dlopen;
  process.dlopen = (...given) => {
    load.apply(process, given);
    const { exports } = given[0] as { readonly exports: Record<string, unknown> };
    for (const name of NATIVE_CLASSES) {
      if (exports[name] !== undefined) exports[name] = gatedClass(exports[name] as NativeClass, gate);
    }
  };
}

/** The same class, but that making one, and each of its methods, goes through the gate. */
function gatedClass(native: NativeClass, gate: Gate): NativeClass {
  const made = new Proxy(class extends native {}, {
    construct: (target, given, newTarget) =>
      gate.within(() => Reflect.construct(target, given, newTarget) as object),
  });
  for (const name of Object.getOwnPropertyNames(native.prototype)) {
    const method: unknown = Object.getOwnPropertyDescriptor(native.prototype, name)?.value;
    if (name === 'constructor' || typeof method !== 'function') continue;
    Object.defineProperty(made.prototype, name, {
      value(...given: unknown[]) {
        return gate.within(() => Reflect.apply(method, this, given) as unknown);
      },
    });
  }
  return made;
}

/** A lane has started when it answers its first task; what it says before is no answer to one. */
function whenStarted(run: () => void): void {
  const { postMessage } = MessagePort.prototype;
  MessagePort.prototype.postMessage = function (this: MessagePort, ...given) {
    Reflect.apply(postMessage, this, given);
    const message: unknown = given[0];
    if (typeof message !== 'object' || message === null || !('taskId' in message)) return;
    MessagePort.prototype.postMessage = postMessage;
    run();
  };
}

function obey(order: Order): void {
  if (order.threadId !== threadId) return;
  if (order.manner === 'exit') process.exit(1);
  throw new Error('killed by the test');
}

function killOnSignal(): void {
  const random = new Seeded(SEED);
  const alive = new Map<Worker, Int32Array>();

  class MortalWorker extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      const gate = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
      // A thread gets what is set when it is made.
      setEnvironmentData(GATE, gate as never);
      super(...given);
      alive.set(this, gate);
      this.once('exit', () => alive.delete(this));
    }
  }
  workerThreads.Worker = MortalWorker;
  syncBuiltinESMExports();

  /** As soon as it may be. */
  const end = (victim: Worker) => {
    const gate = alive.get(victim);
    if (gate === undefined) return;
    if (Atomics.compareExchange(gate, STATE, OPEN, DOOMED) === BUSY)
      setTimeout(end, AGAIN_MS, victim).unref();
    else void victim.terminate();
  };

  process.on('SIGUSR2', () => {
    const victims = [...alive].filter(() => random.below(2) === 0);
    if (victims.length === 0) victims.push(...[...alive].slice(0, 1));
    for (const [victim, gate] of victims) {
      // Most from outside: that alone can stop a thread in the middle of a function.
      const manner = random.pick<Manner>(['terminate', 'terminate', 'terminate', 'throw', 'exit']);
      const order = { msg: 'ordered', manner, entered: Atomics.load(gate, ENTERED) };
      writeSync(1, `${JSON.stringify(order)}\n`);
      if (manner === 'terminate') end(victim);
      else orders.postMessage({ threadId: victim.threadId, manner } satisfies Order);
    }
  });
}

if (isMainThread) killOnSignal();
else {
  const gate = new Gate();
  guardNativeCode(gate);
  whenStarted(() => gate.leave());
  orders.onmessage = event => obey((event as { data: Order }).data);
}
