/** MongoDB as the store of record fails in the ways it can, under load: alone, and behind a Redis that is well. */
import { afterEach, beforeEach, describe, test } from 'vitest';
import { SEED } from '../base/seeded.js';
import { FerretDbServer, noOwnServer } from '../support/mongo-server.js';
import { type ProxyMode, RedisProxy } from '../support/redis-proxy.js';
import { describeWithRedis, RedisServer } from '../support/redis-server.js';
import { FAULT_MS, networkFault, play, type Scene } from './scene.js';

/** The test's server reads a whole collection for most questions, and makes indexes slowly. */
const IDS = { hot: 20, other: 40, write: 20 };
const SLOW_STORE = { HEADRACE_STORE_TIMEOUT: '3s' };
const TIMEOUT = { timeout: 60_000 + FAULT_MS };

describe.skipIf(noOwnServer !== undefined)('MongoDB as the store of record', () => {
  let mongo: FerretDbServer;
  beforeEach(async () => {
    mongo = await FerretDbServer.start();
  });
  afterEach(() => mongo.close());

  const stopped = () => ({ begin: () => mongo.stop(), end: () => mongo.resume() });
  const killed = () => ({ begin: () => mongo.kill(), end: () => mongo.start() });

  describe('alone', () => {
    const env = () => ({ HEADRACE_MONGODB_URL: mongo.url() });

    test('stopped', TIMEOUT, () =>
      playSlowly({
        name: 'MongoDB stopped',
        env: env(),
        fault: stopped(),
        hurt: ['other', 'write'],
        breaker: 'mongodb',
      }),
    );

    test('killed: it refuses connections, then starts again', TIMEOUT, () =>
      playSlowly({
        name: 'MongoDB killed',
        // Nobody else writes: what is in memory may be served as long as this.
        env: { ...env(), HEADRACE_STALE_MAX: '1m' },
        fault: killed(),
        unhurt: ['hot'],
        hurt: ['other', 'write'],
        breaker: 'mongodb',
      }),
    );

    test.each<[ProxyMode, Pick<Scene, 'hurt' | 'breaker' | 'leave'>]>([
      ['hold', { hurt: ['other', 'write'], breaker: 'mongodb' }],
      ['delay', { hurt: ['other'] }],
      ['cut', { hurt: ['other', 'write'], breaker: 'mongodb' }],
      ['half-close', { hurt: ['other', 'write'], breaker: 'mongodb' }],
      // Nothing in its protocol tells a changed number from a true one.
      ['corrupt', { leave: { mayMislead: true } }],
    ])('behind a network that fails: %s', TIMEOUT, async (mode, expected) => {
      const proxy = await RedisProxy.start(mongo.port, SEED);
      try {
        await playSlowly({
          name: `MongoDB behind a network that fails: ${mode}`,
          env: { HEADRACE_MONGODB_URL: `mongodb://127.0.0.1:${proxy.port}/headrace` },
          fault: networkFault(proxy, mode),
          ...expected,
        });
      } finally {
        proxy.close();
      }
    });
  });

  describeWithRedis('behind Redis', () => {
    let redis: RedisServer;
    beforeEach(async () => {
      redis = await RedisServer.start();
    });
    afterEach(() => redis.close());
    const env = () => ({ HEADRACE_MONGODB_URL: mongo.url(), HEADRACE_REDIS_URL: redis.url });

    test('MongoDB stopped', TIMEOUT, () =>
      playSlowly({
        name: 'MongoDB stopped, Redis well',
        env: env(),
        fault: stopped(),
        unhurt: ['hot', 'other'],
        hurt: ['write'],
        breaker: 'mongodb',
      }),
    );

    test('MongoDB killed', TIMEOUT, () =>
      playSlowly({
        name: 'MongoDB killed, Redis well',
        env: env(),
        fault: killed(),
        unhurt: ['hot', 'other'],
        hurt: ['write'],
        breaker: 'mongodb',
      }),
    );

    test('Redis stopped', TIMEOUT, () =>
      playSlowly({
        name: 'Redis stopped, MongoDB well',
        env: env(),
        fault: { begin: () => redis.stop(), end: () => redis.resume() },
        breaker: 'redis',
      }),
    );

    test('Redis killed and restarted empty', TIMEOUT, () =>
      playSlowly({
        name: 'Redis restarted empty, MongoDB well',
        env: env(),
        fault: { begin: () => redis.kill(), end: () => redis.restart() },
        breaker: 'redis',
      }),
    );

    test('Redis killed and restarted with its old data', TIMEOUT, async () => {
      const durable = await RedisServer.start(['--appendonly', 'yes']);
      try {
        await playSlowly({
          name: 'Redis restarted with old data, MongoDB well',
          env: { ...env(), HEADRACE_REDIS_URL: durable.url },
          fault: { begin: () => durable.kill(), end: () => durable.restart() },
          breaker: 'redis',
        });
      } finally {
        await durable.close();
      }
    });

    test('Redis out of memory', TIMEOUT, () =>
      playSlowly({
        name: 'Redis out of memory, MongoDB well',
        env: env(),
        fault: {
          begin: () => redis.admin.config('SET', 'maxmemory', '1'),
          end: () => redis.admin.config('SET', 'maxmemory', '0'),
        },
        unhurt: ['hot', 'other', 'write'],
      }),
    );
  });
});

function playSlowly(scene: Scene): Promise<void> {
  return play({ ...scene, ids: IDS, env: { ...SLOW_STORE, ...scene.env } });
}
