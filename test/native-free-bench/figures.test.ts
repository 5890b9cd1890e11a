/** Small figures: hits, stages, spreads, times, and what /proc says of a process. */
import { expect, test } from 'vitest';
import { isHit, stageTimes, Tally } from '../../native-free-bench/load/tally.js';
import { spreadOf } from '../../native-free-bench/report/figures.js';
import { time } from '../../native-free-bench/report/terminal.js';
import { cpuMicros, memoryBytes } from '../../native-free-bench/servers/process-figures.js';

test.each([
  ['headrace; hit; ttl=30; detail=L1', true],
  ['headrace;hit', true],
  ['headrace; hit', true],
  ['headrace; fwd=miss; detail=L3', false],
  ['headrace; hitherto=1', false],
  ['headrace; fwd=miss, other; hit', false],
  ['headrace; hit, other; fwd=miss', true],
])('cache status %s', (text, hit) => {
  expect(isHit(text)).toBe(hit);
});

test('stages are those of the closed list, in whatever order they come', () => {
  expect(stageTimes('total;dur=1.5, l1;desc="x";dur=0.25,nonsense;dur=3, queue, l3;dur=.5')).toEqual([
    { stage: 'total', ms: 1.5 },
    { stage: 'l1', ms: 0.25 },
    { stage: 'l3', ms: 0.5 },
  ]);
  expect(stageTimes('')).toEqual([]);
  expect(stageTimes('__proto__;dur=1, ;;;,,')).toEqual([]);
});

test('writes do not count in the hit ratio, and without reads there is none', () => {
  const tally = new Tally();
  const head = {
    status: 200,
    bodyBytes: 0,
    cacheStatus: 'headrace; fwd=miss',
    serverTiming: '',
    closes: false,
  };
  tally.response(1, head, false);
  expect(tally.hitRatio).toBeUndefined();
  tally.response(1, { ...head, cacheStatus: 'headrace; hit' }, true);
  expect(tally.hitRatio).toBe(1);
  tally.response(1, head, true);
  expect(tally.hitRatio).toBe(0.5);
});

test('spreads', () => {
  expect(spreadOf([])).toBeUndefined();
  expect(spreadOf([3])).toEqual({ median: 3, min: 3, max: 3 });
  expect(spreadOf([9, 1, 3])).toEqual({ median: 3, min: 1, max: 9 });
  expect(spreadOf([10, 1, 3, 4])).toEqual({ median: 3.5, min: 1, max: 10 });
});

test('times are told in the unit that fits', () => {
  expect([time(0.3), time(999), time(1_000), time(1_234_567)]).toEqual([
    '0.3 µs',
    '999 µs',
    '1.00 ms',
    '1.23 s',
  ]);
});

test.runIf(process.platform === 'linux')('CPU time and memory are those that Node.js tells of itself', () => {
  const before = process.cpuUsage();
  const fromProc = cpuMicros(process.pid) ?? Number.NaN;
  const until = before.user + before.system + 200_000;
  let ours = before.user + before.system;
  while (ours < until) {
    const usage = process.cpuUsage();
    ours = usage.user + usage.system;
  }
  const spent = (cpuMicros(process.pid) ?? Number.NaN) - fromProc;
  expect(spent).toBeGreaterThan(150_000);
  expect(spent).toBeLessThan(300_000);
  const held = memoryBytes(process.pid) ?? Number.NaN;
  expect(held).toBeGreaterThan(10 * 2 ** 20);
  expect(held).toBeLessThan(process.memoryUsage().rss * 1.5);
});

test('a process that is not there has no figures', () => {
  expect(cpuMicros(2 ** 30)).toBeUndefined();
  expect(memoryBytes(2 ** 30)).toBeUndefined();
});
