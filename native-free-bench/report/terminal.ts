/** The report for people: tables of plain text. */
import type { Histogram } from 'hdr-histogram-js';
import { STAGES } from '../../src/observe/stages.js';
import { STAGE_UNITS_PER_US } from '../load/tally.js';
import type { RunResult } from '../run.js';
import { type CaseResult, caseName, type Figure, latenciesOf } from '../scenarios/scenario.js';
import {
  cpuUsPerRequest,
  errorRate,
  headlineCpuUs,
  headlineRps,
  PERCENTILES,
  percentileOf,
  ratiosTo,
  requestsPerSecond,
  type Spread,
} from './figures.js';
import type { Machine } from './report.js';

const NONE = '–';
const LATE_SHARE = 0.5;

export function machineLine({ cpu, cores, node, system }: Machine): string {
  return `${cpu}, ${cores} cores, ${system}, Node.js ${node}`;
}

export function terminalReport(run: RunResult): string {
  const parts = [
    latencyTable(run.cases),
    lateness(run.cases),
    rivalTable(run.cases),
    stageTable(run.cases),
    figureLines(run.cases),
  ];
  return parts.filter(part => part !== '').join('\n\n');
}

/** `lag` is how late the generator itself was: where it is near the latency, the latency is the machine's. */
function latencyTable(cases: readonly CaseResult[]): string {
  const head = [
    'scenario',
    'rate',
    'p50',
    'p95',
    'p99',
    'p99.9',
    'max',
    'lag p99',
    'req/s',
    'CPU µs/req',
    'hit ratio',
    'errors',
  ];
  const rows = cases.flatMap(result => {
    const { open, clients } = result;
    const latencies = latenciesOf(result);
    if (latencies === undefined) return [];
    const { latencyUs, lagUs, hitRatio } = latencies.tally;
    return [
      [
        caseName(result),
        clients === undefined ? plain(open?.rate) : `${plain(clients.count)} at once`,
        ...PERCENTILES.map(p => time(percentileOf(latencyUs, p))),
        time(latencyUs.maxValue),
        open === undefined ? NONE : time(percentileOf(lagUs, 99)),
        plain(headlineRps(result)),
        fixed(headlineCpuUs(result), 1),
        fixed(hitRatio, 3),
        errorsOf(result),
      ],
    ];
  });
  return rows.length === 0 ? '' : table([head, ...rows]);
}

/** Warns where the tail is mostly the generator's own: it had to wait for a core, and so perhaps had the server. */
function lateness(cases: readonly CaseResult[]): string {
  const late = cases.filter(({ open }) => {
    if (open === undefined) return false;
    const { lagUs, latencyUs } = open.tally;
    return percentileOf(lagUs, 99) > LATE_SHARE * percentileOf(latencyUs, 99);
  });
  if (late.length === 0) return '';
  const names = late.map(caseName).join(', ');
  return `The load generator itself was late (lag p99): the machine was too busy to tell the tail of ${names}.`;
}

function rivalTable(cases: readonly CaseResult[]): string {
  const head = [
    'side by side',
    'server',
    'req/s',
    'CPU µs/req',
    'req/CPU s',
    'headrace per CPU s',
    'headrace req/s',
  ];
  const rows = cases.flatMap(result => {
    const { closed } = result;
    if (closed === undefined || closed.rivals.length === 0) return [];
    const row = (name: string, rounds: typeof closed.headrace) => {
      const cpuUs = cpuUsPerRequest(rounds)?.median;
      const perCpuSecond = cpuUs === undefined ? undefined : 1e6 / cpuUs;
      return [
        caseName(result),
        name,
        plain(requestsPerSecond(rounds)?.median),
        fixed(cpuUs, 2),
        plain(perCpuSecond),
      ];
    };
    return [
      [...row('headrace', closed.headrace), '', ''],
      ...closed.rivals.map(rival => {
        const { perCpuSecond, throughput } = ratiosTo(rival, closed.headrace);
        return [...row(rival.name, rival.rounds), spread(perCpuSecond), spread(throughput)];
      }),
    ];
  });
  return rows.length === 0 ? '' : table([head, ...rows]);
}

function stageTable(cases: readonly CaseResult[]): string {
  const head = [
    'stages, as the server tells them',
    'stage',
    'count',
    ...PERCENTILES.map(p => `p${p}`),
    'max',
  ];
  const rows = cases.flatMap(result =>
    STAGES.flatMap(stage => {
      const histogram: Histogram | undefined = result.open?.tally.stages.get(stage);
      if (histogram === undefined) return [];
      const stageTime = (value: number) => time(value / STAGE_UNITS_PER_US);
      const times = PERCENTILES.map(p => stageTime(percentileOf(histogram, p)));
      return [
        [caseName(result), stage, plain(histogram.totalCount), ...times, stageTime(histogram.maxValue)],
      ];
    }),
  );
  return rows.length === 0 ? '' : table([head, ...rows]);
}

function figureLines(cases: readonly CaseResult[]): string {
  const lines = cases.flatMap(result =>
    (result.figures ?? []).map(figure => [caseName(result), figure.label, figureText(figure)]),
  );
  return lines.length === 0 ? '' : table([['figure', '', ''], ...lines]);
}

export function figureText({ value, unit }: Pick<Figure, 'value' | 'unit'>): string {
  if (unit === 'ms') return time(value * 1000);
  if (unit === 'B') return `${(value / 2 ** 20).toFixed(1)} MiB`;
  return value >= 100 ? plain(value) : value.toFixed(3);
}

/** Microseconds, in the unit that reads best. */
export function time(us: number): string {
  if (us < 10) return `${us.toFixed(1)} µs`;
  if (us < 1000) return `${Math.round(us)} µs`;
  return us < 1_000_000 ? `${(us / 1000).toFixed(2)} ms` : `${(us / 1_000_000).toFixed(2)} s`;
}

function errorsOf(result: CaseResult): string {
  const rate = errorRate(result) ?? 0;
  const tally = latenciesOf(result)?.tally;
  const closed = (result.closed?.headrace ?? []).reduce((sum, round) => sum + round.errors, 0);
  const kinds = [
    [tally?.refused ?? 0, 'refused'],
    [tally?.timeouts ?? 0, 'timeouts'],
    [tally?.broken ?? 0, 'broken'],
    [tally?.dropped ?? 0, 'dropped'],
    [closed, 'in closed loop'],
  ] as const;
  const told = kinds.flatMap(([count, kind]) => (count === 0 ? [] : [`${count} ${kind}`]));
  return told.length === 0 ? '0' : `${(rate * 100).toFixed(2)} %: ${told.join(', ')}`;
}

function spread(ratio: Spread | undefined): string {
  return ratio === undefined
    ? NONE
    : `${ratio.median.toFixed(2)}× (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`;
}

function plain(value: number | undefined): string {
  return value === undefined ? NONE : Math.round(value).toLocaleString('en-US');
}

function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? NONE : value.toFixed(digits);
}

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)));
  return rows
    .map(row =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return column === 0 ? cell.padEnd(width) : cell.padStart(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
