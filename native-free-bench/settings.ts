/** What `bench` and `gate` are told on the command line, defined once for both. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ARRIVAL_KINDS, type ArrivalKind } from './load/arrivals.js';
import { SIZE_NAMES, type SizeName } from './sizes.js';
import { UserError } from './user-error.js';

export interface Settings {
  readonly size: SizeName;
  readonly rate: number | undefined;
  readonly durationMs: number | undefined;
  readonly arrivals: ArrivalKind;
  readonly seed: number;
  readonly rivals: boolean;
  readonly url: URL | undefined;
  readonly pid: number | undefined;
  /** A file of documents whose ids are queries. */
  readonly queries: string | undefined;
  readonly out: string;
  /** The report's file; `report.json` in `out` when `undefined`. */
  readonly json: string | undefined;
}

interface Flags {
  size: SizeName;
  rate?: number;
  duration?: number;
  arrivals: ArrivalKind;
  seed: number;
  rivals?: boolean;
  url?: URL;
  pid?: number;
  queries?: string;
  out: string;
  json?: string;
}

export function withSharedOptions(command: Command): Command {
  return command
    .addOption(new Option('--size <size>', 'how much to do').choices(SIZE_NAMES).default('small'))
    .option('--rate <n>', 'requests per second of the open loop, for every scenario', parsePositive)
    .option('--duration <time>', 'length of an open-loop run, such as 10s or 500ms', parseDuration)
    .addOption(
      new Option('--arrivals <kind>', 'gaps of the open loop').choices(ARRIVAL_KINDS).default('poisson'),
    )
    .option('--seed <n>', 'seed of everything random', parseWhole, 1)
    .option('--rivals', 'run rivals side by side')
    .option('--url <url>', 'measure a server that runs already, http://HOST:PORT', parseUrl)
    .option('--pid <n>', 'its process id, for CPU time and memory', parseWhole)
    .option('--queries <file>', 'NDJSON, gzipped or not, whose ids are the queries of cache-hit-ratio')
    .option('--out <dir>', 'folder for the report and histograms', 'bench-out')
    .option('--json <file>', 'where to write the report instead of report.json in that folder')
    .showHelpAfterError('(--help says more)');
}

/** The shared flags of a parsed command. */
export function settingsOf(command: Command): Settings {
  const { size, rate, duration, arrivals, seed, rivals, url, pid, queries, out, json } =
    command.opts<Flags>();
  if (pid !== undefined && url === undefined) throw new UserError('--pid goes with --url');
  return {
    size,
    rate,
    durationMs: duration,
    arrivals,
    seed,
    rivals: rivals ?? false,
    url,
    pid,
    queries,
    out,
    json,
  };
}

export function parseDuration(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m)$/.exec(text);
  const ms = Number(match?.[1]) * (match?.[2] === 'ms' ? 1 : match?.[2] === 's' ? 1000 : 60_000);
  if (!(ms >= 1 && ms <= 3_600_000))
    throw new InvalidArgumentError('A time from 1ms to 60m, such as 10s or 500ms.');
  return ms;
}

function parsePositive(text: string): number {
  const n = Number(text);
  if (!(n > 0 && n <= 1_000_000)) throw new InvalidArgumentError('A number above 0, at most 1000000.');
  return n;
}

function parseWhole(text: string): number {
  const n = Number(text);
  if (text === '' || !Number.isSafeInteger(n) || n < 0)
    throw new InvalidArgumentError('A whole number from 0.');
  return n;
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' || url.pathname !== '/')
    throw new InvalidArgumentError('It should be http://HOST:PORT.');
  return url;
}
