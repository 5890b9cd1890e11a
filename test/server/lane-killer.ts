/**
 * Loaded into the real server before its own code (`node --import`): on SIGUSR2 some of its worker threads, taken at
 * random, die: ended from outside at whatever instruction they are, or by an exception that nobody catches, or by
 * leaving. Each order is a line of the log. Worker threads load this file too, and obey.
 *
 * Only for threads that have started, and not in the middle of a method of lmdb's native classes: one that is ended from
 * outside there, while the store is opened, a commit or a transaction begins, may take the process with it (an error that
 * native code cannot throw into a thread that is ending ends everything; seen once in a thousand or two of such ends).
 * A gate keeps the two apart.
 */
import { writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import workerThreads, {
  BroadcastChannel,
  getEnvironmentData,
  isMainThread,
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

/** One word a thread, in its environment data: whether it may be ended from outside now, or is going to be. */
const GATE = 'lane-killer-gate';
const OPEN = 0;
const BUSY = 1;
const DOOMED = 2;

/** Of lmdb's native code. */
const NATIVE_CLASSES = ['Env', 'Txn', 'Dbi', 'Cursor'] as const;

if (isMainThread) killOnSignal();
else {
  await guardNativeCalls(getEnvironmentData(GATE) as unknown as Int32Array);
  orders.onmessage = event => obey((event as { data: Order }).data);
}

type NativeClass = new (...given: unknown[]) => object;

/** The part of lmdb's `native.js` that is needed here. */
interface NativeLmdb {
  readonly nativeAddon: Readonly<Record<(typeof NATIVE_CLASSES)[number], NativeClass>>;
  setNativeFunctions(functions: object): void;
}

async function guardNativeCalls(gate: Int32Array): Promise<void> {
  // It sets its own when it is loaded.
  await import('lmdb');
  const { nativeAddon, setNativeFunctions } = (await import(
    new URL('native.js', import.meta.resolve('lmdb')).href
  )) as NativeLmdb;
  let depth = 0;
  const gated = <T>(call: () => T): T => {
    // A thread that is doomed waits here for its end.
    while (depth === 0 && Atomics.compareExchange(gate, 0, OPEN, BUSY) !== OPEN)
      Atomics.wait(gate, 0, DOOMED);
    depth++;
    try {
      return call();
    } finally {
      if (--depth === 0) Atomics.store(gate, 0, OPEN);
    }
  };
  const classes = NATIVE_CLASSES.map(name => [name, { value: gatedClass(nativeAddon[name], gated) }]);
  setNativeFunctions(Object.create(nativeAddon, Object.fromEntries(classes)) as object);
}

/** The same class, but that making one, and each of its methods, goes through the gate. */
function gatedClass(native: NativeClass, gated: <T>(call: () => T) => T): NativeClass {
  const made = new Proxy(class extends native {}, {
    construct: (target, given, newTarget) =>
      gated(() => Reflect.construct(target, given, newTarget) as object),
  });
  for (const name of Object.getOwnPropertyNames(native.prototype)) {
    const method: unknown = Object.getOwnPropertyDescriptor(native.prototype, name)?.value;
    if (name === 'constructor' || typeof method !== 'function') continue;
    Object.defineProperty(made.prototype, name, {
      value(...given: unknown[]) {
        return gated(() => Reflect.apply(method, this, given) as unknown);
      },
    });
  }
  return made;
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
      const gate = new Int32Array(new SharedArrayBuffer(4));
      // A thread gets what is set when it is made.
      setEnvironmentData(GATE, gate as never);
      super(...given);
      alive.set(this, gate);
      this.once('exit', () => alive.delete(this));
    }
  }
  workerThreads.Worker = MortalWorker;
  syncBuiltinESMExports();

  process.on('SIGUSR2', () => {
    const victims = [...alive.keys()].filter(() => random.below(2) === 0);
    if (victims.length === 0) victims.push(...[...alive.keys()].slice(0, 1));
    for (const victim of victims) {
      // Most from outside: that alone can stop a thread in the middle of a function.
      const manner = random.pick<Manner>(['terminate', 'terminate', 'terminate', 'throw', 'exit']);
      writeSync(1, `${JSON.stringify({ msg: 'ordered', manner })}\n`);
      if (manner === 'terminate') end(victim, alive.get(victim));
      else orders.postMessage({ threadId: victim.threadId, manner } satisfies Order);
    }
  });
}

/** Waits, a few microseconds if at all, until the thread is out of the native call. */
function end(victim: Worker, gate: Int32Array | undefined): void {
  while (gate !== undefined && Atomics.compareExchange(gate, 0, OPEN, DOOMED) === BUSY);
  void victim.terminate();
}
