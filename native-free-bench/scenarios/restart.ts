/** How long the server takes from its start to ready, and to its first answer, with records on disk. */
import { RecordMaker } from '../data/records.js';
import { declareView, ingest } from '../servers/filling.js';
import { call } from '../servers/http-call.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';

export const restart: Scenario = {
  name: 'restart',
  about: 'time from process start to ready with records on disk',
  needsOwnServer: true,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { restartRecords, rounds } = bench.size;
    const maker = new RecordMaker(20, bench.seed);
    const filled = await bench.server();
    await declareView(filled, maker);
    await ingest(filled, maker, restartRecords);

    const readyMs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const server = await bench.restart();
      readyMs.push(server.readyMs);
      await call(server, 'GET', maker.path(round % restartRecords));
    }
    // The slowest of the rounds: a restart is waited for once.
    const value = Math.max(...readyMs);
    return [
      {
        scenario: 'restart',
        variant: '',
        figures: [{ metric: 'ready', label: 'ready after', value, unit: 'ms' }],
      },
    ];
  },
};
