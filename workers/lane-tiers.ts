/**
 * The tiers of one lane, as they are configured: which there are, in what order, each behind its guard; the catalog of
 * views; who tells of changes made elsewhere; and what is to be closed.
 *
 *   embedded            LMDB (record)
 *   Redis               local copies → Redis (record)
 *   MongoDB             MongoDB (record)
 *   Redis and MongoDB   Redis → local copies → MongoDB (record)
 */
import type { Clock } from '../src/base/clock.js';
import { HeadraceError } from '../src/base/errors.js';
import type { Tier } from '../src/base/tier.js';
import type { ViewCatalogStore } from '../src/base/view-catalog.js';
import { Breaker, type BreakerChange } from '../src/resolve/breaker.js';
import { type Level, type TierSet, tierOrder } from '../src/resolve/chain.js';
import { guardTier, RETRY_DEFAULTS } from '../src/resolve/guard.js';
import type { Cleaner } from '../src/resolve/housekeeping.js';
import type { LaneWorkerData, SharedStores } from '../src/resolve/lane-worker-data.js';
import type { RecordInspector } from '../src/resolve/record-inspector.js';
import { Catalog } from '../src/tiers/catalog.js';
import { DiskGuard } from '../src/tiers/disk-guard.js';
import { LmdbTier } from '../src/tiers/lmdb.js';
import { LmdbCleaner } from '../src/tiers/lmdb-cleaner.js';
import { COPY_BYTES_MAX_MIN, LmdbCopyTier } from '../src/tiers/lmdb-copy.js';
import { type LmdbEnvironment, openLmdb } from '../src/tiers/lmdb-environment.js';
import { LmdbHotKeys } from '../src/tiers/lmdb-hot-keys.js';
import { MongoTier } from '../src/tiers/mongo.js';
import { MongoCatalog } from '../src/tiers/mongo-catalog.js';
import { MongoConnection } from '../src/tiers/mongo-connection.js';
import { RedisTier } from '../src/tiers/redis.js';
import { RedisCatalog } from '../src/tiers/redis-catalog.js';
import { RedisCleaner } from '../src/tiers/redis-cleaner.js';
import { RedisConnection } from '../src/tiers/redis-connection.js';
import { parseRedisUrl } from '../src/tiers/redis-url.js';
import { RememberedCatalog } from '../src/tiers/remembered-catalog.js';
import type { CatalogedView } from '../src/views/schema.js';

/** Places in the breakers' memory. */
const BREAKERS = { redis: 0, mongodb: 1 } as const;

export interface LaneTiersOptions {
  readonly data: LaneWorkerData;
  readonly lane: number;
  readonly lanes: number;
  readonly clock: Clock;
  readonly inspector: RecordInspector;
  /** For the operator's log. */
  readonly notify: (message: string, level?: 'info' | 'warn') => void;
}

export interface LaneTiers {
  readonly levels: readonly Level[];
  readonly catalog: ViewCatalogStore<CatalogedView>;
  /** Takes dropped views and what is expired from the store of record. */
  readonly cleaner: Cleaner;
  readonly copies: LmdbCopyTier | undefined;
  readonly hotKeys: LmdbHotKeys;
  /** Of the lane's writes: what changes it makes are no news to it. */
  readonly redis: RedisConnection | undefined;
  readonly mongoCatalog: MongoCatalog | undefined;
  close(): Promise<void>;
}

/** @throws HeadraceError when a store cannot be opened as it is configured. */
export function openTiers(options: LaneTiersOptions): LaneTiers {
  const { data, clock } = options;
  const environment = openLmdb(data.dataDir);
  const disk = new DiskGuard({ directory: data.dataDir, clock, freeBytesMin: data.diskFreeMinBytes });
  const { recordStore, redisUrl, mongodbUrl } = data.shared;
  const redis = redisUrl === '' ? undefined : openRedis(options, recordStore === 'redis');
  const mongo = mongodbUrl === '' ? undefined : openMongo(options);
  const lmdb: Stored | undefined =
    recordStore === 'lmdb' ? openEmbedded(options, environment, disk) : undefined;
  const record = { lmdb, redis, mongodb: mongo }[recordStore];
  if (record === undefined)
    throw new HeadraceError(
      'unavailable',
      `the store of record is ${recordStore} (HEADRACE_RECORD_STORE), but HEADRACE_${recordStore.toUpperCase()}_URL is not set`,
    );
  const copies = recordStore === 'lmdb' ? undefined : openCopies(options, environment, disk);
  const set: TierSet = {
    ...(redis === undefined || redis === record ? {} : { redis: { tier: redis.tier } }),
    ...(copies === undefined ? {} : { copies: { tier: guardTier(copies, data), era: () => copies.era } }),
    record: { tier: record.tier },
  };
  const closers = [redis, mongo].flatMap(stored => (stored === undefined ? [] : [() => stored.tier.close()]));
  return {
    levels: tierOrder(set),
    catalog: recordStore === 'lmdb' ? record.catalog : remembered(record.catalog, options, environment, disk),
    cleaner: record.cleaner,
    copies,
    hotKeys: openHotKeys(options, environment, disk),
    redis: redis?.connection,
    mongoCatalog: recordStore === 'mongodb' ? mongo?.mongoCatalog : undefined,
    async close() {
      await Promise.allSettled(closers.map(close => close()));
      await environment.close();
    },
  };
}

function remembered(
  store: ViewCatalogStore<CatalogedView>,
  { notify }: LaneTiersOptions,
  environment: LmdbEnvironment,
  guard: DiskGuard,
): ViewCatalogStore<CatalogedView> {
  return new RememberedCatalog(store, {
    environment,
    guard,
    onRemembered: reason =>
      notify(`the views are those remembered: ${reason instanceof Error ? reason.message : String(reason)}`),
  });
}

/** A store that may hold the record, with what comes with it. */
interface Stored {
  readonly tier: Tier;
  readonly catalog: ViewCatalogStore<CatalogedView>;
  readonly cleaner: Cleaner;
}

function openEmbedded(
  { data, inspector }: LaneTiersOptions,
  environment: LmdbEnvironment,
  guard: DiskGuard,
): Stored {
  const isDead = (value: Uint8Array, nowMs: number) =>
    inspector.verify(value) && inspector.expiresAt(value) <= nowMs;
  return {
    tier: guardTier(new LmdbTier(environment, guard), data),
    catalog: new Catalog(environment, guard),
    cleaner: new LmdbCleaner(environment, { isDead, guard }),
  };
}

function openCopies(
  { data, clock }: LaneTiersOptions,
  environment: LmdbEnvironment,
  guard: DiskGuard,
): LmdbCopyTier | undefined {
  const { localCopyBytes, eras, redisUrl } = data.shared;
  // Copies are of use only where somebody tells of changes.
  if (redisUrl === '' || localCopyBytes < COPY_BYTES_MAX_MIN) return undefined;
  return new LmdbCopyTier({ environment, guard, clock, eras, bytesMax: localCopyBytes });
}

/** Of an id of usual length, with room to spare. */
const BYTES_PER_HOT_KEY = 64;

function openHotKeys(
  { data, lane, lanes }: LaneTiersOptions,
  environment: LmdbEnvironment,
  guard: DiskGuard,
): LmdbHotKeys {
  const { hotKeysMax: keysMax } = data;
  return new LmdbHotKeys(environment, guard, { lane, lanes, keysMax, bytesMax: keysMax * BYTES_PER_HOT_KEY });
}

function openRedis(
  options: LaneTiersOptions,
  isRecord: boolean,
): Stored & { readonly connection: RedisConnection } {
  const { data, lane, inspector, notify } = options;
  const { redisUrl, redisTimeoutMs, storeTimeoutMs, catalogViewsMax: viewsMax } = data.shared;
  const target = parseRedisUrl(redisUrl);
  if (typeof target === 'string') throw new HeadraceError('unavailable', `HEADRACE_REDIS_URL ${target}`);
  const connect = (name: string) =>
    new RedisConnection(target, {
      commandTimeoutMs: redisTimeoutMs,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      name: `headrace-${lane}-${name}`,
      onError: once(error => notify(`redis: ${error.message}`)),
    });
  const connection = connect('write');
  const tier = new RedisTier({
    connection,
    reads: connect('read'),
    commandTimeoutMs: redisTimeoutMs,
    expiresAtOf: value => inspector.expiresAt(value),
  });
  const erase = new RedisCleaner(connection);
  return {
    tier: guarded(tier, options, redisTimeoutMs, isRecord ? storeTimeoutMs : redisTimeoutMs, isRecord),
    catalog: new RedisCatalog<CatalogedView>({ connection, viewsMax }),
    cleaner: {
      eraseStep: async viewUid => ((await erase.eraseStep(viewUid)).isDone ? 0 : 1),
      // Redis removes what has expired by itself.
      sweepStep: async () => ({ removed: 0, wrapped: true }),
    },
    connection,
  };
}

function openMongo(options: LaneTiersOptions): Stored & { readonly mongoCatalog: MongoCatalog } {
  const { data, inspector, notify } = options;
  const {
    mongodbUrl,
    mongodbTimeoutMs,
    storeTimeoutMs,
    slowCommandMs,
    catalogViewsMax: viewsMax,
  } = data.shared;
  const connection = new MongoConnection({
    url: mongodbUrl,
    slowMs: slowCommandMs,
    onSlow: command => notify(`mongodb: slow command: ${JSON.stringify(command)}`),
  });
  const tier = new MongoTier(connection, value => inspector.describe(value));
  const catalog = new MongoCatalog(connection, viewsMax);
  return {
    tier: guarded(tier, options, mongodbTimeoutMs, storeTimeoutMs, true),
    catalog,
    mongoCatalog: catalog,
    cleaner: {
      eraseStep: async viewUid => {
        await tier.dropView(viewUid);
        return 0;
      },
      // MongoDB's TTL index removes what has expired.
      sweepStep: async () => ({ removed: 0, wrapped: true }),
    },
  };
}

const CONNECT_TIMEOUT_MS = 2_000;

function guarded(
  tier: RedisTier | MongoTier,
  { data, clock, notify }: LaneTiersOptions,
  readTimeoutMs: number,
  writeTimeoutMs: number,
  isRecord: boolean,
): Tier {
  const { breaker, breakers }: SharedStores = data.shared;
  const onChange = ({ tier: name, from, to }: BreakerChange) =>
    notify(`the circuit breaker of ${name} was ${from} and is ${to}`, to === 'open' ? 'warn' : 'info');
  return guardTier(tier, {
    readTimeoutMs,
    writeTimeoutMs,
    breaker: new Breaker({
      tier: tier.name,
      memory: breakers,
      index: BREAKERS[tier.name],
      clock,
      options: { ...breaker, probeMsMax: 2 * Math.max(readTimeoutMs, writeTimeoutMs) },
      onChange,
    }),
    // What a cache does not answer, the store of record does: only that one is worth a second try.
    ...(isRecord ? { retry: RETRY_DEFAULTS } : {}),
  });
}

/** Of errors that come again and again while a server is away, the first in a minute is told. */
function once(tell: (error: Error) => void): (error: Error) => void {
  let quietUntilMs = 0;
  return error => {
    const nowMs = Date.now();
    if (nowMs < quietUntilMs) return;
    quietUntilMs = nowMs + QUIET_MS;
    tell(error);
  };
}

const QUIET_MS = 60_000;
