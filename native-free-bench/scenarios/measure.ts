/** The two ways to measure that scenarios share: one open-loop run, and alternating closed-loop rounds. */
import { Random } from '../data/random.js';
import { arrivals } from '../load/arrivals.js';
import type { ClosedRequest } from '../load/autocannon-child.js';
import { Connections } from '../load/connections.js';
import { type LoadRequest, realPace, runOpenLoop } from '../load/open-loop.js';
import { Tally } from '../load/tally.js';
import { type RivalName, startRival } from '../rivals/rival.js';
import type { Server } from '../servers/child.js';
import { call } from '../servers/http-call.js';
import { UserError } from '../user-error.js';
import type { Bench, ClosedResult, OpenResult, Round } from './scenario.js';

const REQUEST_TIMEOUT_MS = 5_000;
/** Arrivals that may wait, in seconds of the rate. */
const WAITING_SECONDS = 2;
const WARM_UP_RESPONSES = 10_000;
const WARM_UP_ROUNDS_MAX = 4;
/** One request in this many asks for its stages: few enough not to weigh on the figures. */
export const TIMED_EVERY = 16;

export interface OpenPlan {
  readonly rate: number;
  readonly connections: number;
  /** The n-th request of the run, from 0. */
  readonly request: (n: number) => LoadRequest;
}

export async function measureOpen(bench: Bench, server: Server, plan: OpenPlan): Promise<OpenResult> {
  const { rate, connections, request } = plan;
  const transport = await Connections.open(server, connections, REQUEST_TIMEOUT_MS);
  const tally = new Tally();
  let drawn = 0;
  const cpuBefore = server.cpuMicros();
  const elapsedMs = await runOpenLoop({
    arrivals: arrivals(bench.arrivals, rate, bench.durationMs, new Random(bench.seed, 'arrivals')),
    nextRequest: () => request(drawn++),
    transport,
    pace: realPace,
    tally,
    waitingMax: Math.max(1000, Math.ceil(rate * WAITING_SECONDS)),
    drainMs: 2 * REQUEST_TIMEOUT_MS,
  });
  const cpuUsPerRequest = perRequest(cpuBefore, server.cpuMicros(), tally.responses);
  return { rate, arrivals: bench.arrivals, connections, elapsedMs, tally, cpuUsPerRequest };
}

export interface ClosedPlan {
  readonly connections: number;
  readonly requests: readonly ClosedRequest[];
  /** In the order of the report; those that the run leaves out are skipped. */
  readonly rivals: readonly RivalName[];
  readonly documents: number;
  /** Before the id of each. */
  readonly keyPrefix?: string;
  readonly featureTexts: readonly string[];
}

export async function measureClosed(bench: Bench, server: Server, plan: ClosedPlan): Promise<ClosedResult> {
  const { connections } = plan;
  const first = plan.requests[0];
  if (first === undefined) throw new Error('a closed loop needs a request');
  const names = plan.rivals.filter(name => bench.rivals.has(name));
  const rivals: Server[] = [];
  try {
    if (names.length > 0) {
      const { method, path, ...options } = first;
      const answer = await call(server, method, path, options);
      const { documents, keyPrefix = '', featureTexts } = plan;
      const setting = { documents, keyPrefix, answer, featureTexts, redisUrl: bench.redisUrl };
      for (const name of names) rivals.push(await startRival(name, setting));
    }
    const rounds = await alternate(bench, [server, ...rivals], plan);
    return {
      connections,
      headrace: rounds[0] ?? [],
      rivals: names.map((name, i) => ({ name, rounds: rounds[i + 1] ?? [] })),
    };
  } finally {
    await Promise.all(rivals.map(rival => rival.stop()));
  }
}

/** Rounds of each server. Who goes first changes from round to round, so that a drift of the machine hits all alike. */
async function alternate(bench: Bench, servers: readonly Server[], plan: ClosedPlan): Promise<Round[][]> {
  const { size } = bench;
  const rounds = servers.map((): Round[] => []);
  for (const server of servers) await warmUp(bench, server, plan);
  const count = servers.length > 1 ? size.rivalRounds : size.rounds;
  for (let round = 0; round < count; round++) {
    for (let turn = 0; turn < servers.length; turn++) {
      const which = (round + turn) % servers.length;
      const server = servers[which];
      if (server !== undefined) rounds[which]?.push(await closedRound(bench, server, plan, size.roundMs));
    }
  }
  return rounds;
}

/** Rounds that do not count, until the server's code is compiled. */
async function warmUp(bench: Bench, server: Server, plan: ClosedPlan): Promise<void> {
  let responses = 0;
  for (let round = 0; round < WARM_UP_ROUNDS_MAX && responses < WARM_UP_RESPONSES; round++) {
    responses += (await closedRound(bench, server, plan, bench.size.roundMs)).responses;
  }
}

async function closedRound(
  bench: Bench,
  server: Server,
  plan: ClosedPlan,
  durationMs: number,
): Promise<Round> {
  const cpuBefore = server.cpuMicros();
  const { responses, errors, elapsedMs } = await bench.closedLoop.run({
    url: `http://${server.host.includes(':') ? `[${server.host}]` : server.host}:${server.port}`,
    connections: plan.connections,
    durationMs,
    requests: plan.requests,
  });
  const cpuUsPerRequest = perRequest(cpuBefore, server.cpuMicros(), responses);
  if (responses === 0) throw new UserError(`${server.name} answered no request of a closed-loop round`);
  return { responses, errors, requestsPerSecond: responses / (elapsedMs / 1000), cpuUsPerRequest };
}

export function perRequest(
  before: number | undefined,
  after: number | undefined,
  requests: number,
): number | undefined {
  return before === undefined || after === undefined || requests === 0
    ? undefined
    : (after - before) / requests;
}

/** A request as it goes on the wire. */
export function wireRequest(server: Server, request: ClosedRequest, timed = false): LoadRequest {
  const { method, path, headers, body = '' } = request;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (timed) lines.push('headrace-timing: 1\r\n');
  if (method !== 'GET') lines.push(`content-length: ${Buffer.byteLength(body)}\r\n`);
  const head = `${method} ${path} HTTP/1.1\r\nhost: ${server.host}:${server.port}\r\n${lines.join('')}\r\n`;
  // A lookup is a POST that reads.
  return { bytes: Buffer.from(head + body), isRead: method !== 'PUT' };
}
