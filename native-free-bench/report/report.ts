/**
 * The report's JSON: everything that was measured, times in microseconds unless a name says otherwise. Fields are only
 * ever added; anything else raises `schema`. A field that could not be measured is absent.
 */
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import type { Histogram } from 'hdr-histogram-js';
import { STAGE_UNITS_PER_US } from '../load/tally.js';
import type { RunResult } from '../run.js';
import type { CaseResult, ClientsResult, Figure, OpenResult, Round } from '../scenarios/scenario.js';
import type { Settings } from '../settings.js';
import { achievedRate, PERCENTILES, percentileOf, type Ratios, ratiosTo } from './figures.js';

export interface Report {
  readonly schema: 1;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly machine: Machine;
  readonly settings: Settings;
  readonly cases: readonly CaseReport[];
  readonly skipped: RunResult['skipped'];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
}

export interface CaseReport {
  readonly scenario: string;
  readonly variant: string;
  readonly open?: OpenReport;
  readonly closed?: ClosedReport;
  readonly clients?: ClientsReport;
  readonly figures?: readonly Figure[];
}

export interface OpenReport extends AnswersReport {
  /** Requests per second as set. */
  readonly rate: number;
  readonly arrivals: string;
  readonly connections: number;
  /** How late the generator itself was; part of the latency. */
  readonly generatorLagUs: Latencies;
}

/** Of clients that ask all the time. */
export interface ClientsReport extends AnswersReport {
  readonly count: number;
}

export interface AnswersReport {
  /** Requests per second as answered. */
  readonly achievedRate: number;
  readonly elapsedMs: number;
  readonly latencyUs: Latencies;
  readonly stagesUs: Readonly<Record<string, Latencies>>;
  readonly counts: Readonly<
    Record<
      | 'arrivals'
      | 'responses'
      | 'bodyBytes'
      | 'refused'
      | 'timeouts'
      | 'broken'
      | 'dropped'
      | 'hits'
      | 'misses',
      number
    >
  >;
  readonly errorRate: number;
  readonly hitRatio?: number;
  readonly cpuUsPerRequest?: number;
}

export interface Latencies {
  readonly count: number;
  readonly mean: number;
  readonly max: number;
  /** By percentile: `{"50": 120, "95": 310, …}`. */
  readonly percentiles: Readonly<Record<string, number>>;
}

export interface ClosedReport {
  readonly connections: number;
  readonly headrace: readonly Round[];
  readonly rivals: readonly {
    readonly name: string;
    readonly rounds: readonly Round[];
    readonly ratios: Ratios;
  }[];
}

export function makeReport(run: RunResult, settings: Settings, startedAt: Date): Report {
  const cases = run.cases.map(caseReport);
  return {
    schema: 1,
    startedAt: startedAt.toISOString(),
    machine: machine(),
    settings,
    cases,
    skipped: run.skipped,
  };
}

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${platform()} ${release()}`,
    node: process.version,
  };
}

function caseReport(result: CaseResult): CaseReport {
  const { scenario, variant, open, clients, closed, figures } = result;
  return {
    scenario,
    variant,
    ...(open === undefined ? {} : { open: openReport(open) }),
    ...(clients === undefined ? {} : { clients: answersReport(clients) }),
    ...(closed === undefined
      ? {}
      : {
          closed: {
            ...closed,
            rivals: closed.rivals.map(rival => ({ ...rival, ratios: ratiosTo(rival, closed.headrace) })),
          },
        }),
    ...(figures === undefined ? {} : { figures }),
  };
}

function openReport(open: OpenResult): OpenReport {
  return { ...answersReport(open), generatorLagUs: latencies(open.tally.lagUs) };
}

function answersReport<R extends OpenResult | ClientsResult>(result: R) {
  const { tally, cpuUsPerRequest, ...set } = result;
  const { arrivals, responses, bodyBytes, refused, timeouts, broken, dropped, hits, misses, hitRatio } =
    tally;
  return {
    ...set,
    achievedRate: achievedRate(result),
    latencyUs: latencies(tally.latencyUs),
    stagesUs: Object.fromEntries(
      [...tally.stages].map(([stage, histogram]) => [stage, latencies(histogram, STAGE_UNITS_PER_US)]),
    ),
    counts: { arrivals, responses, bodyBytes, refused, timeouts, broken, dropped, hits, misses },
    errorRate: tally.errorRate,
    ...(hitRatio === undefined ? {} : { hitRatio }),
    ...(cpuUsPerRequest === undefined ? {} : { cpuUsPerRequest }),
  };
}

function latencies(histogram: Histogram, unitsPerUs = 1): Latencies {
  const percentiles = PERCENTILES.map(p => [String(p), percentileOf(histogram, p) / unitsPerUs] as const);
  const { totalCount: count, mean, maxValue: max } = histogram;
  return {
    count,
    mean: mean / unitsPerUs,
    max: max / unitsPerUs,
    percentiles: Object.fromEntries(percentiles),
  };
}
