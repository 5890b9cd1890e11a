/** A thread of the race test: writes entries that are vectors of one number each, at full speed, until it is to stop. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../../src/base/assert.js';
import { systemClock, type Version } from '../../../src/base/clock.js';
import { EMBEDDING_TYPE, embeddingPayload } from '../../../src/caches/embeddings/embedding.js';
import type { VectorFormat } from '../../../src/caches/embeddings/packing.js';
import { ENTRY_FEATURES, fillEntry } from '../../../src/caches/entry.js';
import type { TableHandle } from '../../../src/l1/layout.js';
import { RecordEncoder } from '../../../src/views/record-codec.js';
import { RecordDraft } from '../../../src/views/record-draft.js';
import { viewOf } from '../../../src/views/schema.js';
import { openWriter } from '../../l1/table-fixture.js';

export interface RaceWriterWork {
  readonly handle: TableHandle;
  readonly format: VectorFormat;
  readonly ids: readonly string[];
  /** Elements are 1 to this. */
  readonly numberMax: number;
  /** One word: not 0 when it shall end. */
  readonly stop: Int32Array;
}

const VIEW = viewOf({
  name: '@raced',
  entity: 'entry',
  features: [...ENTRY_FEATURES],
  uid: 1,
  slot: 0,
  schema: 1,
  ttlMs: 1,
  l1Bytes: undefined,
  eviction: 'fifo',
});
const DAY_MS = 86_400_000;

function recordsOf({ format, numberMax }: RaceWriterWork): Uint8Array[] {
  const encoder = new RecordEncoder(VIEW);
  const draft = new RecordDraft(VIEW);
  const now = Date.now();
  const times = { writtenAt: now, freshUntil: now + DAY_MS, expiresAt: now + DAY_MS };
  return Array.from({ length: numberMax }, (_, n) => {
    const vector = new Float32Array(format.dimensions).fill(n + 1);
    const head = { contentType: EMBEDDING_TYPE, tags: [], freshMs: DAY_MS };
    draft.reset();
    fillEntry(
      draft,
      { ...head, staleWhileRevalidateMs: 0, staleIfErrorMs: 0 },
      embeddingPayload(format, vector),
    );
    return encoder.encode(draft, { ...times, version: 1 as Version }).slice();
  });
}

function write(work: RaceWriterWork): number {
  const writer = openWriter(work.handle, 0, systemClock);
  const records = recordsOf(work);
  let puts = 0;
  for (; Atomics.load(work.stop, 0) === 0; puts++) {
    const id = work.ids[puts % work.ids.length] ?? '';
    writer.remove(0, id);
    writer.put(0, id, records[(puts * 7) % records.length] ?? new Uint8Array(), Number.POSITIVE_INFINITY);
  }
  return puts;
}

assert(parentPort !== null, 'this runs as a worker');
parentPort.postMessage(write(workerData as RaceWriterWork));
