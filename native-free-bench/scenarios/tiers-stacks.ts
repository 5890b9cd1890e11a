/**
 * The set-ups that the tiers are measured in: each has its records in one tier below L1, so that what L1 lacks comes
 * from that one. What is not named for a set-up is switched off, whatever the environment says.
 */
import { Redis } from 'ioredis';
import { findMongo, type MongoForBench } from '../servers/mongo.js';
import { findRedis, type RedisForBench } from '../servers/redis.js';
import { UserError } from '../user-error.js';

export interface Stack {
  /** Of the tier that answers what L1 does not. */
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  /** Whether what L1 lacks is read from Redis; `undefined`: there is none. */
  readonly readsRedis: boolean | undefined;
  /** Documents in the tier are few, and none is kept in L1: for a stand-in that is slow with many. */
  readonly isStandIn?: boolean;
  /** L1 is measured in this one. */
  readonly withL1?: boolean;
}

/** The servers behind the set-ups. */
export interface TierServers {
  readonly stacks: readonly Stack[];
  /** Keys that Redis was asked for and had, so far. */
  redisHits(): Promise<number>;
  close(): Promise<void>;
}

/** A busy machine must not make a tier fail; what is slow shows as latency. */
const PATIENCE = {
  HEADRACE_DEADLINE: '10s',
  HEADRACE_REDIS_TIMEOUT: '5s',
  HEADRACE_MONGODB_TIMEOUT: '10s',
  HEADRACE_STORE_TIMEOUT: '5m',
  HEADRACE_IDLE_TIMEOUT: '10m',
};
const NO_STORES = { HEADRACE_REDIS_URL: '', HEADRACE_MONGODB_URL: '' };

/** `skip` is told of what there is no server for. */
export async function openTierServers(skip: (name: string, reason: string) => void): Promise<TierServers> {
  const redis = await findRedis();
  const mongo = await findMongo();
  if (typeof redis === 'string') skip('redis', redis);
  if (typeof mongo === 'string') skip('mongodb', mongo);
  const client = typeof redis === 'string' ? undefined : new Redis(redis.url);
  return {
    stacks: stacksOn(redis, mongo).map(stack => ({
      ...stack,
      env: { ...PATIENCE, ...NO_STORES, ...stack.env },
    })),
    redisHits: async () => Number(/keyspace_hits:(\d+)/.exec((await client?.info('stats')) ?? '')?.[1] ?? 0),
    async close() {
      await client?.quit();
      if (typeof redis !== 'string') await redis.stop();
      if (typeof mongo !== 'string') await mongo.close();
    },
  };
}

function stacksOn(redis: RedisForBench | string, mongo: MongoForBench | string): Stack[] {
  const stacks: Stack[] = [
    { name: 'lmdb-record', env: { HEADRACE_RECORD_STORE: 'lmdb' }, readsRedis: undefined, withL1: true },
  ];
  if (typeof redis !== 'string') {
    const at = (name: string) => ({ HEADRACE_REDIS_URL: withPrefix(redis.url, name) });
    const noCopies = { HEADRACE_LOCAL_COPY_BYTES: '0B' };
    stacks.push(
      { name: 'redis-l2', env: { ...at('l2'), HEADRACE_RECORD_STORE: 'lmdb' }, readsRedis: true },
      { name: 'disk-l3', env: { ...at('l3'), HEADRACE_RECORD_STORE: 'redis' }, readsRedis: false },
      {
        name: 'redis-record',
        env: { ...at('record'), ...noCopies, HEADRACE_RECORD_STORE: 'redis' },
        readsRedis: true,
      },
    );
  }
  if (typeof mongo !== 'string') {
    // Nobody tells of changes without Redis; what is in L1 shall stay there all the same, or not come there at all.
    const staleMax = mongo.isFerretDb ? '0ms' : '1h';
    stacks.push({
      name: mongo.isFerretDb ? 'ferretdb-record' : 'mongodb-record',
      env: {
        HEADRACE_MONGODB_URL: mongo.url,
        HEADRACE_RECORD_STORE: 'mongodb',
        HEADRACE_STALE_MAX: staleMax,
      },
      readsRedis: undefined,
      isStandIn: mongo.isFerretDb,
    });
  }
  return stacks;
}

/** Keys of the bench's own; the server removes them with the view. */
function withPrefix(url: string, name: string): string {
  if (url.includes('?')) throw new UserError('HEADRACE_BENCH_REDIS_URL must have no parameters');
  return `${url}?prefix=headrace-bench-${process.pid}-${name}:`;
}
