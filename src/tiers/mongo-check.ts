/**
 * Checks of MongoDB for `headrace doctor`, each resting on the ones before it:
 *
 *   url → server (does it answer) → version → replication → write concern → indexes → latency
 *
 * Nothing is changed in MongoDB: the write that is tried deletes what is not there.
 */
import type { Db, Document } from 'mongodb';
import { MongoConnection, type MongoTuning } from './mongo-connection.js';
import { judgeIndexes, judgeReplication, judgeVersion } from './mongo-settings-check.js';
import { optionsOfUrl } from './mongo-url.js';
import { Checklist, type Finding, judgeLatency, ok, problem, type Verdict } from './tier-check.js';

export interface MongoCheckOptions {
  readonly url: string;
  /** What a read from MongoDB may take, as configured. */
  readonly timeoutMs: number;
  /** For each check. */
  readonly limitMs: number;
}

/** What a server says of itself. */
interface ServerFacts {
  readonly version: string;
  readonly ferretDb: string | undefined;
  readonly hello: Document;
}

/** Of a check's time, for the driver to find the server. */
const SELECTION_SHARE = 0.8;
const PINGS_SHARE = 0.5;
const LOOK = 'look at the log of MongoDB';

export async function checkMongo(options: MongoCheckOptions): Promise<readonly Finding[]> {
  const { url, limitMs, timeoutMs } = options;
  const list = new Checklist('mongodb', limitMs);
  const connection = await open(list, url, limitMs);
  if (connection === undefined) return list.findings;
  const { database } = connection;
  try {
    let facts: ServerFacts | undefined;
    const check = (name: string, ask: () => Verdict | Promise<Verdict>) =>
      list.check(name, LOOK, async () => {
        try {
          return await ask();
        } catch (error) {
          return explain(error);
        }
      });
    await check('server', async () => {
      facts = await factsOf(database);
      return ok('it answers');
    });
    if (facts === undefined) return list.findings;
    const { version, ferretDb, hello } = facts;
    await check('version', () => judgeVersion(version, ferretDb));
    await check('replication', () => judgeReplication(hello, ferretDb));
    await check('write concern', () => tryWrite(database, url));
    await check('indexes', () => judgeIndexes(database, ferretDb !== undefined));
    const ping = () => database.command({ ping: 1 });
    const latency = { timeoutMs, option: 'HEADRACE_MONGODB_TIMEOUT', limitMs: PINGS_SHARE * limitMs };
    await check('latency', () => judgeLatency([['', ping]], latency));
    return list.findings;
  } finally {
    // Closing waits for what a server that hangs does not answer.
    connection.close().catch(() => undefined);
  }
}

async function open(list: Checklist, url: string, limitMs: number): Promise<MongoConnection | undefined> {
  let connection: MongoConnection | undefined;
  const change =
    'correct it; mongodb://user:password@host1:27017,host2:27017/headrace?replicaSet=rs0 is a full one';
  await list.check('url', change, () => {
    const withinMs = SELECTION_SHARE * limitMs;
    const tuning: MongoTuning = {
      serverSelectionTimeoutMS: withinMs,
      // Before the selection ends, so that it knows why it fails.
      connectTimeoutMS: withinMs / 2,
      socketTimeoutMS: withinMs,
      appName: 'headrace-doctor',
    };
    connection = new MongoConnection({ url, tuning });
    return ok(`${connection.shownUrl}, database ${connection.database.databaseName}`);
  });
  return connection;
}

async function factsOf(database: Db): Promise<ServerFacts> {
  // One first: of two that fail to find a server, one may only be told that the other has given up.
  const hello = await database.command({ hello: 1 });
  const build = await database.command({ buildInfo: 1 });
  const ferretDb: unknown = build['ferretdbVersion'];
  return {
    version: String(build['version']),
    ferretDb: ferretDb === undefined ? undefined : String(ferretDb),
    hello,
  };
}

const WHERE = 'set HEADRACE_MONGODB_URL to where MongoDB is';

/** Looked for in order. */
const CAUSES: readonly (readonly [form: RegExp, reason: string, change: string])[] = [
  [/ECONNREFUSED/, 'nothing listens there', `start MongoDB there, or ${WHERE}`],
  [/ENOTFOUND|EAI_AGAIN|querySrv/, 'there is no host of that name', WHERE],
  [
    /SSL|TLS|certificate|EPROTO|secureConnect/i,
    'TLS fails',
    'see ?tls= and ?tlsCAFile= of HEADRACE_MONGODB_URL',
  ],
  [
    /not authorized/i,
    'the user may not do what is needed',
    "db.grantRolesToUser('<user>', [{ role: 'readWrite', db: '<database>' }])",
  ],
  [
    /authenticat|mechanism/i,
    'it refuses the user or password',
    'give them in HEADRACE_MONGODB_URL: mongodb://user:password@host/headrace?authSource=admin (what is special, percent-encoded)',
  ],
  [/wire version/i, 'it is too old', 'upgrade it to MongoDB 7.0 or newer'],
  [
    /ReplicaSetNoPrimary|not primary/i,
    'there is no primary',
    'see rs.status(); is ?replicaSet= the name of the set, are the addresses of its members known here?',
  ],
  [
    /timed out|timeout/i,
    'it hangs, or cannot be reached: no answer in time',
    `see whether its process is stopped or overloaded, and the way to it; or ${WHERE}`,
  ],
];

/** The driver says what it waited for, and beside it what each server answered. */
function explain(error: unknown): Verdict {
  if (!(error instanceof Error)) return problem(String(error), LOOK);
  const { reason: topology } = error as { reason?: { type?: unknown; servers?: unknown } };
  const servers = topology?.servers instanceof Map ? [...topology.servers.values()] : [];
  const causes = servers.flatMap(server => server?.error?.message ?? []);
  const withType = topology?.type === undefined ? error.message : `${error.message}: ${topology.type}`;
  const message = [...new Set(causes.length > 0 ? causes : [withType])].join('; ');
  const [, reason, change] = CAUSES.find(([form]) => form.test(message)) ?? [];
  return problem(reason === undefined ? message : `${reason} (${message})`, change ?? LOOK);
}

async function tryWrite(database: Db, url: string): Promise<Verdict> {
  const nothing: Document = { _id: 'headrace-doctor' };
  const { acknowledged } = await database.collection('catalog').deleteOne(nothing);
  if (!acknowledged) return problem('a write was not acknowledged', LOOK);
  const named = [...optionsOfUrl(url)].filter(name => ['w', 'journal', 'wtimeoutms'].includes(name));
  const says = 'a write is acknowledged by a majority, journalled';
  return ok(named.length === 0 ? says : `${says}; ${named.join(', ')} of the URL has no effect`);
}
