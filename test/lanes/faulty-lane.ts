/**
 * A lane that dies on demand, for tests: the front asks for it with special ids.
 *
 * `!exit` ends the thread before the task is answered, `!throw` throws outside of every promise, `!exit-after` ends it
 * when the answer is made but not sent, `!never` never answers, `!bug` is answered as a bug is. `faults` in shared memory
 * makes so many starts fail, or so many threads throw when they are ready and have not taken a task.
 */
import { workerData } from 'node:worker_threads';
import { failureOf, type LaneReply, type LaneTask } from '../../src/lanes/messages.js';
import type { LaneWorkerData } from '../../src/resolve/lane-worker-data.js';
import answer from '../../workers/lane.js';

export interface FaultyWorkerData extends LaneWorkerData {
  /** Word 0: starts that still fail. Word 1: starts seen. Word 2: threads that still throw. */
  readonly faults: Int32Array;
}

const { faults } = workerData as FaultyWorkerData;

if (Atomics.sub(faults, 2, 1) > 0) {
  setImmediate(() => {
    throw new Error('a fault on demand');
  });
} else Atomics.store(faults, 2, 0);

export default function faultyAnswer(task: LaneTask): LaneReply | Promise<LaneReply> {
  if (task.kind === 'start') {
    Atomics.add(faults, 1, 1);
    if (Atomics.sub(faults, 0, 1) > 0) process.exit(3);
    Atomics.store(faults, 0, 0);
  }
  const fault = faultOf(task);
  if (fault === '!exit') process.exit(1);
  if (fault === '!throw')
    setImmediate(() => {
      throw new Error('a fault on demand');
    });
  if (fault === '!never') return new Promise(() => undefined);
  if (fault === '!bug') return { kind: 'failed', failure: failureOf(new Error('a bug on demand')) };
  const reply = answer(task);
  if (fault === '!exit-after') return Promise.resolve(reply).then(() => process.exit(2));
  return reply;
}

function faultOf(task: LaneTask): string | undefined {
  if (task.kind === 'read') return task.ops.flatMap(op => op.ids).find(id => id.startsWith('!'));
  if (task.kind !== 'write') return undefined;
  return task.ops.map(op => (op.kind === 'ingest' ? '' : op.id)).find(id => id.startsWith('!'));
}
