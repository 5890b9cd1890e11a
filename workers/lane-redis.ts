/** Redis, as a lane uses it; loaded only where it is configured, since its client takes long to load. */
import { HeadraceError } from '../src/base/errors.js';
import { RedisTier } from '../src/tiers/redis.js';
import { RedisCatalog } from '../src/tiers/redis-catalog.js';
import { RedisCleaner } from '../src/tiers/redis-cleaner.js';
import { rawCommand } from '../src/tiers/redis-command.js';
import { RedisConnection } from '../src/tiers/redis-connection.js';
import { RedisKeys } from '../src/tiers/redis-keys.js';
import { RedisTracking, type RedisTrackingListener } from '../src/tiers/redis-tracking.js';
import { parseRedisUrl } from '../src/tiers/redis-url.js';
import type { CatalogedView } from '../src/views/schema.js';
import { guarded, type LaneTiersOptions, type Stored } from './lane-store.js';

const CONNECT_TIMEOUT_MS = 2_000;
/** A connection that is dead without having been closed is noticed within the two together. */
const HEARTBEAT_MS = 500;
const HEARTBEAT_TIMEOUT_MS = 500;

/** Tells of changes from when it is called until it is closed. */
export type Follow = (listener: RedisTrackingListener) => { close(): void };

export function openRedis(
  options: LaneTiersOptions,
  isRecord: boolean,
): Stored & { readonly follow: Follow; readonly tellOfViews: () => Promise<unknown> } {
  const { data, lane, inspector, notify } = options;
  const { redisUrl, redisTimeoutMs, storeTimeoutMs, catalogLimits } = data.shared;
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
  const { catalog: catalogKey } = new RedisKeys(target.parameters.prefix);
  return {
    tier: guarded(tier, options, redisTimeoutMs, isRecord ? storeTimeoutMs : redisTimeoutMs, isRecord),
    catalog: new RedisCatalog<CatalogedView>({ connection, limits: catalogLimits }),
    cleaner: {
      eraseStep: async viewUid => ((await erase.eraseStep(viewUid)).isDone ? 0 : 1),
      // Redis removes what has expired by itself.
      sweepStep: async () => ({ removed: 0, wrapped: true }),
    },
    // A change of the catalog's key is news to all, whatever it is.
    tellOfViews: () =>
      connection.call(() => connection.send(rawCommand('hset', [catalogKey, 'changed', Date.now()]))),
    follow: listener =>
      new RedisTracking(connection, listener, {
        heartbeatMs: HEARTBEAT_MS,
        heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS,
      }),
  };
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
