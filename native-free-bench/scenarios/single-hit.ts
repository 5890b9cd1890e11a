/** One record of 50 float32 features by GET, in L1: the shortest way through the server. */
import { Random } from '../data/random.js';
import { RecordMaker } from '../data/records.js';
import type { ClosedRequest } from '../load/autocannon-child.js';
import { declareView, ingest, warm } from '../servers/filling.js';
import { ENCODINGS } from './encodings.js';
import { measureClosed, measureOpen, TIMED_EVERY, wireRequest } from './measure.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';

const CONNECTIONS = 32;
/** Requests made ahead for the closed loop, per connection. */
const SEQUENCE = 64;

export const singleHit: Scenario = {
  name: 'single-hit',
  about: 'GET of one record, 50 float32 features, in L1; FlatBuffers and JSON',
  needsOwnServer: false,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { documents, rate } = bench.size;
    const maker = new RecordMaker(50, bench.seed);
    const server = await bench.server();
    await declareView(server, maker);
    await ingest(server, maker, documents);
    await warm(server, maker, Array(documents).keys());

    const results: CaseResult[] = [];
    for (const { name, accept } of ENCODINGS) {
      bench.say(name);
      const get = (document: number): ClosedRequest => ({
        method: 'GET',
        path: maker.path(document),
        headers: { accept },
      });
      const random = new Random(bench.seed, 'single-hit');
      const open = await measureOpen(bench, server, {
        rate: bench.rate ?? rate,
        connections: CONNECTIONS,
        request: n => wireRequest(server, get(random.below(documents)), n % TIMED_EVERY === 0),
      });
      const closed = await measureClosed(bench, server, {
        connections: CONNECTIONS,
        requests: Array.from({ length: SEQUENCE }, () => get(random.below(documents))),
        rivals: [
          'bare-uws',
          'bare-uws-params',
          'fastify-bentocache',
          'fastify-bentocache-objects',
          'fastify-ioredis',
        ],
        documents,
        featureTexts: maker.featureTexts,
      });
      results.push({ scenario: 'single-hit', variant: name, open, closed });
    }
    return results;
  },
};
