/** The lists of hot keys on disk: order, bounds, what a cut or a full disk leaves, lanes that come and go, damage. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { DiskGuard } from '../../src/tiers/disk-guard.js';
import { type HotEntry, type HotKeysOptions, LmdbHotKeys } from '../../src/tiers/lmdb-hot-keys.js';
import { openTestLmdb } from './lmdb-fixture.js';

const ONE_LANE: HotKeysOptions = { lane: 0, lanes: 1, keysMax: 250_000, bytesMax: 2 ** 24 };

async function open(given: Partial<HotKeysOptions> = {}, freeBytes = () => 2 ** 50) {
  const { directory, environment, close } = await openTestLmdb();
  const guard = new DiskGuard({ directory, clock: systemClock, freeBytes });
  const reopened = (options: Partial<HotKeysOptions> = {}) =>
    new LmdbHotKeys(environment, guard, { ...ONE_LANE, ...given, ...options });
  return { hotKeys: reopened(), reopened, environment, close };
}

const entry = (n: number, pad = 0): HotEntry => ({
  key: storageKey(7, `id-${n}`.padEnd(pad, '-')),
  heat: n & 0xff,
});
const keysFrom = (first: number, count: number, pad = 0) =>
  Array.from({ length: count }, (_, n) => entry(first + n, pad));
const texts = (entries: Iterable<HotEntry>) =>
  [...entries].map(({ key, heat }) => `${Buffer.from(key).toString('latin1')} ${heat}`);

async function read(hotKeys: LmdbHotKeys) {
  const lists = await hotKeys.read(nextTurn);
  const keys = texts(lists.entries());
  expect(keys.length).toBe(lists.count);
  return { keys, damaged: lists.damaged };
}

describe('the lists of hot keys', () => {
  it('are empty at first, then the one saved last, in its order', async () => {
    const { hotKeys, reopened, environment, close } = await open();
    expect(await read(hotKeys)).toEqual({ keys: [], damaged: 0 });
    expect(await hotKeys.save(keysFrom(0, 20_000))).toBe(20_000);
    const list = keysFrom(50_000, 15_000).reverse();
    expect(await hotKeys.save(list)).toBe(15_000);
    expect(await read(reopened())).toEqual({ keys: texts(list), damaged: 0 });
    // Of the former, nothing is left: nine chunks at most, and what names them.
    expect(environment.hotKeys.getCount()).toBeLessThanOrEqual(10);
    expect(await hotKeys.save([])).toBe(0);
    expect((await read(hotKeys)).keys).toEqual([]);
    await close();
  });

  it('are bounded in keys and in bytes, and keep the hottest', async () => {
    const { hotKeys, close } = await open({ keysMax: 1_000, bytesMax: 100_000 });
    expect(await hotKeys.save(keysFrom(0, 5_000))).toBe(1_000);
    expect((await read(hotKeys)).keys).toEqual(texts(keysFrom(0, 1_000)));
    const kept = await hotKeys.save(keysFrom(0, 5_000, 500));
    expect(kept).toBe(Math.floor(100_000 / (3 + 4 + 500)));
    expect((await read(hotKeys)).keys).toEqual(texts(keysFrom(0, kept, 500)));
    await close();
  });

  it('are read in turn, the hottest of each lane first, and go when their lane is no more', async () => {
    const { reopened, environment, close } = await open();
    const lanes = [0, 1, 2].map(lane => reopened({ lane, lanes: 3 }));
    const [first, second, third] = lanes as [LmdbHotKeys, LmdbHotKeys, LmdbHotKeys];
    await Promise.all(lanes.map((lane, n) => lane.save(keysFrom(100 * n, 2 + n))));
    const order = [0, 100, 200, 1, 101, 201, 102, 202, 203];
    expect((await read(second)).keys).toEqual(texts(order.map(n => entry(n))));
    // Each lane replaces its own.
    await third.save(keysFrom(300, 1));
    const after = [0, 100, 300, 1, 101, 102];
    expect((await read(first)).keys).toEqual(texts(after.map(n => entry(n))));
    await reopened({ lane: 0, lanes: 1 }).save(keysFrom(0, 2));
    expect((await read(first)).keys).toEqual(texts(keysFrom(0, 2)));
    expect(environment.hotKeys.getCount()).toBe(2);
    await close();
  });

  it('stay the old ones when the saving is cut short, and what it left goes', async () => {
    const { hotKeys, environment, close } = await open();
    const old = keysFrom(0, 100);
    await hotKeys.save(old);
    const stop = new AbortController();
    function* endless() {
      for (let n = 0; ; n++) {
        if (n === 30_000) stop.abort(new Error('the lane closes'));
        yield { key: storageKey(7, `new-${n}`), heat: 1 };
      }
    }
    await expect(hotKeys.save(endless(), stop.signal)).rejects.toThrow('the lane closes');
    expect((await read(hotKeys)).keys).toEqual(texts(old));
    expect(environment.hotKeys.getCount()).toBeGreaterThan(2);
    await hotKeys.save(old);
    expect((await read(hotKeys)).keys).toEqual(texts(old));
    expect(environment.hotKeys.getCount()).toBe(2);
    await close();
  });

  it('stay the old ones when the disk is full', async () => {
    let free = 2 ** 50;
    const { reopened, close } = await open({}, () => free);
    await reopened().save(keysFrom(0, 100));
    free = 0;
    const other = reopened();
    // What is known of the disk is a quarter of a second old at most, or so many bytes.
    await expect(other.save(keysFrom(0, 250_000, 100))).rejects.toMatchObject({ code: 'disk-full' });
    expect((await read(other)).keys).toEqual(texts(keysFrom(0, 100)));
    await close();
  });

  it('lose the chunk that is damaged, and say so', async () => {
    const { hotKeys, environment, close } = await open();
    await hotKeys.save(keysFrom(0, 10_000));
    const [, second = ''] = [...environment.hotKeys.getKeys()];
    const chunk = Buffer.from(environment.hotKeys.getBinary(second) ?? []);
    chunk.writeUInt8(chunk.readUInt8(20_000) ^ 4, 20_000);
    await environment.hotKeys.put(second, chunk);
    const { keys, damaged } = await read(hotKeys);
    expect(damaged).toBe(1);
    expect(keys.length).toBeGreaterThan(7_000);
    expect(keys.length).toBeLessThan(9_000);
    const all = new Set(texts(keysFrom(0, 10_000)));
    expect(keys.every(key => all.has(key))).toBe(true);
    await close();
  });

  it('survive any garbage', async () => {
    const { hotKeys, environment, close } = await open();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat(1), async (garbage, where) => {
        await hotKeys.save(keysFrom(0, 100));
        const name = [...environment.hotKeys.getKeys()][where] as string;
        await environment.hotKeys.put(name, garbage);
        expect(await read(hotKeys)).toEqual({ keys: [], damaged: 1 });
      }),
      { numRuns: 40 },
    );
    expect(await hotKeys.save(keysFrom(0, 10))).toBe(10);
    expect((await read(hotKeys)).keys).toEqual(texts(keysFrom(0, 10)));
    await close();
  });
});
