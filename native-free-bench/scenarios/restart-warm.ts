/**
 * What a restart costs in hits: GET of single records by a Zipf law, as in `zipf`, for some seconds before the server is
 * stopped and for ten seconds from the moment it is ready again, each second a measurement of its own.
 */
import { Random } from '../data/random.js';
import { RecordMaker } from '../data/records.js';
import { Zipf } from '../data/zipf.js';
import type { Server } from '../servers/child.js';
import { declareView, ingest, warm } from '../servers/filling.js';
import { FLATBUFFERS } from './encodings.js';
import { measureOpen, wireRequest } from './measure.js';
import type { Bench, CaseResult, Figure, Scenario } from './scenario.js';
import { L1_BYTES_SMALL } from './single-miss.js';
import { CONNECTIONS, EXPONENT, L1_SHARE, RECORD_BYTES } from './zipf.js';

const SECONDS_BEFORE = 3;
const SECONDS_AFTER = 10;

export const restartWarm: Scenario = {
  name: 'restart-warm',
  about: 'hit ratio before a restart and in each second after it, Zipf 0.99, L1 for about a fifth',
  needsOwnServer: true,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { restartRecords, rate, secondMs } = bench.size;
    const maker = new RecordMaker(50, bench.seed);
    const l1Bytes = Math.max(L1_BYTES_SMALL, Math.ceil(restartRecords * RECORD_BYTES * L1_SHARE));
    const first = await bench.server(l1Bytes);
    await declareView(first, maker);
    await ingest(first, maker, restartRecords);
    const random = new Random(bench.seed, 'restart-warm');
    const ranks = new Zipf(restartRecords, EXPONENT, random);
    // Neighbours in rank are not neighbours by key.
    const documentOf = random.permutation(restartRecords);
    const draw = () => documentOf[ranks.next()] ?? 0;
    bench.say('warming');
    await warm(first, maker, Array.from({ length: restartRecords }, draw));

    const second = async (server: Server): Promise<number> => {
      const { tally } = await measureOpen({ ...bench, durationMs: secondMs }, server, {
        rate: bench.rate ?? rate,
        connections: CONNECTIONS,
        request: () =>
          wireRequest(server, {
            method: 'GET',
            path: maker.path(draw()),
            headers: { accept: FLATBUFFERS },
          }),
      });
      return tally.hitRatio ?? 0;
    };
    const before: number[] = [];
    for (let n = 0; n < SECONDS_BEFORE; n++) before.push(await second(first));
    const again = await bench.restart(l1Bytes);
    const after: number[] = [];
    for (let n = 0; n < SECONDS_AFTER; n++) after.push(await second(again));
    return [{ scenario: 'restart-warm', variant: '', figures: figuresOf(before, after) }];
  },
};

function figuresOf(before: readonly number[], after: readonly number[]): Figure[] {
  const mean = before.reduce((sum, ratio) => sum + ratio, 0) / before.length;
  const kept = (after.at(-1) ?? 0) / mean;
  return [
    { metric: 'hit_ratio_before', label: 'hit ratio before', value: mean, unit: '' },
    ...after.map(
      (value, n): Figure => ({
        metric: 'hit_ratio_after',
        label: `hit ratio in second ${n + 1} after`,
        value,
        unit: '',
      }),
    ),
    { metric: 'hit_ratio_kept', label: 'hit ratio kept', value: kept, unit: '' },
  ];
}
