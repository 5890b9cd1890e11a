/**
 * A lane's connection to MongoDB: the driver's pool, its limits, its figures, and its errors in headrace's words.
 *
 * What stands in the connection string wins over what is handed in, which wins over the defaults here; but for the write
 * concern: a write is acknowledged by a majority, journalled, whatever the string says. It connects when first used, and
 * again after every failure; the driver's timeouts add up to what a call may take at worst: selecting a server, waiting
 * for a connection, opening one, and the server's silence, twice where a call is retried.
 */
import { type Db, MongoClient, type MongoClientOptions, MongoServerError } from 'mongodb';
import { HeadraceError } from '../base/errors.js';
import { type MongoFigures, MongoMonitor, type SlowCommand } from './mongo-figures.js';
import { boundReplies } from './mongo-reply-bound.js';
import { databaseOfUrl, optionsOfUrl, shownUrl } from './mongo-url.js';

/** The driver's options that a user may set, by the driver's names; the connection string may hold them as well. */
export type MongoTuning = Pick<
  MongoClientOptions,
  | 'maxPoolSize'
  | 'waitQueueTimeoutMS'
  | 'serverSelectionTimeoutMS'
  | 'connectTimeoutMS'
  | 'socketTimeoutMS'
  | 'heartbeatFrequencyMS'
  | 'readPreference'
  | 'maxStalenessSeconds'
  | 'retryReads'
  | 'retryWrites'
  | 'appName'
>;

export interface MongoConnectionOptions {
  /** `mongodb://…` or `mongodb+srv://…`. */
  readonly url: string;
  readonly tuning?: MongoTuning;
  /** Commands that take longer are told of; default 100. */
  readonly slowMs?: number;
  readonly onSlow?: (command: SlowCommand) => void;
}

export const MONGO_SLOW_MS = 100;
const DATABASE = 'headrace';

/** Short enough that a dead server is noticed, and one that came back is found, within seconds. */
export const MONGO_TUNING = {
  maxPoolSize: 16,
  waitQueueTimeoutMS: 1_000,
  serverSelectionTimeoutMS: 2_000,
  connectTimeoutMS: 2_000,
  socketTimeoutMS: 5_000,
  heartbeatFrequencyMS: 2_000,
  readPreference: 'primary',
  retryReads: true,
  retryWrites: true,
  appName: 'headrace',
} as const satisfies MongoTuning;

/** The server gives up on its majority before the driver gives up on the server. */
const WRITE_CONCERN = { w: 'majority', journal: true, wtimeoutMS: 4_000 } as const;

/** What the server is; some of what MongoDB does, FerretDB 1.x does not. */
export interface MongoServerKind {
  readonly version: string;
  readonly isFerretDb: boolean;
  /** A replica set or a sharded cluster: only there does a majority mean more than one machine. */
  readonly isReplicated: boolean;
}

export class MongoConnection {
  /** Its collections are used after `connect`. Writes to it are acknowledged by a majority. */
  readonly database: Db;
  /** The connection string without its secrets. */
  readonly shownUrl: string;
  readonly #client: MongoClient;
  readonly #monitor: MongoMonitor;
  #connected: Promise<unknown> | undefined;
  #kind: Promise<MongoServerKind> | undefined;
  #closed = false;

  /** Connects when first used. @throws HeadraceError `unavailable` when the connection string cannot be understood. */
  constructor({ url, tuning = {}, slowMs = MONGO_SLOW_MS, onSlow }: MongoConnectionOptions) {
    this.shownUrl = shownUrl(url);
    boundReplies();
    try {
      this.#client = new MongoClient(url, {
        ...withoutNamed(optionsOfUrl(url), { ...MONGO_TUNING, ...tuning }),
        writeConcern: WRITE_CONCERN,
        monitorCommands: true,
        promoteBuffers: true,
      });
      this.database = this.#client.db(databaseOfUrl(url) ?? DATABASE, { writeConcern: WRITE_CONCERN });
    } catch (error) {
      throw new HeadraceError(
        'unavailable',
        `HEADRACE_MONGODB_URL cannot be used: ${withoutUrl(error, url, this.shownUrl)}`,
      );
    }
    this.#monitor = new MongoMonitor(this.#client, { slowMs, onSlow });
  }

  /**
   * To be awaited before each use. The driver connects by itself as well, but if that fails the first time, everything
   * after it fails: "Topology is closed". Once connected it finds a server that was away by itself.
   * @throws HeadraceError `unavailable`.
   */
  async connect(): Promise<void> {
    if (this.#closed) throw new HeadraceError('unavailable', 'the connection to MongoDB is closed');
    this.#connected ??= this.#client.connect();
    try {
      await this.#connected;
    } catch (error) {
      this.#connected = undefined;
      throw mongoUnavailable(error, 'take a connection');
    }
  }

  figures(): MongoFigures {
    return this.#monitor.figures();
  }

  /** Asked once, and again after a failure. @throws HeadraceError `unavailable`. */
  kind(): Promise<MongoServerKind> {
    this.#kind ??= this.#askKind().catch(error => {
      this.#kind = undefined;
      throw mongoUnavailable(error, 'say what it is');
    });
    return this.#kind;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#client.close(true);
  }

  async #askKind(): Promise<MongoServerKind> {
    await this.connect();
    const [build, hello] = await Promise.all([
      this.database.command({ buildInfo: 1 }),
      this.database.command({ hello: 1 }),
    ]);
    const ferretDbVersion: unknown = build['ferretdbVersion'];
    return {
      version: String(ferretDbVersion ?? build['version']),
      isFerretDb: ferretDbVersion !== undefined,
      isReplicated: hello['setName'] !== undefined || hello['msg'] === 'isdbgrid',
    };
  }
}

/** What the driver threw, as an error of ours; ours are passed on. `doing` completes "MongoDB did not …". */
export function mongoUnavailable(error: unknown, doing: string): HeadraceError {
  if (error instanceof HeadraceError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new HeadraceError('unavailable', `MongoDB did not ${doing}: ${reason}`);
}

export const MongoErrorCode = {
  namespaceNotFound: 26,
  notImplemented: 238,
  duplicateKey: 11_000,
} as const;

export function hasMongoCode(error: unknown, code: keyof typeof MongoErrorCode): boolean {
  return error instanceof MongoServerError && error.code === MongoErrorCode[code];
}

function withoutNamed(named: ReadonlySet<string>, tuning: MongoTuning): MongoTuning {
  const entries = Object.entries(tuning).filter(([name]) => !named.has(name.toLowerCase()));
  return Object.fromEntries(entries);
}

function withoutUrl(error: unknown, url: string, shown: string): string {
  const reason = error instanceof Error ? error.message : String(error);
  // The driver quotes parts of a string that it cannot read, the password among them: of those nothing is repeated.
  const secret = url.slice(0, url.lastIndexOf('@') + 1);
  const quotes = secret
    .split(/[:/@]/)
    .slice(1)
    .some(part => part !== '' && reason.includes(part));
  return `${quotes ? 'it is not a valid connection string' : reason} (${shown})`;
}
