/**
 * One of two lanes that share a breaker: step by step together, and in each step both at the same time; for tests.
 *
 * A round: both fail once and see it open; time passes; both ask, and one has the probe; what becomes of the probe is the
 * same in both. Then the breaker is closed for the next round, by a probe as well.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../src/base/assert.js';
import { Breaker, type BreakerOptions, type BreakerState, REFUSED } from '../../src/resolve/breaker.js';

export interface BreakerWork {
  readonly memory: SharedArrayBuffer;
  /** Words: steps passed, lanes that wait for the next, milliseconds. */
  readonly gates: Int32Array;
  readonly lane: number;
  readonly lanes: number;
  readonly rounds: number;
  readonly options: BreakerOptions;
}

export interface BreakerRound {
  readonly opened: BreakerState;
  readonly probed: boolean;
  readonly ended: BreakerState;
}

export interface BreakerReport {
  readonly rounds: readonly BreakerRound[];
  /** Changes that this lane told of. */
  readonly told: number;
}

const GATE = 0;
const WAITING = 1;
const CLOCK = 2;
/** Then the other is not running, and waits for this core. */
const SPINS_MAX = 10_000;

const { memory, gates, lane, lanes, rounds, options } = workerData as BreakerWork;
let told = 0;
const breaker = new Breaker({
  tier: 'redis',
  memory,
  index: 0,
  clock: { now: () => Atomics.load(gates, CLOCK) },
  options,
  onChange: () => told++,
});

/** Waits for the other; the last to come does what is to be done once. Then both go on in the same instant. */
function meet(once: () => void = () => undefined): void {
  const step = Atomics.load(gates, GATE);
  if (Atomics.add(gates, WAITING, 1) === lanes - 1) {
    Atomics.store(gates, WAITING, 0);
    once();
    Atomics.add(gates, GATE, 1);
    return;
  }
  for (let spins = 0; Atomics.load(gates, GATE) === step; spins++) {
    if (spins > SPINS_MAX) Atomics.wait(gates, GATE, step, 1);
  }
}

const pass = (ms: number) => () => Atomics.add(gates, CLOCK, ms);

function play(round: number): BreakerRound {
  meet(pass(1));
  breaker.fail(breaker.admit());
  meet();
  const opened = breaker.state;
  meet(pass(options.halfOpenAfterMs));
  const probe = breaker.admit();
  meet();
  const probed = probe !== REFUSED;
  if (probed && round % 3 === 0) breaker.succeed(probe);
  if (probed && round % 3 === 1) breaker.fail(probe);
  meet();
  const ended = breaker.state;
  meet(pass(options.halfOpenAfterMs + options.probeMsMax));
  // Both try; one is given the probe unless the breaker is closed by now.
  const last = breaker.admit();
  meet();
  if (last !== REFUSED) breaker.succeed(last);
  meet();
  assert(breaker.state === 'closed', `lane ${lane} sees ${breaker.state} at the end of round ${round}`);
  return { opened, probed, ended };
}

assert(parentPort !== null, 'this runs as a worker');
const played = Array.from({ length: rounds }, (_, round) => play(round));
parentPort.postMessage({ rounds: played, told } satisfies BreakerReport);
