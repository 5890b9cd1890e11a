/**
 * Every option of the server, once: name, default, limit, meaning. Read from the environment and from flags, checked,
 * frozen; `headrace config` prints this list.
 */
import { availableParallelism } from 'node:os';
import { formatBytes, parseBytes } from './base/bytes.js';
import { formatDuration, parseDuration } from './base/duration.js';

/** How one kind of value is read and printed. `limit` is what the user may give, in words. */
interface Kind<T> {
  readonly limit: string;
  read(text: string): T | undefined;
  print(value: T): string;
}

interface Option<T> extends Kind<T> {
  readonly standard: () => T;
  readonly meaning: string;
}

function option<T>(kind: Kind<T>, standard: T | (() => T), meaning: string): Option<T> {
  return {
    ...kind,
    meaning,
    standard: typeof standard === 'function' ? (standard as () => T) : () => standard,
  };
}

function integer(min: number, max: number): Kind<number> {
  return {
    limit: `${min} to ${max}`,
    read: text =>
      /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max ? Number(text) : undefined,
    print: String,
  };
}

/** A measure with a unit, as `parse` reads it (what is wrong, as a text, otherwise) and `print` prints it. */
function measure(
  parse: (text: string) => number | string,
  print: (value: number) => string,
  min: string,
  max: string,
): Kind<number> {
  const [low, high] = [Number(parse(min)), Number(parse(max))];
  return {
    limit: `${min} to ${max}`,
    read: given => {
      const value = parse(given);
      return typeof value === 'number' && value >= low && value <= high ? value : undefined;
    },
    print,
  };
}

const duration = (min: string, max: string) => measure(parseDuration, formatDuration, min, max);
const bytes = (min: string, max: string) => measure(parseBytes, formatBytes, min, max);

const text: Kind<string> = { limit: 'any text', read: value => value, print: String };
/** Printed without its password. */
const url: Kind<string> = { limit: 'a URL, or empty', read: value => value, print: withoutPassword };
const required: Kind<string> = { limit: 'not empty', read: value => value || undefined, print: String };

function oneOf<const T extends string>(...values: readonly T[]): Kind<T> {
  return { limit: values.join(', '), read: given => values.find(value => value === given), print: String };
}

/** The order is the order of `headrace config`. The environment's name follows from the key: `HEADRACE_DATA_DIR`. */
const OPTIONS = {
  host: option(required, '127.0.0.1', 'address the data port listens on'),
  port: option(integer(0, 65535), 8080, 'data port; 0 takes any free one'),
  adminHost: option(
    required,
    '127.0.0.1',
    'address the admin port listens on; needs HEADRACE_ADMIN_KEY when not loopback',
  ),
  adminPort: option(integer(0, 65535), 9090, 'admin port; 0 takes any free one'),
  adminKey: option(
    text,
    '',
    'bearer token that the admin port asks for, but for /livez and /readyz; empty: none',
  ),
  configFile: option(
    text,
    '',
    'JSON file, read at start, that changes, adds or removes named caches, and says what events invalidate; empty: no file',
  ),
  dataDir: option(required, './data', 'directory of the embedded store'),
  front: option(
    oneOf('auto', 'uws', 'node'),
    'auto',
    'HTTP front: uWebSockets.js, node:http, or the fastest that loads',
  ),
  lanes: option(
    integer(1, 64),
    () => Math.min(64, Math.max(1, availableParallelism() - 1)),
    'worker threads that own the shards of L1 and talk to the tiers',
  ),
  l1Bytes: option(bytes('1MiB', '4095MiB'), 512 * 2 ** 20, 'memory of L1, the shared table; fixed at start'),
  l1RecordBytes: option(
    bytes('16B', '1MiB'),
    192,
    'expected mean size of key and record; sizes the index of L1',
  ),
  deadline: option(
    duration('1ms', '10m'),
    200,
    'a read or a write of a record is answered within this time, else 504',
  ),
  queueMax: option(integer(1, 1_000_000), 10_000, 'operations that may wait in one lane; passed: 503'),
  queueBytesMax: option(bytes('64KiB', '4GiB'), 64 * 2 ** 20, 'bytes that may wait in one lane; passed: 503'),
  bodyBytesMax: option(
    bytes('1KiB', '64MiB'),
    2 ** 20,
    'body of a request; passed: 413; does not apply to streamed loads',
  ),
  lineBytesMax: option(
    bytes('1KiB', '16MiB'),
    2 ** 20,
    'one line of a streamed load; a longer one is counted as failed',
  ),
  headerBytesMax: option(bytes('1KiB', '64KiB'), 16 * 2 ** 10, 'request line and headers; passed: 431'),
  pathBytesMax: option(bytes('64B', '16KiB'), 4096, 'path and query; passed: 414'),
  viewsMax: option(integer(1, 950), 256, 'views; passed: 429'),
  connectionsMax: option(
    integer(1, 1_000_000),
    10_000,
    'open connections on the data port; further ones are closed',
  ),
  idleTimeout: option(
    duration('1s', '10m'),
    10_000,
    'a connection that sends and takes nothing is closed after this time',
  ),
  redisUrl: option(
    url,
    '',
    'Redis 7: redis://, redis+sentinel:// or redis+cluster:// (rediss… with TLS); empty: none',
  ),
  mongodbUrl: option(url, '', 'MongoDB: mongodb:// or mongodb+srv://, with its database; empty: none'),
  recordStore: option(
    oneOf('auto', 'lmdb', 'redis', 'mongodb'),
    'auto',
    'where records are kept for good; auto: mongodb when it is configured, else redis, else lmdb',
  ),
  redisTimeout: option(duration('1ms', '1m'), 100, 'a call to Redis fails after this time'),
  mongodbTimeout: option(duration('1ms', '1m'), 150, 'a read from MongoDB fails after this time'),
  storeTimeout: option(
    duration('100ms', '5m'),
    10_000,
    'a write to a store of record that others share fails after this time',
  ),
  slowCommand: option(duration('1ms', '1m'), 100, 'commands of MongoDB that take longer are logged'),
  breakerFailures: option(integer(1, 1000), 5, 'failures of a tier in a row that open its circuit breaker'),
  breakerHalfOpen: option(
    duration('100ms', '10m'),
    30_000,
    'an open circuit breaker lets one call through after this time',
  ),
  negativeTtl: option(
    duration('0ms', '5m'),
    5_000,
    'an id that no tier has is remembered for this time, when records are shared; 0ms: not at all',
  ),
  staleMax: option(
    duration('0ms', '1h'),
    15_000,
    'what is served from memory and disk is at most so old while nobody tells what other servers change',
  ),
  leaseTime: option(
    duration('0ms', '10m'),
    5_000,
    'who is to make an entry that a cache lacks has this time, and others wait; 0ms: nobody is told to',
  ),
  localCopyBytes: option(
    bytes('0B', '4TiB'),
    2 ** 30,
    'disk for copies of records when another store holds them; 0B: none',
  ),
  hotKeysMax: option(
    integer(0, 10_000_000),
    250_000,
    'keys used most that are saved, every minute and at shutdown, for the next start; 0: none',
  ),
  warmRate: option(
    integer(0, 10_000_000),
    100_000,
    'saved keys a second that are read into memory after a start, while there is room; 0: none',
  ),
  diskFreeMin: option(
    bytes('1MiB', '1TiB'),
    256 * 2 ** 20,
    'free disk space below which writes are refused with 507',
  ),
  tombstoneTtl: option(duration('10m', '30d'), 3_600_000, 'a deleted record keeps its version for this time'),
  shutdownTimeout: option(
    duration('100ms', '10m'),
    10_000,
    'time that requests in flight have to finish on SIGTERM',
  ),
  logLevel: option(
    oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    'info',
    'least level that is logged',
  ),
};

/** Ids, and the buffer of a load. */
const QUEUE_BYTES_SPARE = 2 ** 20;

type Options = typeof OPTIONS;
export type OptionName = keyof Options;
export type Config = { readonly [K in OptionName]: ReturnType<Options[K]['standard']> };

export interface OptionRow {
  readonly name: OptionName;
  readonly environment: string;
  readonly flag: string;
  readonly standard: string;
  readonly limit: string;
  readonly meaning: string;
}

/** What a user gave, by option; from flags or elsewhere. */
export type Given = Partial<Record<OptionName, string>>;

/** A wrong option; `message` has a line for each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

const names = Object.keys(OPTIONS) as OptionName[];
const words = (name: string) => name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase();

export const optionRows: readonly OptionRow[] = names.map(name => ({
  name,
  environment: `HEADRACE_${words(name).replaceAll('-', '_').toUpperCase()}`,
  flag: `--${words(name)}`,
  standard: printed(name, undefined),
  limit: OPTIONS[name].limit,
  meaning: OPTIONS[name].meaning,
}));

function printed<K extends OptionName>(name: K, value: Config[K] | undefined): string {
  const spec = OPTIONS[name] as unknown as Option<Config[K]>;
  return spec.print(value ?? spec.standard());
}

/** The value of each option as a user would write it. */
export function printConfig(config: Config): ReadonlyMap<OptionName, string> {
  return new Map(names.map(name => [name, printed(name, config[name])]));
}

/**
 * Flags win over the environment, which wins over the defaults.
 * @throws ConfigError that names every wrong option, its value and its limit.
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  flags: Given = {},
): Config {
  const problems: string[] = unknownVariables(environment);
  const config: Partial<Record<OptionName, unknown>> = {};
  for (const { name, environment: variable, flag } of optionRows) {
    const fromFlag = flags[name];
    const given = fromFlag ?? environment[variable];
    if (given === undefined) {
      config[name] = OPTIONS[name].standard();
      continue;
    }
    const value = OPTIONS[name].read(given);
    if (value === undefined) {
      problems.push(
        `${fromFlag === undefined ? variable : flag} is '${given}', allowed: ${OPTIONS[name].limit}`,
      );
    }
    config[name] = value;
  }
  const read = config as Config;
  if (problems.length === 0 && !isLoopback(read.adminHost) && read.adminKey === '') {
    problems.push(`HEADRACE_ADMIN_HOST is '${read.adminHost}', not loopback: set HEADRACE_ADMIN_KEY`);
  }
  if (problems.length === 0) problems.push(...relationProblems(read));
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return Object.freeze(read);
}

/** What passes one limit must be able to pass the next. */
function relationProblems({ queueBytesMax, bodyBytesMax, lineBytesMax }: Config): string[] {
  const least = Math.max(bodyBytesMax, lineBytesMax) + QUEUE_BYTES_SPARE;
  if (queueBytesMax >= least) return [];
  const wanted = `at least ${formatBytes(least)}, for one body or line and what comes with it`;
  return [`HEADRACE_QUEUE_BYTES_MAX is ${formatBytes(queueBytesMax)}; ${wanted}`];
}

/** A misspelt option must not be ignored in silence. Variables of the tests and benches are not the server's. */
function unknownVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set(optionRows.map(row => row.environment));
  return Object.keys(environment)
    .filter(name => /^HEADRACE_(?!TEST_|BENCH_)/.test(name) && !known.has(name))
    .map(name => `${name} is no option; 'headrace config' lists them`);
}

/** `redis://user:secret@host` as `redis://user:***@host`. */
function withoutPassword(given: string): string {
  return given.replace(/^([^/]*\/\/[^/@]*:)[^/]*@/, '$1***@');
}

export type RecordStoreName = Exclude<Config['recordStore'], 'auto'>;

/** Where records are kept for good. */
export function recordStoreOf({ recordStore, redisUrl, mongodbUrl }: Config): RecordStoreName {
  if (recordStore !== 'auto') return recordStore;
  if (mongodbUrl !== '') return 'mongodb';
  return redisUrl === '' ? 'lmdb' : 'redis';
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
