import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { DiskGuard } from '../../src/tiers/disk-guard.js';
import { type HotKeysOptions, LmdbHotKeys } from '../../src/tiers/lmdb-hot-keys.js';
import { openTestLmdb } from './lmdb-fixture.js';

async function open(options: Partial<HotKeysOptions> = {}, freeBytes = () => 2 ** 50) {
  const { directory, environment, close } = await openTestLmdb();
  const guard = new DiskGuard({ directory, clock: systemClock, freeBytes });
  const reopened = () => new LmdbHotKeys(environment, guard, options);
  return { hotKeys: reopened(), reopened, environment, close };
}

const keysFrom = (first: number, count: number, pad = 0) =>
  Array.from({ length: count }, (_, n) => storageKey(7, `id-${first + n}`.padEnd(pad, '-')));
const texts = (keys: Iterable<Uint8Array>) => [...keys].map(key => Buffer.from(key).toString('latin1'));

describe('the list of hot keys', () => {
  it('is empty at first, then the one saved last, in its order', async () => {
    const { hotKeys, reopened, environment, close } = await open();
    expect([...hotKeys.read()]).toEqual([]);
    expect(await hotKeys.save(keysFrom(0, 20_000))).toBe(20_000);
    const list = keysFrom(50_000, 15_000).reverse();
    expect(await hotKeys.save(list)).toBe(15_000);
    expect(texts(reopened().read())).toEqual(texts(list));
    // Of the former, nothing is left: five chunks at most, and what names them.
    expect(environment.hotKeys.getCount()).toBeLessThanOrEqual(6);
    expect(await hotKeys.save([])).toBe(0);
    expect([...hotKeys.read()]).toEqual([]);
    await close();
  });

  it('is bounded in keys and in bytes, and keeps the hottest', async () => {
    const { hotKeys, close } = await open({ keysMax: 1_000, bytesMax: 100_000 });
    expect(await hotKeys.save(keysFrom(0, 5_000))).toBe(1_000);
    expect(texts(hotKeys.read())).toEqual(texts(keysFrom(0, 1_000)));
    const kept = await hotKeys.save(keysFrom(0, 5_000, 500));
    expect(kept).toBe(Math.floor(100_000 / (2 + 4 + 500)));
    expect(texts(hotKeys.read())).toEqual(texts(keysFrom(0, kept, 500)));
    await close();
  });

  it('stays the old one when the saving is cut short, and what it left goes', async () => {
    const { hotKeys, environment, close } = await open();
    const old = keysFrom(0, 100);
    await hotKeys.save(old);
    const stop = new AbortController();
    function* endless() {
      for (let n = 0; ; n++) {
        if (n === 30_000) stop.abort(new Error('the lane closes'));
        yield storageKey(7, `new-${n}`);
      }
    }
    await expect(hotKeys.save(endless(), stop.signal)).rejects.toThrow('the lane closes');
    expect(texts(hotKeys.read())).toEqual(texts(old));
    expect(environment.hotKeys.getCount()).toBeGreaterThan(2);
    await hotKeys.save(old);
    expect(texts(hotKeys.read())).toEqual(texts(old));
    expect(environment.hotKeys.getCount()).toBe(2);
    await close();
  });

  it('stays the old one when the disk is full', async () => {
    let free = 2 ** 50;
    const { reopened, close } = await open({}, () => free);
    await reopened().save(keysFrom(0, 100));
    free = 0;
    const other = reopened();
    // What is known of the disk is a quarter of a second old at most, or so many bytes.
    await expect(other.save(keysFrom(0, 250_000, 100))).rejects.toMatchObject({ code: 'disk-full' });
    expect(texts(other.read())).toEqual(texts(keysFrom(0, 100)));
    await close();
  });

  it('gives what it can when it is damaged', async () => {
    const { hotKeys, environment, close } = await open();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat(1), async (garbage, where) => {
        await hotKeys.save(keysFrom(0, 100));
        const name = [...environment.hotKeys.getKeys()][where] as string;
        await environment.hotKeys.put(name, garbage);
        expect([...hotKeys.read()].length).toBeLessThanOrEqual(100);
      }),
      { numRuns: 40 },
    );
    expect(await hotKeys.save(keysFrom(0, 10))).toBe(10);
    expect(texts(hotKeys.read())).toEqual(texts(keysFrom(0, 10)));
    await close();
  });
});
