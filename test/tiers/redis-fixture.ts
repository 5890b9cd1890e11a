/** A Redis tier over a server of the test's, as a lane has it. */
import { RedisTier, type RedisTierOptions } from '../../src/tiers/redis.js';
import { RedisConnection } from '../../src/tiers/redis-connection.js';
import { parseRedisUrl, type RedisTarget } from '../../src/tiers/redis-url.js';

export interface Timeouts {
  readonly commandTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

export const TIMEOUTS: Timeouts = { commandTimeoutMs: 2_000, connectTimeoutMs: 2_000 };

export function targetOf(url: string): RedisTarget {
  const target = parseRedisUrl(url);
  if (typeof target === 'string') throw new Error(`${url} ${target}`);
  return target;
}

export function connectTo(url: string, timeouts: Timeouts = TIMEOUTS): RedisConnection {
  return new RedisConnection(targetOf(url), timeouts);
}

export interface OpenRedisTier {
  readonly connection: RedisConnection;
  readonly tier: RedisTier;
  close(): Promise<void>;
}

export async function openRedisTier(
  url: string,
  options: Partial<RedisTierOptions> = {},
  timeouts: Timeouts = TIMEOUTS,
): Promise<OpenRedisTier> {
  const connection = new RedisConnection(targetOf(url), timeouts);
  await connection.ready();
  const { commandTimeoutMs } = timeouts;
  const tier = new RedisTier({
    connection,
    commandTimeoutMs,
    expiresAtOf: () => Number.POSITIVE_INFINITY,
    ...options,
  });
  return { connection, tier, close: () => tier.close() };
}
