/** Vectors are scored out of shared memory while another thread writes them there: none is ever scored torn. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.js';
import { EntryScorer } from '../../../src/caches/embeddings/entry-scorer.js';
import { PACKINGS, pack, unpack } from '../../../src/caches/embeddings/packing.js';
import { TableReader } from '../../../src/l1/table-reader.js';
import { FULL, SEED, Seeded } from '../../base/seeded.js';
import { newTable } from '../../l1/table-fixture.js';
import type { RaceWriterWork } from './race-writer.js';

const SCORES = FULL ? 20_000_000 : 500_000;
const NUMBER_MAX = 500;
const DIMENSIONS = 96;
const IDS = Array.from({ length: 24 }, (_, n) => `doc-${n}`);
const PLACE = { slot: 0, fences: undefined };
// So small that every segment is used again all the time.
const SHAPE = {
  ...{ shards: 1, lanes: 1, caches: 1, buckets: 16 },
  ...{ segments: 8, segmentBytes: 4096, readers: 2, buffers: 0 },
};

it.each(PACKINGS)(
  'scores of %s are of vectors that were written whole',
  async packing => {
    const format = { packing, dimensions: DIMENSIONS };
    const random = new Seeded(SEED);
    const query = Float32Array.from({ length: DIMENSIONS }, () => 1 + random.below(1_000));
    // Whole numbers, and int8 as it is kept: sums of products are exact, or nearly.
    const allowed = Array.from({ length: NUMBER_MAX }, (_, n) => {
      const kept = unpack(format, pack(format, new Float32Array(DIMENSIONS).fill(n + 1)));
      return query.reduce((sum, element) => sum + element * (kept[0] ?? 0), 0);
    });
    const step = (allowed[1] ?? 0) - (allowed[0] ?? 0);

    const handle = newTable(SHAPE, systemClock);
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const workerData: RaceWriterWork = { handle, format, ids: IDS, numberMax: NUMBER_MAX, stop };
    const worker = new Worker(new URL('./race-writer.js', import.meta.url), { workerData });
    const ended = Promise.all([once(worker, 'message') as Promise<[number]>, once(worker, 'exit')]);
    const table = new TableReader(handle, 1);
    const scorer = new EntryScorer();
    const request = { format, metric: 'dot', query, k: IDS.length } as const;
    let scored = 0;
    let torn = 0;
    let malformed = 0;
    const different = new Set<number>();
    // However the system gives the threads their turns.
    while ((scored < SCORES || different.size < NUMBER_MAX) && torn === 0) {
      const absent: number[] = [];
      scorer.begin(request, Date.now());
      scorer.offerRows(table, PLACE, IDS, 0, IDS.length, absent);
      const found = scorer.take();
      malformed += found.malformed;
      for (const { score } of found.matches) {
        const number = Math.round(score / step);
        if (Math.abs(score - (allowed[number - 1] ?? Number.NaN)) > step / 1e6) torn++;
        different.add(number);
      }
      scored += found.matches.length;
      // The worker begins when this thread rests for the first time.
      if (found.matches.length === 0) await new Promise(resolve => setImmediate(resolve));
    }
    Atomics.store(stop, 0, 1);
    const [[puts]] = await ended;
    console.log(`${packing}: ${scored} scores, ${different.size} different, ${puts} puts`);
    expect({ torn, malformed }).toEqual({ torn: 0, malformed: 0 });
  },
  600_000,
);
