/**
 * Reads of documents by a Zipf law with exponent 0.99 over more documents than L1 holds: what a cache is for. L1 gets
 * a fifth of what they all would take. The run begins warm, after as many lookups as there are documents.
 */
import { Random } from '../data/random.js';
import { RecordMaker } from '../data/records.js';
import { Zipf } from '../data/zipf.js';
import { declareView, ingest, warm } from '../servers/filling.js';
import { FLATBUFFERS } from './encodings.js';
import { measureOpen, TIMED_EVERY, wireRequest } from './measure.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';
import { L1_BYTES_SMALL } from './single-miss.js';

export const CONNECTIONS = 32;
export const EXPONENT = 0.99;
/** A packed record of 50 float32 with its key, about. */
export const RECORD_BYTES = 320;
export const L1_SHARE = 1 / 5;

export const zipf: Scenario = {
  name: 'zipf',
  about: 'GET of single records drawn by Zipf 0.99, L1 for about a fifth of them',
  needsOwnServer: true,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { zipfDocuments, rate } = bench.size;
    const maker = new RecordMaker(50, bench.seed);
    const server = await bench.server(
      Math.max(L1_BYTES_SMALL, Math.ceil(zipfDocuments * RECORD_BYTES * L1_SHARE)),
    );
    await declareView(server, maker);
    await ingest(server, maker, zipfDocuments);
    const random = new Random(bench.seed, 'zipf');
    const ranks = new Zipf(zipfDocuments, EXPONENT, random);
    // Neighbours in rank are not neighbours by key.
    const documentOf = random.permutation(zipfDocuments);
    const draw = () => documentOf[ranks.next()] ?? 0;
    bench.say('warming');
    await warm(server, maker, Array.from({ length: zipfDocuments }, draw));

    const open = await measureOpen(bench, server, {
      rate: bench.rate ?? rate,
      connections: CONNECTIONS,
      request: n => {
        const path = maker.path(draw());
        return wireRequest(
          server,
          { method: 'GET', path, headers: { accept: FLATBUFFERS } },
          n % TIMED_EVERY === 0,
        );
      },
    });
    return [{ scenario: 'zipf', variant: '', open }];
  },
};
