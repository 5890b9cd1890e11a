import { afterAll, beforeAll } from 'vitest';
import { RedisTestCluster } from '../support/redis-cluster.js';
import { anyRedis, describeWithRedis } from '../support/redis-server.js';
import { openRedisTier } from './redis-fixture.js';
import { tierSuite } from './tier-suite.js';

let opened = 0;

/** A tier that is empty because its prefix is new. */
async function openEmpty(url: string) {
  return openRedisTier(`${url}?prefix=suite-${process.pid}-${++opened}:`);
}

describeWithRedis('one server', () => {
  let server: Awaited<ReturnType<typeof anyRedis>>;
  beforeAll(async () => {
    server = await anyRedis();
  });
  afterAll(() => server?.close());
  tierSuite('Redis', () => openEmpty(server.url));
});

describeWithRedis('a cluster', () => {
  let cluster: RedisTestCluster;
  beforeAll(async () => {
    cluster = await RedisTestCluster.start();
  });
  afterAll(() => cluster?.close());
  tierSuite('Redis Cluster', () => openEmpty(cluster.url));
});
