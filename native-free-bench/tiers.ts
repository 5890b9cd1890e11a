/**
 * The tiers in Redis and MongoDB beside their clients called directly: `node dist/native-free-bench/tiers.js [--tiny]`.
 *
 * One process, no HTTP, alternating rounds, CPU time of the whole process (the server's is not in it). Both sides hand
 * out the same bytes, and the direct side has its keys, commands and documents ready made where it can. Where the store
 * is asked for more than the bytes (a write must be newer than what is held), "same work" is the client asked for that
 * too: beside it is seen what the tier costs itself. Redis is that of `servers/redis.ts`; MongoDB the one that `HEADRACE_BENCH_MONGODB_URL` names, else it is left out.
 */
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { Binary, Long, MongoClient } from 'mongodb';
import { assert } from '../src/base/assert.js';
import type { Version } from '../src/base/clock.js';
import { storageKey } from '../src/base/keys.js';
import type { Tier, TierWrite } from '../src/base/tier.js';
import { RecordInspector } from '../src/resolve/record-inspector.js';
import { MongoTier } from '../src/tiers/mongo.js';
import { MongoConnection } from '../src/tiers/mongo-connection.js';
import { RedisTier } from '../src/tiers/redis.js';
import { RedisConnection } from '../src/tiers/redis-connection.js';
import { parseRedisUrl } from '../src/tiers/redis-url.js';
import { RecordEncoder } from '../src/views/record-codec.js';
import { RecordDraft } from '../src/views/record-draft.js';
import { viewOf } from '../src/views/schema.js';
import { runCommand } from './command.js';
import { documentId } from './data/records.js';
import { type Spread, spreadOf } from './report/figures.js';
import { findMongo } from './servers/mongo.js';
import { findRedis } from './servers/redis.js';
import { UserError } from './user-error.js';

const FEATURES = 50;
const VIEW_UID = 1;
const DAY_MS = 86_400_000;
const TIMEOUT_MS = 30_000;

interface Sizes {
  readonly rounds: number;
  readonly documents: number;
  /** Of one side: long enough that the garbage collector comes several times, and not to one side alone. */
  readonly msPerRound: number;
}
const FULL: Sizes = { rounds: 15, documents: 2_000, msPerRound: 200 };
const TINY: Sizes = { rounds: 3, documents: 500, msPerRound: 5 };
/** Fewer for MongoDB: what stands in for it on a developer's machine may read a whole collection for each query. */
const MONGO_DOCUMENTS = 500;
/** And slower, for the same reason. */
const MONGO_SLOWER = 5;

/** One call of one side, of the documents from `from`. Returns how many were found or written. */
type Call = (from: number) => Promise<number>;

interface Contest {
  readonly name: string;
  readonly keys: number;
  /** Calls under way at a time. */
  readonly width: number;
  readonly tier: Call;
  readonly direct: Call;
  /** The client, asked for all that the tier asks for. */
  readonly sameWork?: Call;
}

/** Records of 50 float32 features, as the server packs them. */
class Records {
  readonly keys: readonly Buffer[];
  readonly ids: readonly string[];
  readonly values: readonly Buffer[];
  readonly expiresAt: number;
  #version = 1;

  constructor(documents: number) {
    const features = Array.from({ length: FEATURES }, (_, i) => [`f${i}`, 'float32'] as const);
    const options = { entity: 'doc', ttlMs: DAY_MS, l1Bytes: undefined, eviction: 's3-fifo' } as const;
    const view = viewOf({ name: 'bench', uid: VIEW_UID, slot: 0, schema: 1, features, ...options });
    const [draft, encoder] = [new RecordDraft(view), new RecordEncoder(view)];
    const now = Date.now();
    this.expiresAt = now + DAY_MS;
    this.ids = Array.from({ length: documents }, (_, document) => documentId(document));
    this.keys = this.ids.map(id => storageKey(VIEW_UID, id));
    this.values = this.ids.map((id, document) => {
      draft.reset();
      draft.id = id;
      for (let feature = 0; feature < FEATURES; feature++) {
        draft.setPresent(feature);
        draft.float32s[feature] = document + feature / FEATURES;
      }
      const times = { writtenAt: now, freshUntil: now + DAY_MS, expiresAt: this.expiresAt };
      return Buffer.from(encoder.encode(draft, { version: 1 as Version, ...times }));
    });
  }

  /** Newer than all before. The bytes stay the same: what a tier compares stands beside them. */
  writes(from: number, count: number): TierWrite[] {
    const version = ++this.#version as Version;
    return this.values
      .slice(from, from + count)
      .map((value, index) => ({ key: this.keys[from + index] ?? value, version, value }));
  }
}

function redisContests(redis: Redis, tier: Tier, prefix: string, records: Records): Contest[] {
  const names = records.ids.map(id => `${prefix}${VIEW_UID}:${id}`);
  const read = (keys: number, width: number): Contest => ({
    name: 'Redis: read',
    keys,
    width,
    tier: async from => present(await tier.getMany(records.keys.slice(from, from + keys))),
    direct: async from => present(await redis.mgetBuffer(names.slice(from, from + keys))),
  });
  const write = (keys: number): Contest => ({
    name: 'Redis: write',
    keys,
    width: 1,
    tier: async from => applied(await tier.putMany(records.writes(from, keys))),
    direct: async from => {
      const pipeline = redis.pipeline();
      const { expiresAt } = records;
      records.writes(from, keys).forEach(({ value }, index) => {
        pipeline.set(`direct:${names[from + index]}`, value as Buffer, 'PXAT', expiresAt);
      });
      return ((await pipeline.exec()) ?? []).filter(([error]) => error === null).length;
    },
  });
  return [read(1, 1), read(1, 16), read(16, 4), read(500, 1), read(500, 4), write(1), write(100)];
}

/** Indexed as the tier's is. */
const SAME_WORK = 'same_work';

interface DirectDocument {
  readonly _id: string;
  readonly version: Long;
  readonly expireAt: Date;
  readonly record: Binary;
}

function mongoContests(client: MongoClient, tier: Tier, records: Records, isFerretDb: boolean): Contest[] {
  const concern = { writeConcern: { w: 'majority', journal: true } } as const;
  const options = { ...concern, promoteBuffers: true };
  const collection = client.db().collection<DirectDocument>(`records_${VIEW_UID}`, options);
  const copies = client.db().collection<DirectDocument>('direct', options);
  const versions = client.db().collection<DirectDocument>(SAME_WORK, options);
  const replacements = (from: number, keys: number) => {
    const expireAt = new Date(records.expiresAt);
    return records.writes(from, keys).map(({ version, value }, index) => ({
      _id: records.ids[from + index] ?? '',
      fields: { version: Long.fromNumber(version), expireAt, record: new Binary(value) },
    }));
  };
  const read = (keys: number, width: number): Contest => ({
    name: 'MongoDB: read',
    keys,
    width,
    tier: async from => present(await tier.getMany(records.keys.slice(from, from + keys))),
    direct: async from => {
      const ids = records.ids.slice(from, from + keys);
      const found = await collection
        .find(
          { _id: keys === 1 ? (ids[0] ?? '') : { $in: ids } },
          { projection: { record: 1 }, batchSize: keys + 1 },
        )
        .toArray();
      return found.length;
    },
  });
  const write = (keys: number): Contest => ({
    name: 'MongoDB: write',
    keys,
    width: 1,
    tier: async from => applied(await tier.putMany(records.writes(from, keys))),
    direct: async from => {
      const operations = replacements(from, keys).map(({ _id, fields }) => ({
        replaceOne: { filter: { _id }, replacement: fields, upsert: true },
      }));
      const { matchedCount, upsertedCount } = await copies.bulkWrite(operations, { ordered: false });
      return matchedCount + upsertedCount;
    },
    sameWork: async from => {
      const documents = replacements(from, keys);
      const ids = documents.map(({ _id }) => _id);
      if (isFerretDb && keys > 1) {
        const options = { projection: { version: 1 }, batchSize: keys + 1 };
        await versions.find({ _id: { $in: ids } }, options).toArray();
      }
      const operations = documents.map(({ _id, fields }) => ({
        replaceOne: {
          filter: { _id, version: { $lt: fields.version } },
          replacement: fields,
          upsert: true,
        },
      }));
      const { matchedCount, upsertedCount } = await versions.bulkWrite(operations, { ordered: false });
      return matchedCount + upsertedCount;
    },
  });
  return [read(1, 1), read(1, 16), read(100, 1), read(500, 1), write(1), write(20)];
}

const present = (values: readonly unknown[]) =>
  values.filter(value => value !== undefined && value !== null).length;
const applied = (held: readonly unknown[]) => held.filter(version => version === null).length;

/** Microseconds of CPU a call, of one side in one round. */
async function cpuUsPerCall(contest: Contest, side: Call, sizes: Sizes): Promise<number> {
  const { keys, width } = contest;
  const places = Math.floor(sizes.documents / keys);
  let calls = 0;
  const end = performance.now() + sizes.msPerRound;
  const caller = async () => {
    do {
      const done = await side((calls++ % places) * keys);
      assert(done === keys, `every record of a call is there, but ${done} of ${keys} were`);
    } while (performance.now() < end);
  };
  const start = process.cpuUsage();
  await Promise.all(Array.from({ length: width }, caller));
  const { user, system } = process.cpuUsage(start);
  return (user + system) / calls;
}

/** Who goes first changes from round to round; the first rounds do not count. */
async function hold(contest: Contest, sizes: Sizes): Promise<void> {
  const sides = (['tier', 'direct', 'sameWork'] as const).flatMap(name => {
    const call = contest[name];
    return call === undefined ? [] : [{ name, call }];
  });
  const us = { tier: [] as number[], direct: [] as number[], sameWork: [] as number[] };
  for (let round = -2; round < sizes.rounds; round++) {
    for (const { name, call } of sides) {
      const cost = await cpuUsPerCall(contest, call, sizes);
      if (round >= 0) us[name].push(cost);
    }
    sides.push(...sides.splice(0, 1));
  }
  const what = `${contest.name} ${contest.keys}${contest.width > 1 ? `, ${contest.width} at a time` : ''}`;
  const columns = [`${what.padEnd(32)}${micros(us.tier)}`];
  for (const other of [us.direct, us.sameWork]) if (other.length > 0) columns.push(besides(us.tier, other));
  process.stdout.write(`${columns.join('')}\n`);
}

function besides(tier: readonly number[], other: readonly number[]): string {
  // A tiny round can take less than the clock shows.
  const { median, min, max } = spread(tier.map((us, round) => us / Math.max(1, other[round] ?? 0)));
  const ratio = `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
  return `${micros(other)}   ${ratio.padEnd(23)}`;
}

function micros(us: readonly number[]): string {
  return `${spread(us).median.toFixed(0)} µs`.padStart(10);
}

function spread(values: readonly number[]): Spread {
  const found = spreadOf(values);
  assert(found !== undefined, 'there is a round');
  return found;
}

async function againstRedis(sizes: Sizes): Promise<string | undefined> {
  const records = new Records(sizes.documents);
  const server = await findRedis();
  if (typeof server === 'string') return server;
  const prefix = `headrace-bench-${randomBytes(6).toString('hex')}:`;
  const target = parseRedisUrl(`${server.url}?prefix=${prefix}`);
  if (typeof target === 'string') throw new UserError(`the URL of Redis ${target}`);
  const inspector = new RecordInspector();
  const timeouts = { commandTimeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS };
  const connection = new RedisConnection(target, timeouts);
  const tier = new RedisTier({ connection, ...timeouts, expiresAtOf: value => inspector.expiresAt(value) });
  const redis = new Redis(server.url);
  try {
    await tier.putMany(records.writes(0, records.keys.length));
    for (const contest of redisContests(redis, tier, prefix, records)) await hold(contest, sizes);
  } finally {
    const names = records.ids.map(id => `${prefix}${VIEW_UID}:${id}`);
    await redis.unlink(...names, ...names.map(name => `direct:${name}`));
    await redis.quit();
    await tier.close();
    await server.stop();
  }
  return undefined;
}

async function againstMongo({ rounds, msPerRound }: Sizes): Promise<string | undefined> {
  const sizes = { rounds, msPerRound: MONGO_SLOWER * msPerRound, documents: MONGO_DOCUMENTS };
  const records = new Records(sizes.documents);
  const server = await findMongo();
  if (typeof server === 'string') return server;
  const inspector = new RecordInspector();
  const tuning = { socketTimeoutMS: TIMEOUT_MS };
  const connection = new MongoConnection({ url: server.url, tuning, slowMs: TIMEOUT_MS });
  const tier = new MongoTier(connection, value => inspector.describe(value));
  const client = new MongoClient(server.url);
  try {
    await tier.putMany(records.writes(0, records.keys.length));
    await client.db().collection(SAME_WORK).createIndex({ tags: 1 }, { sparse: true });
    for (const contest of mongoContests(client, tier, records, server.isFerretDb)) await hold(contest, sizes);
  } finally {
    await client.close();
    await tier.close();
    await server.close();
  }
  return undefined;
}

async function main(): Promise<number> {
  const sizes = process.argv.includes('--tiny') ? TINY : FULL;
  const bytes = new Records(1).values[0]?.length ?? 0;
  process.stdout.write(`CPU of this process a call; records of ${bytes} bytes, ${sizes.rounds} rounds\n`);
  process.stdout.write(
    `${''.padEnd(32)}${'tier'.padStart(10)}${'direct'.padStart(10)}   ${'ratio (least to most)'.padEnd(23)}${'same work'.padStart(10)}   ratio\n`,
  );
  for (const [name, contest] of [
    ['Redis', againstRedis],
    ['MongoDB', againstMongo],
  ] as const) {
    const reason = await contest(sizes);
    if (reason !== undefined) process.stdout.write(`${name} is left out: ${reason}\n`);
  }
  return 0;
}

runCommand(main);
