/** What fails in the server itself, under load: its disk is full, its lanes' threads are killed. */
import { setTimeout as pause } from 'node:timers/promises';
import { describe, test } from 'vitest';
import { SmallDisk } from '../server/small-disk.js';
import { describeWithRedis, RedisServer } from '../support/redis-server.js';
import { FAULT_MS, play } from './scene.js';

const TIMEOUT = { timeout: 60_000 + FAULT_MS };
const KILLER = { nodeArgs: ['--import', new URL('../server/lane-killer.js', import.meta.url).href] };
const KILL_EVERY_MS = 500;
const DISK_FREE_MIN = 2 ** 20;
const DISK_ENV = { HEADRACE_DISK_FREE_MIN: '1MiB' };
const ASKED_WITHIN_MS = 500;

/** The server asks for the free space now and then: a disk that is filled within that time ends its lanes' threads. */
function diskFault(disk: SmallDisk) {
  return {
    async begin() {
      disk.fill(DISK_FREE_MIN / 2);
      await pause(ASKED_WITHIN_MS);
      disk.fill(0);
    },
    end: () => disk.empty(),
  };
}

describe('embedded', () => {
  test('a full disk', TIMEOUT, async context => {
    const disk = await SmallDisk.open(4);
    if (typeof disk === 'string') return context.skip(disk);
    try {
      await play({
        name: 'the disk full, embedded',
        env: DISK_ENV,
        server: { dataDir: disk.directory, wrapper: disk.wrapper },
        fault: diskFault(disk),
        unhurt: ['hot', 'other'],
        hurt: ['write'],
      });
    } finally {
      disk.close();
    }
  });

  test('lanes that are killed', TIMEOUT, () =>
    play({ name: 'lanes killed, embedded', server: KILLER, fault: killing(), unhurt: ['hot'] }),
  );
});

describeWithRedis('beside Redis', () => {
  test('a full disk', TIMEOUT, async context => {
    const disk = await SmallDisk.open(4);
    if (typeof disk === 'string') return context.skip(disk);
    const redis = await RedisServer.start();
    try {
      await play({
        name: 'the disk full, beside Redis',
        env: { ...DISK_ENV, HEADRACE_REDIS_URL: redis.url },
        server: { dataDir: disk.directory, wrapper: disk.wrapper },
        fault: diskFault(disk),
        unhurt: ['hot', 'other', 'write'],
      });
    } finally {
      disk.close();
      await redis.close();
    }
  });

  test('lanes that are killed', TIMEOUT, async () => {
    const redis = await RedisServer.start();
    try {
      await play({
        name: 'lanes killed, beside Redis',
        env: { HEADRACE_REDIS_URL: redis.url },
        server: KILLER,
        fault: killing(),
        unhurt: ['hot'],
      });
    } finally {
      await redis.close();
    }
  });
});

/** Again and again, as long as the fault lasts. */
function killing() {
  let ended: Promise<void> | undefined;
  const stopping = new AbortController();
  return {
    begin(signal: (name: NodeJS.Signals) => void) {
      ended = (async () => {
        while (!stopping.signal.aborted) {
          signal('SIGUSR2');
          await pause(KILL_EVERY_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
        }
      })();
    },
    end() {
      stopping.abort();
      return ended;
    },
  };
}
