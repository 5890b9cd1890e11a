/**
 * One record that is on disk and not in L1: L1 is small, the server has just started, and each
 * document is asked for once, in random order. The hit ratio in the report shows how far that holds.
 */
import { Random } from '../data/random.js';
import { RecordMaker } from '../data/records.js';
import { declareView, ingest } from '../servers/filling.js';
import { FLATBUFFERS } from './encodings.js';
import { measureOpen, TIMED_EVERY, wireRequest } from './measure.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';

const CONNECTIONS = 32;
export const L1_BYTES_SMALL = 4 * 2 ** 20;

export const singleMiss: Scenario = {
  name: 'single-miss',
  about: 'GET of one record that L1 lacks and the disk has',
  needsOwnServer: true,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { missDocuments, rate } = bench.size;
    const maker = new RecordMaker(50, bench.seed);
    const filled = await bench.server(L1_BYTES_SMALL);
    await declareView(filled, maker);
    await ingest(filled, maker, missDocuments);
    const server = await bench.restart(L1_BYTES_SMALL);

    const order = new Random(bench.seed, 'single-miss').permutation(missDocuments);
    const open = await measureOpen(bench, server, {
      rate: bench.rate ?? rate,
      connections: CONNECTIONS,
      request: n => {
        const path = maker.path(order[n % missDocuments] ?? 0);
        return wireRequest(
          server,
          { method: 'GET', path, headers: { accept: FLATBUFFERS } },
          n % TIMED_EVERY === 0,
        );
      },
    });
    return [{ scenario: 'single-miss', variant: '', open }];
  },
};
