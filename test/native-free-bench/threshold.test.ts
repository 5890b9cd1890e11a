/** Thresholds: their grammar, the reasons for refusal, and the verdicts. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Tally } from '../../native-free-bench/load/tally.js';
import { judge, parseThreshold } from '../../native-free-bench/report/threshold.js';
import type { CaseResult, Round } from '../../native-free-bench/scenarios/scenario.js';
import { UserError } from '../../native-free-bench/user-error.js';

test.each([
  ['p(95)<5ms', { scope: '', metric: { kind: 'percentile', percentile: 95 }, operator: '<', limit: 5_000 }],
  ['p(99.9) <= 250 us', { metric: { kind: 'percentile', percentile: 99.9 }, operator: '<=', limit: 250 }],
  ['p(100)<1.5s', { metric: { kind: 'percentile', percentile: 100 }, limit: 1_500_000 }],
  ['avg<300µs', { metric: { kind: 'avg' }, limit: 300 }],
  ['max<1s', { metric: { kind: 'max' }, limit: 1_000_000 }],
  ['rate<0.01', { metric: { kind: 'rate' }, limit: 0.01 }],
  ['rate==0', { metric: { kind: 'rate' }, operator: '==', limit: 0 }],
  ['rps>=10000', { metric: { kind: 'rps' }, operator: '>=', limit: 10_000 }],
  ['hit_ratio>0.7', { metric: { kind: 'hit_ratio' }, operator: '>', limit: 0.7 }],
  ['cpu_us<20', { metric: { kind: 'cpu_us' }, limit: 20 }],
  ['restart:ready<2s', { scope: 'restart', metric: { kind: 'figure', metric: 'ready' }, limit: 2_000_000 }],
  ['batch:p(50)<1ms', { scope: 'batch', limit: 1_000 }],
  ['single-hit/json:rps>1', { scope: 'single-hit/json' }],
  ['ratio(bare-uws)>=0.9', { metric: { kind: 'ratio', rival: 'bare-uws' }, limit: 0.9 }],
])('%s', (text, expected) => {
  expect(parseThreshold(text)).toMatchObject({ text, ...expected });
});

test.each([
  ['', /should look like/],
  ['p(95)', /should look like/],
  ['p(95)<', /should look like/],
  ['p(95)<-5ms', /should look like/],
  ['p(95)=5ms', /should look like/],
  ['p(95)<5ms p(99)<6ms', /should look like/],
  ['p(95)<5', /needs a unit/],
  ['p(95)<5m', /no unit m/],
  ['p(0)<5ms', /no percentile/],
  ['p(101)<5ms', /no percentile/],
  ['p(x)<5ms', /no percentile/],
  ['p<5ms', /no metric p;/],
  ['p95<5ms', /should look like/],
  ['latency<5ms', /no metric latency/],
  ['constructor<5ms', /no metric constructor/],
  ['rate<1ms', /has no unit/],
  ['avg(5)<1ms', /no metric avg\(5\)/],
  ['ratio(nobody)>1', /no rival nobody/],
])('%s is refused with the reason', (text, reason) => {
  expect(() => parseThreshold(text)).toThrow(UserError);
  expect(() => parseThreshold(text)).toThrow(reason);
});

test('any text is parsed or refused, and a parsed one means what it says', () => {
  const percentile = fc.integer({ min: 1, max: 100 });
  const limit = fc.integer({ min: 0, max: 100_000 });
  const unit = fc.constantFrom(
    ['us', 1] as const,
    ['µs', 1] as const,
    ['ms', 1_000] as const,
    ['s', 1e6] as const,
  );
  const operator = fc.constantFrom('<', '<=', '>', '>=', '==');
  fc.assert(
    fc.property(percentile, operator, limit, unit, (p, sign, number, [name, scale]) => {
      const parsed = parseThreshold(`p(${p}) ${sign} ${number}${name}`);
      expect(parsed).toMatchObject({ metric: { percentile: p }, operator: sign, limit: number * scale });
    }),
  );
  fc.assert(
    fc.property(fc.string({ maxLength: 30 }), text => {
      try {
        parseThreshold(text);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
      }
    }),
  );
});

function round(requestsPerSecond: number, cpuUsPerRequest: number, errors = 0): Round {
  return { responses: 100, errors, requestsPerSecond, cpuUsPerRequest };
}

function caseWith(scenario: string, latenciesMs: readonly number[], status = 200): CaseResult {
  const tally = new Tally();
  for (const ms of latenciesMs) {
    tally.arrivals += 1;
    const head = { status, bodyBytes: 1, cacheStatus: 'headrace; hit', serverTiming: '', closes: false };
    tally.response(ms, head, true);
  }
  const open = {
    rate: 100,
    arrivals: 'constant',
    connections: 1,
    elapsedMs: 1_000,
    cpuUsPerRequest: 9,
    tally,
  } as const;
  return { scenario, variant: '', open };
}

const passes = (text: string, cases: readonly CaseResult[]) =>
  judge(parseThreshold(text), cases).map(({ passed }) => passed);

test('each case that has the figure is judged', () => {
  const cases = [caseWith('single-hit', [1, 1, 1, 9]), caseWith('batch', [1, 1, 1, 2])];
  expect(passes('p(50)<2ms', cases)).toEqual([true, true]);
  expect(passes('max<5ms', cases)).toEqual([false, true]);
  expect(passes('batch:max<5ms', cases)).toEqual([true]);
  expect(passes('rate<0.01', cases)).toEqual([true, true]);
  expect(passes('hit_ratio>=1', cases)).toEqual([true, true]);
  expect(passes('cpu_us<9', cases)).toEqual([false, false]);
});

test('errors of the open and the closed loop count together', () => {
  const open = caseWith('single-hit', [1, 1, 1, 1], 503);
  expect(judge(parseThreshold('rate<0.5'), [open])).toMatchObject([{ value: 1, passed: false }]);
  const both = {
    ...caseWith('single-hit', [1]),
    closed: { connections: 1, headrace: [round(1, 1, 100)], rivals: [] },
  };
  expect(judge(parseThreshold('rate<0.5'), [both])).toMatchObject([{ value: 100 / 101 }]);
});

test('a figure that nothing has fails the gate', () => {
  expect(passes('ready<2s', [caseWith('single-hit', [1])])).toEqual([false]);
  expect(passes('batch:rate<1', [caseWith('single-hit', [1])])).toEqual([false]);
  expect(passes('p(95)<5ms', [caseWith('single-hit', [])])).toEqual([false]);
  expect(passes('p(95)<5ms', [])).toEqual([false]);
});

test('figures and ratios can be gated', () => {
  const restart: CaseResult = {
    scenario: 'restart',
    variant: '',
    figures: [{ metric: 'ready', label: 'ready after', value: 1_500, unit: 'ms' }],
  };
  expect(passes('ready<2s', [restart])).toEqual([true]);
  expect(passes('ready<1400ms', [restart])).toEqual([false]);
  const rivals = [{ name: 'bare-uws', rounds: [round(1, 4), round(1, 6), round(1, 5)] }] as const;
  const closed = { connections: 1, headrace: [round(1, 5), round(1, 5), round(1, 5)], rivals };
  const verdicts = judge(parseThreshold('ratio(bare-uws)>=1'), [{ scenario: 's', variant: '', closed }]);
  expect(verdicts).toMatchObject([{ value: 1, passed: true }]);
});
