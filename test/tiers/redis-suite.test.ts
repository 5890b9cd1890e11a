import { afterAll, beforeAll } from 'vitest';
import { RedisTestCluster } from '../support/redis-cluster.js';
import { anyRedis, describeWithAnyRedis, describeWithRedis } from '../support/redis-server.js';
import { openRedisTier } from './redis-fixture.js';
import { type OpenTier, tierSuite } from './tier-suite.js';

let opened = 0;

/** A tier that is empty because its prefix is new, and that leaves nothing behind on a server that may be shared. */
async function openEmpty(url: string): Promise<OpenTier> {
  const prefix = `suite-${process.pid}-${++opened}:`;
  const { tier, connection } = await openRedisTier(`${url}?prefix=${prefix}`);
  const close = async () => {
    for (const master of connection.mastersWithSlots()) {
      for await (const keys of master.scanStream({ match: `${prefix}*`, count: 1_000 })) {
        for (const key of keys as string[]) await master.unlink(key);
      }
    }
    await tier.close();
  };
  return { tier, close };
}

describeWithAnyRedis('one server', () => {
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
