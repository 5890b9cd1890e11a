/** A lookup of 500 records × 50 float32 features over one connection: what a ranking frontend asks per search. */
import { Random } from '../data/random.js';
import { documentId, RecordMaker } from '../data/records.js';
import type { ClosedRequest } from '../load/autocannon-child.js';
import { declareView, ingest, lookupPath, warm } from '../servers/filling.js';
import { ENCODINGS } from './encodings.js';
import { measureClosed, measureOpen, TIMED_EVERY, wireRequest } from './measure.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';

const IDS = 500;
const CONNECTIONS = 1;
/** Different lookups; their wire form is made ahead, as a body of 500 ids takes a while. */
const SEQUENCE = 16;
/** A lookup is worth many single reads. */
const RATE_SHARE = 1 / 50;

export const batch: Scenario = {
  name: 'batch',
  about: 'lookup of 500 records × 50 float32 features in L1, one connection; FlatBuffers and JSON',
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
      const random = new Random(bench.seed, 'batch');
      const requests = Array.from({ length: SEQUENCE }, (): ClosedRequest => {
        const ids = Array.from({ length: IDS }, () => documentId(random.below(documents)));
        const body = JSON.stringify({ ids, features: maker.featureNames });
        const headers = { accept, 'content-type': 'application/json' };
        return { method: 'POST', path: lookupPath(maker), headers, body };
      });
      const wire = requests.map((request, n) => wireRequest(server, request, n % TIMED_EVERY === 0));
      const [firstWire] = wire;
      if (firstWire === undefined) throw new Error('no lookups were made');
      const open = await measureOpen(bench, server, {
        rate: bench.rate ?? rate * RATE_SHARE,
        connections: CONNECTIONS,
        request: n => wire[n % SEQUENCE] ?? firstWire,
      });
      const closed = await measureClosed(bench, server, {
        connections: CONNECTIONS,
        requests,
        rivals: ['bare-uws', 'fastify-ioredis', 'fastify-ioredis-columns'],
        documents,
        featureTexts: maker.featureTexts,
      });
      results.push({ scenario: 'batch', variant: name, open, closed });
    }
    return results;
  },
};
