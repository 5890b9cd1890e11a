/** One entry of a named cache by GET, in L1: what a search frontend asks most. */
import { EntryMaker, KEY_PREFIX } from '../data/entries.js';
import { queryKey } from '../data/queries.js';
import { Random } from '../data/random.js';
import type { ClosedRequest } from '../load/autocannon-child.js';
import { PATIENCE, putEntries } from '../servers/filling.js';
import { measureClosed, measureOpen, TIMED_EVERY, wireRequest } from './measure.js';
import type { Bench, CaseResult, Scenario } from './scenario.js';

const CONNECTIONS = 32;
/** Requests made ahead for the closed loop, per connection. */
const SEQUENCE = 64;
const CACHE = 'results';

/** `canonical`: the keys are those of queries, percent-encoded, as the client library sends them. */
const VARIANTS = [
  { variant: '256b', bytes: 256, isCanonical: false },
  { variant: '4kib', bytes: 4096, isCanonical: false },
  { variant: 'canonical', bytes: 256, isCanonical: true },
] as const;

export const cacheHit: Scenario = {
  name: 'cache-hit',
  about: 'GET of one entry of a named cache, in L1: 256 bytes, 4 KiB, and by canonical key',
  needsOwnServer: false,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { documents: entries, rate } = bench.size;
    const server = await bench.server(undefined, PATIENCE);
    const results: CaseResult[] = [];
    for (const { variant, bytes, isCanonical } of VARIANTS) {
      bench.say(variant);
      const maker = new EntryMaker(CACHE, bytes, bench.seed);
      const keyOf = (entry: number) => maker.keyOf(entry) + (isCanonical ? queryKey(`Query ${entry}`) : '');
      const paths = Array.from({ length: entries }, (_, entry) => maker.path(keyOf(entry)));
      await putEntries(server, paths, maker.payload);
      const random = new Random(bench.seed, 'cache-hit');
      const get = (): ClosedRequest => ({
        method: 'GET',
        path: paths[random.below(entries)] ?? '',
        headers: {},
      });
      const open = await measureOpen(bench, server, {
        rate: bench.rate ?? rate,
        connections: CONNECTIONS,
        request: n => wireRequest(server, get(), n % TIMED_EVERY === 0),
      });
      const closed = await measureClosed(bench, server, {
        connections: CONNECTIONS,
        requests: Array.from({ length: SEQUENCE }, get),
        // What they keep is under plain keys.
        rivals: isCanonical
          ? ['bare-uws', 'bare-uws-params']
          : ['bare-uws', 'bare-uws-params', 'fastify-bentocache', 'fastify-lru-cache'],
        documents: entries,
        keyPrefix: KEY_PREFIX,
        featureTexts: [],
      });
      results.push({ scenario: 'cache-hit', variant, open, closed });
    }
    return results;
  },
};
