/** The open loop in virtual time against a queueing model: a stall must show in every request that was due in it. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Random } from '../../native-free-bench/data/random.js';
import { ARRIVAL_KINDS, arrivals } from '../../native-free-bench/load/arrivals.js';
import { type LoadRequest, runOpenLoop } from '../../native-free-bench/load/open-loop.js';
import { Tally } from '../../native-free-bench/load/tally.js';
import { type Behaviour, expectedLatencies, VirtualServer } from './virtual-server.js';

const REQUEST: LoadRequest = { bytes: new Uint8Array(0), isRead: true };

async function run(
  behaviour: Behaviour,
  dues: readonly number[],
  waitingMax = 1_000_000,
  drainMs = 1e9,
): Promise<Tally> {
  const server = new VirtualServer(behaviour);
  const tally = new Tally();
  const nextRequest = () => REQUEST;
  await runOpenLoop({
    arrivals: dues,
    nextRequest,
    transport: server,
    pace: server,
    tally,
    waitingMax,
    drainMs,
  });
  expect(server.closed).toBe(true);
  return tally;
}

function quantile(values: readonly number[], percentile: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percentile / 100) * sorted.length) - 1)] ?? 0;
}

test('a stall of one second shows in every request that was due in it, not in one', async () => {
  const behaviour = { connections: 4, serviceMs: 0.1, stallFromMs: 5_000, stallToMs: 6_000 };
  const dues = [...arrivals('constant', 1_000, 10_000, new Random(1))];
  expect(dues.length).toBe(10_000);
  const tally = await run(behaviour, dues);
  expect(tally.responses).toBe(10_000);
  const slow = tally.latencyUs.totalCount - countUpTo(tally, 500_000);
  // A generator that waits for answers would have seen four of these.
  expect(slow).toBeGreaterThan(480);
  expect(slow).toBeLessThan(560);
  expect(tally.latencyUs.getValueAtPercentile(50)).toBeLessThan(200);
  expect(tally.latencyUs.getValueAtPercentile(99)).toBeGreaterThan(850_000);
  expect(tally.latencyUs.maxValue).toBeGreaterThan(999_000);
});

test('latencies are those of the queue that the schedule and the server make', async () => {
  const ms = (max: number) => fc.double({ min: 0, max, noNaN: true });
  const behaviours = fc.record({
    connections: fc.integer({ min: 1, max: 50 }),
    serviceMs: ms(20).map(service => service + 0.001),
    stallFromMs: ms(2_000),
    stallForMs: ms(3_000),
  });
  const schedules = fc.record({
    kind: fc.constantFrom(...ARRIVAL_KINDS),
    rate: fc.integer({ min: 1, max: 400 }),
    seed: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(behaviours, schedules, async ({ stallForMs, ...rest }, { kind, rate, seed }) => {
      const behaviour = { ...rest, stallToMs: rest.stallFromMs + stallForMs };
      const dues = [...arrivals(kind, rate, 2_000, new Random(seed))];
      const tally = await run(behaviour, dues);
      const expected = expectedLatencies(behaviour, dues);
      expect(tally.arrivals).toBe(dues.length);
      expect(tally.responses).toBe(dues.length);
      expect(tally.errors).toBe(0);
      for (const percentile of [1, 50, 95, 100]) {
        const wanted = quantile(expected, percentile) * 1000;
        const got = tally.latencyUs.getValueAtPercentile(percentile);
        expect(Math.abs(got - wanted)).toBeLessThanOrEqual(2 + wanted * 0.002);
      }
    }),
    { numRuns: 200 },
  );
});

test('arrivals past the queue are dropped and counted as errors', async () => {
  const behaviour = { connections: 2, serviceMs: 0.1, stallFromMs: 100, stallToMs: 900 };
  const dues = [...arrivals('constant', 1_000, 1_000, new Random(1))];
  const tally = await run(behaviour, dues, 50);
  expect(tally.dropped).toBeGreaterThan(700);
  expect(tally.responses + tally.dropped).toBe(1_000);
  expect(tally.errorRate).toBeCloseTo(tally.dropped / 1_000, 10);
});

test('a server that never answers again ends the run when the drain is over', async () => {
  const behaviour = { connections: 2, serviceMs: 0.1, stallFromMs: 500, stallToMs: 1e12 };
  const dues = [...arrivals('constant', 100, 1_000, new Random(1))];
  const tally = await run(behaviour, dues, 1_000, 2_000);
  expect(tally.arrivals).toBe(100);
  expect(tally.responses).toBe(50);
  expect(tally.dropped).toBe(48);
});

test('Poisson arrivals come at the rate and with the spread of their law', () => {
  const dues = [...arrivals('poisson', 2_000, 50_000, new Random(7))];
  const gaps = dues.slice(1).map((due, i) => due - (dues[i] ?? 0));
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
  expect(mean).toBeCloseTo(0.5, 1);
  expect(Math.sqrt(variance) / mean).toBeCloseTo(1, 1);
  expect(Math.min(...gaps.slice(0, 10_000))).toBeGreaterThanOrEqual(0);
});

test('constant arrivals do not drift', () => {
  const dues = [...arrivals('constant', 3, 1_000_000, new Random(7))];
  expect(dues.length).toBe(3_000);
  expect(dues[2_999]).toBeCloseTo((2_999 * 1000) / 3, 6);
});

function countUpTo(tally: Tally, us: number): number {
  let low = 0;
  let high = 100;
  // The histogram tells values by percentile; turned round by bisection.
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (tally.latencyUs.getValueAtPercentile(middle) <= us) low = middle;
    else high = middle;
  }
  return Math.round((low / 100) * tally.latencyUs.totalCount);
}
