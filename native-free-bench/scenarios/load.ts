/**
 * Bulk load: NDJSON of 20 float32 features a record in one body, until all of it is durable. The server's memory
 * (without mapped files, so without LMDB's page cache) is read along the way: it must not grow with the body. L1 is
 * small, as it is memory too, that fills until it is full.
 */
import { RecordMaker } from '../data/records.js';
import { spreadOf } from '../report/figures.js';
import { declareView, ingest } from '../servers/filling.js';
import type { Bench, CaseResult, Figure, Scenario } from './scenario.js';

/** Records from one reading of the memory to the next, or a hundredth of the load where that is fewer. */
const SAMPLE_EVERY = 100_000;
const L1_BYTES = 16 * 2 ** 20;

export const load: Scenario = {
  name: 'load',
  about: 'NDJSON of 20 float32 features a record through POST, in one body',
  needsOwnServer: false,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { loadRecords } = bench.size;
    const maker = new RecordMaker(20, bench.seed);
    const server = await bench.server(L1_BYTES);
    await declareView(server, maker);

    const memory: number[] = [];
    const every = Math.min(SAMPLE_EVERY, loadRecords / 100);
    const { bytes, elapsedMs } = await ingest(server, maker, loadRecords, sent => {
      const bytesNow = sent >= (memory.length + 1) * every ? server.memoryBytes() : undefined;
      if (bytesNow !== undefined) memory.push(bytesNow);
    });
    const perSecond = (count: number) => (count / elapsedMs) * 1000;
    const figures: Figure[] = [
      { metric: 'records_per_s', label: 'records/s', value: perSecond(loadRecords), unit: '' },
      { metric: 'bytes_per_s', label: 'bytes/s', value: perSecond(bytes), unit: 'B' },
      ...memoryFigures(memory, every),
    ];
    return [{ scenario: 'load', variant: '', figures }];
  },
};

/**
 * Peaks by the first 10⁵, 10⁶ and 10⁷ records, as far as the load goes, and by its end; and the growth from its second
 * tenth to its last: of the medians, as heaps go up and down by tens of megabytes with each collection.
 *
 * @param samples bytes after each `every` records
 */
function memoryFigures(samples: readonly number[], every: number): Figure[] {
  const tenth = Math.floor(samples.length / 10);
  if (tenth === 0) return [];
  const peak = (count: number) => Math.max(...samples.slice(0, count));
  const growth = median(samples.slice(-tenth)) / median(samples.slice(tenth, 2 * tenth));
  return [
    ...PEAKS.filter(({ records }) => records / every < samples.length).map(
      ({ records, metric, label }): Figure => ({ metric, label, value: peak(records / every), unit: 'B' }),
    ),
    { metric: 'memory_peak', label: 'memory peak', value: peak(samples.length), unit: 'B' },
    { metric: 'memory_growth', label: 'memory, last tenth / second tenth', value: growth, unit: '' },
  ];
}

const PEAKS = [
  { records: 1e5, metric: 'memory_peak_1e5', label: 'memory peak by 100,000 records' },
  { records: 1e6, metric: 'memory_peak_1e6', label: 'memory peak by 1,000,000' },
  { records: 1e7, metric: 'memory_peak_1e7', label: 'memory peak by 10,000,000' },
] as const;

const median = (samples: readonly number[]) => spreadOf(samples)?.median ?? Number.NaN;
