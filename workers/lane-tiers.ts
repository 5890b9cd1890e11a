/**
 * The tiers of one lane, as they are configured: which there are, in what order, each behind its guard; the catalog of
 * views; who tells of changes made elsewhere; and what is to be closed.
 *
 *   embedded            LMDB (record)
 *   Redis               local copies → Redis (record)
 *   MongoDB             MongoDB (record)
 *   Redis and MongoDB   Redis → local copies → MongoDB (record)
 */
import { HeadraceError } from '../src/base/errors.js';
import type { Tier } from '../src/base/tier.js';
import type { ViewCatalogStore } from '../src/base/view-catalog.js';
import { type Level, type TierSet, tierOrder } from '../src/resolve/chain.js';
import { compressedLevels } from '../src/resolve/compressed-tier.js';
import { guardTier } from '../src/resolve/guard.js';
import type { Cleaner } from '../src/resolve/housekeeping.js';
import type { LaneViews } from '../src/resolve/lane-views.js';
import { Catalog } from '../src/tiers/catalog.js';
import { DiskGuard } from '../src/tiers/disk-guard.js';
import { LmdbTier } from '../src/tiers/lmdb.js';
import { LmdbCleaner } from '../src/tiers/lmdb-cleaner.js';
import { COPY_BYTES_MAX_MIN, LmdbCopyTier } from '../src/tiers/lmdb-copy.js';
import { type LmdbEnvironment, openLmdb } from '../src/tiers/lmdb-environment.js';
import { LmdbHotKeys } from '../src/tiers/lmdb-hot-keys.js';
import type { MongoCatalog } from '../src/tiers/mongo-catalog.js';
import { RememberedCatalog } from '../src/tiers/remembered-catalog.js';
import { ToldCatalog } from '../src/tiers/told-catalog.js';
import type { CatalogedView } from '../src/views/schema.js';
import type { Follow } from './lane-redis.js';
import type { LaneTiersOptions, Stored } from './lane-store.js';

export interface LaneTiers {
  readonly levels: readonly Level[];
  /** The store of record as it stores entries: the last level gives them as they were written. */
  readonly stored: Tier;
  readonly catalog: ViewCatalogStore<CatalogedView>;
  /** Takes dropped views and what is expired from the store of record. */
  readonly cleaner: Cleaner;
  readonly copies: LmdbCopyTier | undefined;
  readonly hotKeys: LmdbHotKeys;
  /** Tells of changes in Redis. */
  readonly follow: Follow | undefined;
  readonly mongoCatalog: MongoCatalog | undefined;
  close(): Promise<void>;
}

/** @throws HeadraceError when a store cannot be opened as it is configured. */
export async function openTiers(
  options: LaneTiersOptions,
  views: Pick<LaneViews, 'find'>,
): Promise<LaneTiers> {
  const { data, clock } = options;
  const environment = openLmdb(data.dataDir);
  const disk = new DiskGuard({ directory: data.dataDir, clock, freeBytesMin: data.diskFreeMinBytes });
  const { recordStore, redisUrl, mongodbUrl } = data.shared;
  const redis =
    redisUrl === ''
      ? undefined
      : (await import('./lane-redis.js')).openRedis(options, recordStore === 'redis');
  const mongo = mongodbUrl === '' ? undefined : (await import('./lane-mongo.js')).openMongo(options);
  const lmdb: Stored | undefined =
    recordStore === 'lmdb' ? openEmbedded(options, environment, disk) : undefined;
  const record = { lmdb, redis, mongodb: mongo }[recordStore];
  if (record === undefined)
    throw new HeadraceError(
      'unavailable',
      `the store of record is ${recordStore} (HEADRACE_RECORD_STORE), but HEADRACE_${recordStore.toUpperCase()}_URL is not set`,
    );
  // MongoDB tells nobody of changes; Redis above it does.
  const isTold = recordStore === 'mongodb' && redis !== undefined;
  const shared = isTold ? new ToldCatalog(record.catalog, redis.tellOfViews) : record.catalog;
  const copies = recordStore === 'lmdb' ? undefined : openCopies(options, environment, disk);
  const set: TierSet = {
    ...(redis === undefined || redis === record ? {} : { redis: { tier: redis.tier } }),
    ...(copies === undefined ? {} : { copies: { tier: guardTier(copies, data), era: () => copies.era } }),
    record: { tier: record.tier },
  };
  const closers = [redis, mongo].flatMap(stored => (stored === undefined ? [] : [() => stored.tier.close()]));
  return {
    levels: compressedLevels(tierOrder(set), { ...data, views }),
    stored: record.tier,
    catalog: recordStore === 'lmdb' ? record.catalog : remembered(shared, options, environment, disk),
    cleaner: record.cleaner,
    copies,
    hotKeys: openHotKeys(options, environment, disk),
    follow: redis?.follow,
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

function openEmbedded(
  { data, inspector }: LaneTiersOptions,
  environment: LmdbEnvironment,
  guard: DiskGuard,
): Stored {
  const isDead = (value: Uint8Array, nowMs: number) =>
    inspector.verifyStored(value) && inspector.expiresAt(value) <= nowMs;
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
