/** The contract of a scenario: what it is given, and the cases it measures. */

import type { ArrivalKind } from '../load/arrivals.js';
import type { ClosedLoop } from '../load/closed-loop.js';
import type { Tally } from '../load/tally.js';
import type { RivalName } from '../rivals/rival.js';
import type { ChildServer, Server } from '../servers/child.js';
import type { Size } from '../sizes.js';

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** Restarts the server or sets its memory, so it cannot run against `--url`. */
  readonly needsOwnServer: boolean;
  run(bench: Bench): Promise<CaseResult[]>;
}

/** What scenarios share; made in `run.ts`. */
export interface Bench {
  readonly seed: number;
  readonly size: Size;
  /** Requests per second of the open loop; what the scenario chooses when `undefined`. */
  readonly rate: number | undefined;
  readonly durationMs: number;
  readonly arrivals: ArrivalKind;
  /** The rivals of this run, empty without `--rivals`. Those of a scenario are among them. */
  readonly rivals: ReadonlySet<RivalName>;
  readonly redisUrl: string;
  /** Documents whose ids are the queries; those that ship with headrace when `undefined`. */
  readonly queriesFile: string | undefined;
  readonly closedLoop: ClosedLoop;
  /**
   * A server with empty data, or the one at `--url`. Stopped by the bench when the scenario ends. What is said of the
   * environment is for a server that the bench starts, and wins over the bench's own.
   */
  server(l1Bytes?: number, env?: Readonly<Record<string, string>>): Promise<Server>;
  /** Only with `needsOwnServer`: stops the server and starts it again on the same data. */
  restart(l1Bytes?: number): Promise<ChildServer>;
  /** A part of the scenario is left out, for that reason. */
  skip(name: string, reason: string): void;
  /** Tells the user what is being done. */
  say(line: string): void;
}

export interface CaseResult {
  readonly scenario: string;
  /** '' when the scenario has one case only. */
  readonly variant: string;
  readonly open?: OpenResult;
  readonly closed?: ClosedResult;
  readonly clients?: ClientsResult;
  readonly figures?: readonly Figure[];
}

export interface OpenResult {
  readonly rate: number;
  readonly arrivals: ArrivalKind;
  readonly connections: number;
  readonly elapsedMs: number;
  readonly tally: Tally;
  readonly cpuUsPerRequest: number | undefined;
}

/** A closed loop of so many clients that ask all the time, with how long their answers took. */
export interface ClientsResult {
  readonly count: number;
  readonly elapsedMs: number;
  readonly tally: Tally;
  readonly cpuUsPerRequest: number | undefined;
}

export interface ClosedResult {
  readonly connections: number;
  readonly headrace: readonly Round[];
  readonly rivals: readonly { readonly name: RivalName; readonly rounds: readonly Round[] }[];
}

export interface Round {
  readonly responses: number;
  readonly errors: number;
  readonly requestsPerSecond: number;
  readonly cpuUsPerRequest: number | undefined;
}

/** A figure of its own kind, such as the time to be ready. `metric` is its name in thresholds. */
export interface Figure {
  readonly metric:
    | 'records_per_s'
    | 'ready'
    | 'memory_peak_1e5'
    | 'memory_peak_1e6'
    | 'memory_peak_1e7'
    | 'memory_peak'
    | 'memory_growth'
    | 'bytes_per_s'
    | 'hit_ratio_before'
    | 'hit_ratio_after'
    | 'hit_ratio_kept'
    | 'without_origin'
    | 'origin_calls'
    | 'p95_ratio';
  readonly label: string;
  readonly value: number;
  /** `ms` is a time, `B` bytes, '' a plain number or ratio. */
  readonly unit: 'ms' | 'B' | '';
}

/** Of the open loop or of the clients: a case has at most one of them. */
export function latenciesOf({ open, clients }: CaseResult): OpenResult | ClientsResult | undefined {
  return open ?? clients;
}

export function caseName(result: Pick<CaseResult, 'scenario' | 'variant'>): string {
  return result.variant === '' ? result.scenario : `${result.scenario}/${result.variant}`;
}
