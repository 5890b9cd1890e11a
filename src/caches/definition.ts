/**
 * Named caches: what each is told, the limits of that, and the caches that come configured.
 *
 * A cache is a view with a built-in schema, whose name no client can declare; what is said here is what a cache has
 * beyond a view. Times count from an entry's write: it is fresh for the ttl, then may be served while it is made anew
 * for `staleWhileRevalidateMs`, and while its origin fails for `staleIfErrorMs`; each begins where the ttl ends.
 */
import type { EvictionPolicy } from '../views/schema.js';
import type { EmbeddingFormat } from './embeddings/embedding.js';
import type { OriginDefinition } from './origin-definition.js';
import type { PrefetchDefinition } from './prefetch-definition.js';
import type { WarmDefinition } from './warm-definition.js';

export interface CacheDefinition {
  readonly name: string;
  readonly enabled: boolean;
  readonly ttlMs: number;
  /** Up to this, what an origin has is fresh the longer the longer it stays the same; undefined: always for the ttl. */
  readonly ttlMaxMs: number | undefined;
  /** Whoever reads an entry within this time of the end of its ttl has it made anew; 0: nobody. */
  readonly refreshAheadMs: number;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  readonly negativeTtlMs: number;
  /** How long whoever is to make an entry has for it; 0: nobody is told to. Undefined: as the server has it. */
  readonly leaseMs: number | undefined;
  /** Of L1; undefined: an equal share. */
  readonly l1Bytes: number | undefined;
  readonly eviction: EvictionPolicy;
  /** Payloads above this are compressed below L1. */
  readonly compressAbove: number;
  readonly tagsMax: number;
  /** Put before each key in every tier. */
  readonly prefix: string;
  /** What its entries are, when they are vectors; undefined: bytes of any kind. */
  readonly embedding: EmbeddingFormat | undefined;
  /** Asked for what no tier has; undefined: only clients put entries. */
  readonly origin: OriginDefinition | undefined;
  /** What is to be in memory before it is asked for; undefined: nothing. */
  readonly warm: WarmDefinition | undefined;
  /** How it learns what is asked for next; undefined: it does not. */
  readonly prefetch: PrefetchDefinition | undefined;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const CACHE_LIMITS = {
  /** With the @ before it, the name of a view. */
  nameLength: 63,
  caches: 64,
  /** Of all servers that share a store, those that none has any more among them. */
  cachesOfAll: 1_000,
  negativeTtlMs: HOUR,
  tags: 64,
  /** A key and its prefix are an id together. */
  prefixBytes: 64,
  compressAboveMin: 64,
  /** The largest body there is: such a cache compresses nothing. */
  compressAboveMax: 64 * 2 ** 20,
} as const;

/** What a cache is that only has a name. */
export const CACHE_STANDARD: Omit<CacheDefinition, 'name'> = {
  enabled: true,
  ttlMs: 5 * MINUTE,
  ttlMaxMs: undefined,
  refreshAheadMs: 0,
  staleWhileRevalidateMs: MINUTE,
  staleIfErrorMs: HOUR,
  negativeTtlMs: 5 * SECOND,
  leaseMs: undefined,
  l1Bytes: undefined,
  eviction: 's3-fifo',
  compressAbove: 1024,
  tagsMax: CACHE_LIMITS.tags,
  prefix: '',
  embedding: undefined,
  origin: undefined,
  warm: undefined,
  prefetch: undefined,
};

/** The caches that come configured, by name. */
export const CACHES_STANDARD: readonly CacheDefinition[] = [
  cache('results', {}),
  cache('recommendations', {}),
  // A prediction that is out of date is wrong, not just old: none is served beyond its ttl for long.
  cache('predictions', { staleWhileRevalidateMs: 30 * SECOND, staleIfErrorMs: 5 * MINUTE }),
  cache('anomalies', { staleWhileRevalidateMs: 30 * SECOND, staleIfErrorMs: 5 * MINUTE }),
  // Few entries, asked by everyone: any list is better than none.
  cache('popular', { staleWhileRevalidateMs: 5 * MINUTE, staleIfErrorMs: DAY }),
  cache('fingerprints', { ttlMs: 10 * MINUTE }),
  cache('plans', { ttlMs: 30 * MINUTE, staleWhileRevalidateMs: 5 * MINUTE }),
  cache('rankingConfig', { ttlMs: DAY, staleWhileRevalidateMs: HOUR, staleIfErrorMs: 7 * DAY }),
  // The same text has the same vector, and vectors do not compress. How many numbers they have is the model's to say.
  cache('embeddings', {
    ttlMs: 7 * DAY,
    staleWhileRevalidateMs: DAY,
    staleIfErrorMs: 7 * DAY,
    compressAbove: CACHE_LIMITS.compressAboveMax,
  }),
];

function cache(name: string, options: Partial<CacheDefinition>): CacheDefinition {
  return { ...CACHE_STANDARD, ...options, name };
}
