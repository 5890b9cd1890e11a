/** Every write on one server arrives at another that holds an older copy. How soon is for the bench to say. */
import { expect, test } from 'vitest';
import { measurePropagation, percentile } from '../../native-free-bench/propagation.js';
import { FULL, FULL_TIMEOUT } from '../base/seeded.js';
import { anyRedis, describeWithAnyRedis } from '../support/redis-server.js';

const WRITES = FULL ? 10_000 : 1_000;

describeWithAnyRedis('two servers on one Redis', () => {
  test(`of ${WRITES} writes under load, each arrives`, FULL_TIMEOUT, async () => {
    const redis = await anyRedis();
    try {
      const latenciesMs = await measurePropagation({
        writes: WRITES,
        writers: 8,
        others: 2,
        redisUrl: redis.url,
      });
      expect(latenciesMs.length).toBe(WRITES);
      const [p50, p99] = [percentile(latenciesMs, 50), percentile(latenciesMs, 99)];
      console.info(`propagation: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
    } finally {
      await redis.close();
    }
  });
});

test('a percentile is the least value that so many are not above', () => {
  const values = Array.from({ length: 200 }, (_, at) => 200 - at);
  expect([50, 99, 100].map(percent => percentile(values, percent))).toEqual([100, 198, 200]);
});
