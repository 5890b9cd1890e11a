/** A Redis Cluster as the store of record, under load, while a master fails over, dies, or gives a slot away. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RedisTestCluster } from '../support/redis-cluster.js';
import { describeWithRedis, eventually, type RedisServer } from '../support/redis-server.js';
import { FAULT_MS, play } from './scene.js';

const TIMEOUT = { timeout: 90_000 + 2 * FAULT_MS };
const SLOTS_MOVED = 40;
const HOT_SLOTS_MOVED = 2;
const HOT_KEY = /^headrace:\d+:hot-/;

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
    const told = new Set<string>();
    try {
      await play({
        name: 'slots of the cluster migrated',
        env: { HEADRACE_REDIS_URL: cluster.url },
        fault: {
          begin: async () => {
            const hot = (await slotsOfHotKeys(cluster.at(0))).slice(0, HOT_SLOTS_MOVED);
            for (const slot of new Set([...hot, ...Array(SLOTS_MOVED).keys()])) {
              const names = await cluster.moveSlot(slot, cluster.at(0), to);
              for (const name of names) told.add(idOf(name));
            }
            expect([...told].some(id => id.startsWith('hot-'))).toBe(true);
          },
          end: () => undefined,
        },
        unhurt: ['hot'],
        // The server that a key leaves tells that it was deleted.
        told,
      });
    } finally {
      await to.close();
    }
  });
});

async function slotsOfHotKeys({ admin }: RedisServer): Promise<number[]> {
  const names = (await admin.keys('*')).filter(name => HOT_KEY.test(name));
  return Promise.all(names.map(async name => Number(await admin.cluster('KEYSLOT', name))));
}

/** `headrace:7:hot-1` is of `hot-1`. */
function idOf(name: string): string {
  return name.split(':').slice(2).join(':');
}
