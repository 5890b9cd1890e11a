/**
 * Thresholds in the manner of k6: `p(95)<5ms`, `rate<0.01`, `hit_ratio>0.7`, with a scenario or a case in front where
 * they are for it alone: `batch:p(95)<5ms`, `single-hit/json:rps>=10000`.
 *
 *   threshold = [ scenario [ "/" variant ] ":" ] metric operator number [ unit ]
 */
import { RIVALS, type RivalName } from '../rivals/rival.js';
import { type CaseResult, caseName, type Figure, latenciesOf } from '../scenarios/scenario.js';
import { UserError } from '../user-error.js';
import { errorRate, headlineCpuUs, headlineRps, percentileOf, ratiosTo } from './figures.js';

export type Operator = '<' | '<=' | '>' | '>=' | '==';

type Dimension = 'time' | 'number';

export type Metric =
  | { readonly kind: 'percentile'; readonly percentile: number }
  /** `rate` is the error rate; `rps` and `cpu_us` are the closed loop's where the scenario has one. */
  | { readonly kind: 'avg' | 'max' | 'rate' | 'rps' | 'hit_ratio' | 'cpu_us' }
  /** Requests per CPU second, headrace / rival. */
  | { readonly kind: 'ratio'; readonly rival: RivalName }
  | { readonly kind: 'figure'; readonly metric: Figure['metric'] };

export interface Threshold {
  /** As the user wrote it. */
  readonly text: string;
  /** Scenario, or scenario/variant; '' for every case that has the metric. */
  readonly scope: string;
  readonly metric: Metric;
  readonly operator: Operator;
  /** Times in microseconds. */
  readonly limit: number;
}

const SIMPLE: Readonly<Record<string, { metric: Metric; dimension: Dimension }>> = {
  avg: { metric: { kind: 'avg' }, dimension: 'time' },
  max: { metric: { kind: 'max' }, dimension: 'time' },
  rate: { metric: { kind: 'rate' }, dimension: 'number' },
  rps: { metric: { kind: 'rps' }, dimension: 'number' },
  hit_ratio: { metric: { kind: 'hit_ratio' }, dimension: 'number' },
  cpu_us: { metric: { kind: 'cpu_us' }, dimension: 'number' },
  ready: { metric: { kind: 'figure', metric: 'ready' }, dimension: 'time' },
  records_per_s: { metric: { kind: 'figure', metric: 'records_per_s' }, dimension: 'number' },
  hit_ratio_kept: { metric: { kind: 'figure', metric: 'hit_ratio_kept' }, dimension: 'number' },
  memory_growth: { metric: { kind: 'figure', metric: 'memory_growth' }, dimension: 'number' },
  without_origin: { metric: { kind: 'figure', metric: 'without_origin' }, dimension: 'number' },
  origin_calls: { metric: { kind: 'figure', metric: 'origin_calls' }, dimension: 'number' },
  p95_ratio: { metric: { kind: 'figure', metric: 'p95_ratio' }, dimension: 'number' },
};

const UNITS_US: Readonly<Record<string, number>> = { us: 1, µs: 1, μs: 1, ms: 1000, s: 1_000_000 };

const SHAPE =
  /^(?:([a-z][a-z0-9-]*(?:\/[a-z0-9-]+)?):)?([a-z_]+(?:\([^()]*\))?)(<=|>=|==|<|>)([0-9]+(?:\.[0-9]+)?)([a-zµμ]*)$/;

/** @throws UserError that says what is wrong with the text. */
export function parseThreshold(text: string): Threshold {
  const bad = (what: string) => new UserError(`${JSON.stringify(text)} is not a threshold: ${what}`);
  const [, scope = '', metricText = '', operator = '', number = '', unit = ''] =
    SHAPE.exec(text.replace(/\s+/g, '')) ?? [];
  if (metricText === '') throw bad("it should look like 'p(95)<5ms', 'rate<0.01' or 'batch:hit_ratio>=0.7'");
  const found = parseMetric(metricText);
  if (typeof found === 'string') throw bad(found);
  const { metric, dimension } = found;
  if (dimension === 'number' && unit !== '') throw bad(`${metricText} has no unit`);
  const scale = dimension === 'number' ? 1 : UNITS_US[unit];
  if (scale === undefined) {
    throw bad(
      unit === ''
        ? `${metricText} needs a unit: us, ms or s`
        : `there is no unit ${unit}; there are us, ms, s`,
    );
  }
  return { text, scope, metric, operator: operator as Operator, limit: Number(number) * scale };
}

function parseMetric(text: string): { metric: Metric; dimension: Dimension } | string {
  const [, name = text, argument] = /^([a-z_]+)\((.*)\)$/.exec(text) ?? [];
  if (name === 'p' && argument !== undefined) {
    const percentile = /^[0-9]+(\.[0-9]+)?$/.test(argument) ? Number(argument) : Number.NaN;
    if (!(percentile > 0 && percentile <= 100))
      return `p(${argument}) is no percentile: above 0, at most 100`;
    return { metric: { kind: 'percentile', percentile }, dimension: 'time' };
  }
  if (name === 'ratio' && argument !== undefined) {
    const rival = (Object.keys(RIVALS) as RivalName[]).find(known => known === argument);
    if (rival === undefined)
      return `there is no rival ${argument}; there are ${Object.keys(RIVALS).join(', ')}`;
    return { metric: { kind: 'ratio', rival }, dimension: 'number' };
  }
  const simple = argument === undefined && Object.hasOwn(SIMPLE, name) ? SIMPLE[name] : undefined;
  return (
    simple ?? `there is no metric ${text}; there are p(N), ${Object.keys(SIMPLE).join(', ')}, ratio(RIVAL)`
  );
}

export interface Verdict {
  readonly threshold: Threshold;
  /** '' when no case has the metric, which fails the threshold: a gate that measured nothing must not pass. */
  readonly caseName: string;
  readonly value: number | undefined;
  readonly passed: boolean;
}

/** A verdict for each case in the threshold's scope that has its metric. */
export function judge(threshold: Threshold, cases: readonly CaseResult[]): Verdict[] {
  const verdicts = cases
    .filter(({ scenario, variant }) => {
      const { scope } = threshold;
      return scope === '' || scope === scenario || scope === caseName({ scenario, variant });
    })
    .flatMap((result): Verdict[] => {
      const value = metricOf(threshold.metric, result);
      if (value === undefined) return [];
      return [{ threshold, caseName: caseName(result), value, passed: holds(value, threshold) }];
    });
  return verdicts.length > 0 ? verdicts : [{ threshold, caseName: '', value: undefined, passed: false }];
}

export function isTime(metric: Metric): boolean {
  return (
    ['percentile', 'avg', 'max'].includes(metric.kind) ||
    (metric.kind === 'figure' && metric.metric === 'ready')
  );
}

function holds(value: number, { operator, limit }: Threshold): boolean {
  switch (operator) {
    case '<':
      return value < limit;
    case '<=':
      return value <= limit;
    case '>':
      return value > limit;
    case '>=':
      return value >= limit;
    case '==':
      return value === limit;
  }
}

function metricOf(metric: Metric, result: CaseResult): number | undefined {
  const { closed, figures } = result;
  const tally = latenciesOf(result)?.tally;
  // No answer at all is no latency of zero.
  const latency = tally !== undefined && tally.latencyUs.totalCount > 0 ? tally.latencyUs : undefined;
  switch (metric.kind) {
    case 'percentile':
      return latency === undefined ? undefined : percentileOf(latency, metric.percentile);
    case 'avg':
      return latency?.mean;
    case 'max':
      return latency?.maxValue;
    case 'rate':
      return errorRate(result);
    case 'rps':
      return headlineRps(result);
    case 'hit_ratio':
      return tally?.hitRatio;
    case 'cpu_us':
      return headlineCpuUs(result);
    case 'ratio': {
      const rival = closed?.rivals.find(({ name }) => name === metric.rival);
      return rival === undefined ? undefined : ratiosTo(rival, closed?.headrace ?? []).perCpuSecond?.median;
    }
    case 'figure': {
      const figure = figures?.find(candidate => candidate.metric === metric.metric);
      return figure === undefined ? undefined : figure.unit === 'ms' ? figure.value * 1000 : figure.value;
    }
  }
}
