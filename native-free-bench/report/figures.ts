/** What is worked out from a case's measurements, once for terminal, report and thresholds. */
import type { Histogram } from 'hdr-histogram-js';
import {
  type CaseResult,
  type ClientsResult,
  type ClosedResult,
  latenciesOf,
  type OpenResult,
  type Round,
} from '../scenarios/scenario.js';

export const PERCENTILES = [50, 95, 99, 99.9] as const;

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** `undefined` for no values, as where CPU time cannot be read. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  const median = sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
  return { median, min: sorted[0] ?? 0, max: sorted[sorted.length - 1] ?? 0 };
}

/** In the histogram's unit. A histogram tells the upper end of a bucket, which may lie above the largest value. */
export function percentileOf(histogram: Histogram, percentile: number): number {
  return Math.min(histogram.getValueAtPercentile(percentile), histogram.maxValue);
}

export function requestsPerSecond(rounds: readonly Round[]): Spread | undefined {
  return spreadOf(rounds.map(round => round.requestsPerSecond));
}

export function cpuUsPerRequest(rounds: readonly Round[]): Spread | undefined {
  return spreadOf(
    rounds.flatMap(round => (round.cpuUsPerRequest === undefined ? [] : [round.cpuUsPerRequest])),
  );
}

export function achievedRate({ tally, elapsedMs }: OpenResult | ClientsResult): number {
  return tally.responses / (elapsedMs / 1000);
}

export interface Ratios {
  /** Requests per second of CPU time, headrace / rival, round by round. */
  readonly perCpuSecond: Spread | undefined;
  /** Requests per second. */
  readonly throughput: Spread | undefined;
}

export function ratiosTo(rival: ClosedResult['rivals'][number], headrace: readonly Round[]): Ratios {
  const pairs = headrace.flatMap((ours, i) => {
    const theirs = rival.rounds[i];
    return theirs === undefined ? [] : [{ ours, theirs }];
  });
  return {
    perCpuSecond: spreadOf(
      pairs.flatMap(({ ours, theirs }) =>
        ours.cpuUsPerRequest === undefined || theirs.cpuUsPerRequest === undefined
          ? []
          : [theirs.cpuUsPerRequest / ours.cpuUsPerRequest],
      ),
    ),
    throughput: spreadOf(pairs.map(({ ours, theirs }) => ours.requestsPerSecond / theirs.requestsPerSecond)),
  };
}

/** The closed loop's where there is one, since the open loop's rate is what was set. */
export function headlineRps(result: CaseResult): number | undefined {
  if (result.closed !== undefined) return requestsPerSecond(result.closed.headrace)?.median;
  const latencies = latenciesOf(result);
  return latencies && achievedRate(latencies);
}

export function headlineCpuUs(result: CaseResult): number | undefined {
  if (result.closed !== undefined) return cpuUsPerRequest(result.closed.headrace)?.median;
  return latenciesOf(result)?.cpuUsPerRequest;
}

/** Of all that was asked, in the open loop or by clients, and in the rounds of the closed loop. */
export function errorRate(result: CaseResult): number | undefined {
  const { closed } = result;
  const tally = latenciesOf(result)?.tally;
  if (tally === undefined && closed === undefined) return undefined;
  const rounds = closed?.headrace ?? [];
  const errors = rounds.reduce((sum, round) => sum + round.errors, tally?.errors ?? 0);
  const tried = rounds.reduce((sum, round) => sum + round.responses, tally?.arrivals ?? 0);
  return tried === 0 ? 0 : errors / tried;
}
