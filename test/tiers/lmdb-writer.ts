/** A thread that writes batches into a store, several in flight, and ends; for tests. */
import { workerData } from 'node:worker_threads';
import { openTestLmdb } from './lmdb-fixture.js';
import { write } from './tier-suite.js';

export interface LmdbWriterData {
  readonly directory: string;
  readonly thread: number;
  readonly batches: number;
  readonly batchRecords: number;
  readonly valueBytes: number;
}

const { directory, thread, batches, batchRecords, valueBytes } = workerData as LmdbWriterData;
const { tier, environment } = await openTestLmdb(directory);
for (let batch = 0; batch < batches; batch += 4) {
  await Promise.all(
    [0, 1, 2, 3].map(async offset => {
      const first = (batch + offset) * batchRecords;
      const writes = Array.from({ length: batchRecords }, (_, n) =>
        write(`t${thread}-${first + n}`, first + n + 1, valueBytes),
      );
      const results = await tier.putMany(writes);
      if (results.some(result => result !== null)) process.exit(1);
    }),
  );
}
await environment.close();
