/** A Redis Cluster as the store of record, under load, while a master fails over, dies, or gives a slot away. */
import { afterEach, beforeEach, test } from 'vitest';
import { RedisTestCluster } from '../support/redis-cluster.js';
import { describeWithRedis, eventually } from '../support/redis-server.js';
import { FAULT_MS, play } from './scene.js';

const TIMEOUT = { timeout: 90_000 + 2 * FAULT_MS };
const SLOTS_MOVED = 40;

describeWithRedis('a Redis Cluster as the store of record', () => {
  let cluster: RedisTestCluster;
  beforeEach(async () => {
    cluster = await RedisTestCluster.start();
  });
  afterEach(() => cluster?.close());

  test('whose masters hand over to their replicas', TIMEOUT, () =>
    play({
      name: 'a master of the cluster failed over',
      env: { HEADRACE_REDIS_URL: cluster.url },
      fault: { begin: () => cluster.failOver(0), end: () => cluster.failOver(1) },
      unhurt: ['hot'],
    }),
  );

  test('whose master is killed: its replica takes over', TIMEOUT, () =>
    play({
      name: 'a master of the cluster killed',
      env: { HEADRACE_REDIS_URL: cluster.url },
      fault: {
        begin: () => cluster.at(0).kill(),
        end: () =>
          eventually(
            async () => (await cluster.at(3).admin.role())[0] === 'master',
            'the replica takes over',
          ),
      },
      unhurt: ['hot'],
      hurt: ['other', 'write'],
      // A replica is a little behind its master, whose last writes may be gone.
      leave: { mayRegress: true },
    }),
  );

  test('whose slots move to another master', TIMEOUT, async () => {
    const to = await cluster.addMaster();
    try {
      await play({
        name: 'slots of the cluster migrated',
        env: { HEADRACE_REDIS_URL: cluster.url },
        fault: {
          begin: async () => {
            for (let slot = 0; slot < SLOTS_MOVED; slot++) await cluster.moveSlot(slot, cluster.at(0), to);
          },
          end: () => undefined,
        },
        unhurt: ['hot'],
      });
    } finally {
      await to.close();
    }
  });
});
