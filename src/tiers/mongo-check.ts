/**
 * Checks of MongoDB for `headrace doctor`, each resting on the ones before it:
 *
 *   url → server (does it answer) → version → replication → write concern → indexes → latency
 *
 * Nothing is changed in MongoDB: the write that is tried deletes what is not there.
 */
import type { Db, Document } from 'mongodb';
import { MongoConnection, type MongoTuning } from './mongo-connection.js';
import { optionsOfUrl } from './mongo-url.js';
import { Checklist, type Finding, latencyOf, ok, problem, type Verdict, warning } from './tier-check.js';

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
/** The oldest that its makers maintain. */
const MAINTAINED_SINCE = 7;
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
    await check('latency', () => latencyOf(list, ping, timeoutMs, 'HEADRACE_MONGODB_TIMEOUT'));
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
  const [build, hello] = await Promise.all([
    database.command({ buildInfo: 1 }),
    database.command({ hello: 1 }),
  ]);
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
  [/SSL|TLS|certificate|EPROTO/i, 'TLS fails', 'see ?tls= and ?tlsCAFile= of HEADRACE_MONGODB_URL'],
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
    /timed out|timeout/i,
    'it hangs, or cannot be reached: no answer in time',
    `see whether its process is stopped or overloaded, and the way to it; or ${WHERE}`,
  ],
  [
    /primary|ReplicaSetNoPrimary|setName/i,
    'there is no primary',
    'see rs.status(); is ?replicaSet= the name of the set, are the addresses of its members known here?',
  ],
];

/** The driver says what it waited for, and beside it what each server answered. */
function explain(error: unknown): Verdict {
  if (!(error instanceof Error)) return problem(String(error), LOOK);
  const servers: unknown = (error as { reason?: { servers?: unknown } }).reason?.servers;
  const causes =
    servers instanceof Map ? [...servers.values()].flatMap(server => server?.error?.message ?? []) : [];
  const message = [...new Set(causes.length > 0 ? causes : [error.message])].join('; ');
  const [, reason, change] = CAUSES.find(([form]) => form.test(message)) ?? [];
  return problem(reason === undefined ? message : `${reason} (${message})`, change ?? LOOK);
}

function judgeVersion(version: string, ferretDb: string | undefined): Verdict {
  if (ferretDb !== undefined) {
    return warning(
      `FerretDB ${ferretDb}: no TTL index, no replica set, no retryable writes, replaces a record in two steps, reads the whole collection for many ids`,
      'use it for tests and single servers; else MongoDB 7.0 or newer',
    );
  }
  if (Number.parseInt(version, 10) >= MAINTAINED_SINCE) return ok(`MongoDB ${version}`);
  return warning(
    `MongoDB ${version}: its makers no longer maintain it`,
    `upgrade it to MongoDB ${MAINTAINED_SINCE}.0 or newer`,
  );
}

function judgeReplication(hello: Document, ferretDb: string | undefined): Verdict {
  const one = 'a majority is this one machine: when its disk is lost, so are the records';
  const initiate =
    'start mongod with --replSet rs0 on three machines, rs.initiate(…) them, add ?replicaSet=rs0 to the URL';
  if (hello['msg'] === 'isdbgrid') return ok('sharded, through mongos');
  if (ferretDb !== undefined)
    return warning(`a single server; ${one}`, 'back up its disk; else a replica set of MongoDB');
  const { setName } = hello;
  if (setName === undefined) return warning(`standalone; ${one}`, initiate);
  const data = ((hello['hosts'] ?? []) as unknown[]).length + ((hello['passives'] ?? []) as unknown[]).length;
  const arbiters = ((hello['arbiters'] ?? []) as unknown[]).length;
  const says = `replica set ${setName}: ${data} members with data${arbiters > 0 ? `, ${arbiters} arbiters` : ''}`;
  if (data === 1) return warning(`${says}; ${one}`, 'add two members: rs.add(…)');
  const majority = Math.floor((data + arbiters) / 2) + 1;
  if (majority < data) return ok(says);
  const change =
    arbiters > 0 ? 'put a member with data in the place of the arbiter' : 'add a third member: rs.add(…)';
  return warning(`${says}; when one of these fails, no write is acknowledged any more`, change);
}

async function tryWrite(database: Db, url: string): Promise<Verdict> {
  const nothing: Document = { _id: 'headrace-doctor' };
  const { acknowledged } = await database.collection('catalog').deleteOne(nothing);
  if (!acknowledged) return problem('a write was not acknowledged', LOOK);
  const named = [...optionsOfUrl(url)].filter(name => ['w', 'journal', 'wtimeoutms'].includes(name));
  const says = 'a write is acknowledged by a majority, journalled';
  return ok(named.length === 0 ? says : `${says}; ${named.join(', ')} of the URL has no effect`);
}

/** What `mongo-view.ts` makes when a view is first written to. */
async function judgeIndexes(database: Db, isFerretDb: boolean): Promise<Verdict> {
  const collections = await database.listCollections({}, { nameOnly: true }).toArray();
  const views = collections.map(({ name }) => name).filter(name => /^records_\d+$/.test(name));
  const missing = await Promise.all(views.map(name => missingIndexes(database, name, isFerretDb)));
  const changes = missing.flat();
  if (views.length === 0) return ok('no view has records yet; they are made with the first');
  if (changes.length > 0) {
    const says = `${changes.length} missing: without expireAt_1 expired records stay on disk, without tags_1 tags are searched for slowly`;
    return warning(says, changes.join('\n'));
  }
  const lacking = isFerretDb
    ? ', but no TTL: FerretDB has none, expired records stay until they are deleted'
    : '';
  return ok(`${views.length} collections of views have theirs${lacking}`);
}

async function missingIndexes(database: Db, name: string, isFerretDb: boolean): Promise<string[]> {
  const indexes = await database.collection(name).indexes();
  const isOn = (field: string) => indexes.filter(({ key }) => Object.keys(key).join() === field);
  const changes: string[] = [];
  if (isOn('tags').length === 0) changes.push(`db.${name}.createIndex({ tags: 1 }, { sparse: true })`);
  const ttl = isOn('expireAt').some(({ expireAfterSeconds }) => expireAfterSeconds === 0);
  if (!ttl && !isFerretDb) {
    changes.push(`db.${name}.createIndex({ expireAt: 1 }, { expireAfterSeconds: 0 })`);
  }
  return changes;
}
