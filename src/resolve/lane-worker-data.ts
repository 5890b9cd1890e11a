/** What the front gives the thread of every lane when it starts it; see `workers/lane.ts`. */
import type { CatalogLimits } from '../base/view-catalog.js';
import type { CacheDefinition } from '../caches/definition.js';
import type { RecordStoreName } from '../config.js';
import type { TableHandle } from '../l1/layout.js';

export interface LaneWorkerData {
  readonly table: TableHandle;
  readonly dataDir: string;
  /** Bytes that stay free on the disk of `dataDir`; below, writes fail with `disk-full`. */
  readonly diskFreeMinBytes: number;
  /** How long a deletion outlives its record. */
  readonly tombstoneTtlMs: number;
  /** Of one call into the embedded store. */
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  /** Keys being fetched from tiers that do not answer at once. */
  readonly flightsMax: number;
  /** Hot keys that all lanes together save for the next start; 0: none. */
  readonly hotKeysMax: number;
  /** Of them, so many a second are read at a start; 0: none. */
  readonly warmRate: number;
  /** Of `compressAboveOf`. */
  readonly compressAbove: ReadonlyMap<string, number>;
  readonly shared: SharedStores;
  readonly origins: SharedOrigins;
  readonly lists: SharedLists;
}

/** The caches that are warmed by a list, and the memory that lanes and front share about them, each in its place. */
export interface SharedLists {
  readonly caches: readonly CacheDefinition[];
  /** Of `listCounterMemory`. */
  readonly counters: SharedArrayBuffer;
  /** A word each: 1 while the cache is switched off. */
  readonly off: SharedArrayBuffer;
}

/** The caches that have an origin, and the memory that lanes and front share about them, each in its place. */
export interface SharedOrigins {
  readonly caches: readonly CacheDefinition[];
  /** Of `breakerMemory`. */
  readonly breakers: SharedArrayBuffer;
  /** Of `originCounterMemory`. */
  readonly counters: SharedArrayBuffer;
}

/** The stores beside the embedded one, and what goes with them. */
export interface SharedStores {
  readonly recordStore: RecordStoreName;
  /** Empty: none. */
  readonly redisUrl: string;
  readonly redisTimeoutMs: number;
  /** Empty: none. */
  readonly mongodbUrl: string;
  readonly mongodbTimeoutMs: number;
  /** Of a write to a store of record that others share. */
  readonly storeTimeoutMs: number;
  readonly slowCommandMs: number;
  readonly catalogLimits: CatalogLimits;
  readonly breaker: { readonly failuresMax: number; readonly halfOpenAfterMs: number };
  /** Of `breakerMemory`, for all lanes. */
  readonly breakers: SharedArrayBuffer;
  /** Of `untoldMemory`, for all lanes. */
  readonly untold: SharedArrayBuffer;
  /** Of `copyEras`, for all lanes. */
  readonly eras: SharedArrayBuffer;
  /** 0: there are no local copies. */
  readonly localCopyBytes: number;
  readonly negativeTtlMs: number;
  readonly staleMaxMs: number;
}

/** Only the embedded store: no other server writes its records. */
export function isShared({ redisUrl, mongodbUrl }: SharedStores): boolean {
  return redisUrl !== '' || mongodbUrl !== '';
}
