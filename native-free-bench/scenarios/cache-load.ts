/**
 * Very many clients at once, each on a connection of its own and asking as soon as it is answered: reads of entries that
 * are in L1, durable writes, and four reads to one write. With so many in line, an answer takes as long as all before it:
 * for longer, at times, than the 200 ms that a server answers within by itself, so it is given more.
 */
import { EntryMaker } from '../data/entries.js';
import { Random } from '../data/random.js';
import { closedPass } from '../load/closed-pass.js';
import type { LoadRequest } from '../load/open-loop.js';
import type { Server } from '../servers/child.js';
import { PATIENCE, putEntries, putRequest } from '../servers/filling.js';
import { perRequest, wireRequest } from './measure.js';
import type { Bench, CaseResult, ClientsResult, Scenario } from './scenario.js';

const CACHE = 'results';
const PAYLOAD_BYTES = 256;
const TIMEOUT_MS = 30_000;
const WRITES = 0.2;

export const cacheLoad: Scenario = {
  name: 'cache-load',
  about: 'very many clients at once: reads, writes and 80/20 of entries of a named cache',
  needsOwnServer: false,
  async run(bench: Bench): Promise<CaseResult[]> {
    const { documents: entries, clients, crowd } = bench.size;
    const maker = new EntryMaker(CACHE, PAYLOAD_BYTES, bench.seed);
    const server = await bench.server(undefined, PATIENCE);
    const paths = Array.from({ length: entries }, (_, entry) => maker.path(maker.keyOf(entry)));
    await putEntries(server, paths, maker.payload);
    const gets = paths.map(path => wireRequest(server, { method: 'GET', path, headers: {} }));
    const puts = paths.map(path => putRequest(server, path, maker.payload));
    const random = new Random(bench.seed, 'cache-load');
    const next = (writes: number) => () => {
      const isWrite = random.next() < writes;
      return ofAll(isWrite ? puts : gets, random);
    };
    const cases = [
      { variant: 'reads', count: clients, writes: 0 },
      { variant: 'writes', count: clients, writes: 1 },
      { variant: 'mixed', count: clients, writes: WRITES },
      { variant: 'crowd', count: crowd, writes: WRITES },
    ];
    const results: CaseResult[] = [];
    for (const { variant, count, writes } of cases) {
      bench.say(`${variant}, ${count} at once`);
      const measured = await measureClients(bench, server, count, next(writes));
      results.push({ scenario: 'cache-load', variant, clients: measured });
    }
    return results;
  },
};

function ofAll(requests: readonly LoadRequest[], random: Random): LoadRequest {
  const request = requests[random.below(requests.length)];
  if (request === undefined) throw new Error('there are requests');
  return request;
}

async function measureClients(
  bench: Bench,
  server: Server,
  count: number,
  next: () => LoadRequest,
): Promise<ClientsResult> {
  const plan = { clients: count, timeoutMs: TIMEOUT_MS, next };
  // For the server's code to be compiled.
  await closedPass(server, { ...plan, durationMs: bench.size.roundMs });
  const cpuBefore = server.cpuMicros();
  const { tally, elapsedMs } = await closedPass(server, { ...plan, durationMs: bench.durationMs });
  const cpuUsPerRequest = perRequest(cpuBefore, server.cpuMicros(), tally.responses);
  return { count, elapsedMs, tally, cpuUsPerRequest };
}
