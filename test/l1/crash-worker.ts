/** A lane's writer that ends at a failpoint, in one of three ways. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../src/base/assert.js';
import { systemClock } from '../../src/base/clock.js';
import { Caches } from '../../src/l1/caches.js';
import type { TableHandle } from '../../src/l1/layout.js';
import { makeValue, openWriter, seeded } from './table-fixture.js';

export interface CrashWork {
  readonly handle: TableHandle;
  readonly seed: number;
  readonly failpoint: string;
  /** At its so-manieth passing. */
  readonly passing: number;
  readonly end: 'exit' | 'throw' | 'terminate';
}

export const CRASH_KEYS = 500;
const PUTS_MAX = 20_000;

const { handle, seed, failpoint, passing, end } = workerData as CrashWork;
let left = passing;

function finish(): void {
  if (end === 'exit') process.exit(3);
  if (end === 'throw') throw new Error('ended by the test');
  parentPort?.postMessage('terminate me');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

const random = seeded(seed);
const writer = openWriter(handle, 0, systemClock, name => {
  if (name === failpoint && --left === 0) finish();
});
const caches = new Caches(handle);
for (let put = 0; put < PUTS_MAX; put++) {
  const id = `key-${random(CRASH_KEYS)}`;
  writer.put(random(2), id, makeValue(id, put + 1, 2 + random(60)), Infinity);
  if (random(2000) === 0) caches.raiseEpoch(random(2));
}
// The failpoint was not passed so often: the test goes on with another.
assert(left > 0, 'the thread ended at its failpoint');
