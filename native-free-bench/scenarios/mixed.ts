/** Four reads and one durable write, at random, over the same documents. Writes carry new features each time. */
import { Random } from '../data/random.js';
import { RecordMaker } from '../data/records.js';
import type { ClosedRequest } from '../load/autocannon-child.js';
import { declareView, ingest, warm } from '../servers/filling.js';
import { FLATBUFFERS } from './encodings.js';
import { measureClosed, measureOpen, TIMED_EVERY, wireRequest } from './measure.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';

const CONNECTIONS = 32;
const SEQUENCE = 320;
const WRITES = 0.2;
const RATE_SHARE = 1 / 2;

export const mixed: Scenario = {
  name: 'mixed',
  about: '80 % GET and 20 % PUT of single records, 50 float32 features',
  needsOwnServer: false,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { documents, rate } = bench.size;
    const maker = new RecordMaker(50, bench.seed);
    const server = await bench.server();
    await declareView(server, maker);
    await ingest(server, maker, documents);
    await warm(server, maker, Array(documents).keys());

    const random = new Random(bench.seed, 'mixed');
    const draw = (n: number): ClosedRequest => {
      const document = random.below(documents);
      const path = maker.path(document);
      if (random.next() >= WRITES) return { method: 'GET', path, headers: { accept: FLATBUFFERS } };
      const headers = { 'content-type': 'application/json' };
      return { method: 'PUT', path, headers, body: maker.recordBody(document, n) };
    };
    const open = await measureOpen(bench, server, {
      rate: bench.rate ?? rate * RATE_SHARE,
      connections: CONNECTIONS,
      request: n => wireRequest(server, draw(n), n % TIMED_EVERY === 0),
    });
    const closed = await measureClosed(bench, server, {
      connections: CONNECTIONS,
      requests: Array.from({ length: SEQUENCE }, (_, n) => draw(n)),
      rivals: [],
      documents,
      featureTexts: maker.featureTexts,
    });
    return [{ scenario: 'mixed', variant: '', open, closed }];
  },
};
