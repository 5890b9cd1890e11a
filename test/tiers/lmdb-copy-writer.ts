/** A lane's thread that makes copies without end, and says when it has made so many; for tests that end it. */
import { parentPort, workerData } from 'node:worker_threads';
import { openCopies } from './lmdb-copy-fixture.js';
import { write } from './tier-suite.js';

export interface CopyWriterData {
  readonly directory: string;
  readonly eras: SharedArrayBuffer;
  readonly lane: number;
  readonly bytesMax: number;
}

const { directory, eras, lane, bytesMax } = workerData as CopyWriterData;
const { tier } = await openCopies({ directory, eras, bytesMax });
for (let batch = 0; ; batch++) {
  const writes = Array.from({ length: 200 }, (_, n) =>
    write(`l${lane}-${(batch * 7_919 + n * 104_729) % 20_000}`, batch + 1, 100 + ((n * 37) % 1_900)),
  );
  await tier.putMany(writes);
  parentPort?.postMessage(batch);
}
