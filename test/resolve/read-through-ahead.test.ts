/** Entries that their origin makes anew ahead of time, and how long what stays the same is fresh. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, test } from 'vitest';
import type { CacheDefinition } from '../../src/caches/definition.js';
import { EntryReader } from '../../src/caches/entry.js';
import type { OriginValue } from '../../src/tiers/origin-value.js';
import { MapTier } from './fixture.js';
import { CACHE, lane, SlowTier, valueFor } from './read-through-fixture.js';

describe('an entry that is made anew ahead of its time', () => {
  it('is so unless it is fresh for longer by now, and says what it took', async () => {
    let calls = 0;
    const { ask, clock, through, cache, counters } = lane(
      async () => {
        clock.advance(40);
        return valueFor(`call ${++calls}`);
      },
      new MapTier(),
      { ttlMs: 1_000 },
    );
    await ask('k');
    const entry = new EntryReader();
    const held = () => {
      entry.reset(cache.get(CACHE.slot, 'k') as Uint8Array);
      return entry;
    };
    expect(held().costMs).toBe(40);
    const { freshUntil } = held();
    clock.advance(900);
    through.refresh({ viewUid: 9, id: 'k', untilMs: freshUntil - 1 });
    expect((await ask('k')).text).toBe('call 1');
    through.refresh({ viewUid: 9, id: 'k', untilMs: freshUntil });
    while ((await ask('k')).text !== 'call 2') await nextTurn();
    // Somebody else who saw the first one fresh is too late.
    through.refresh({ viewUid: 9, id: 'k', untilMs: freshUntil });
    await nextTurn();
    expect((await ask('k')).text).toBe('call 2');
    expect(counters.read()).toMatchObject({ calls: 0, ahead: 1, refreshes: 0, unchanged: 0 });
  });
});

test('who reads an entry while it is made anew ahead is answered with what there is', async () => {
  let calls = 0;
  const { ask, clock, through, cache } = lane(
    async () => (++calls === 1 ? valueFor('value') : new Promise(() => undefined)),
    new SlowTier(async () => undefined),
    { ttlMs: 1_000 },
  );
  await ask('k');
  clock.advance(900);
  cache.kept.clear();
  const brought = through.bring({ viewUid: 9, id: 'k', untilMs: clock.now() + 10_000 });
  expect(await ask('k')).toMatchObject({ text: 'value', source: 'tier' });
  while (calls < 2) await nextTurn();
  expect(await Promise.race([brought, nextTurn('under way')])).toBe('under way');
});

describe('how long an entry is fresh', () => {
  const ttlMs = 1_000;
  const ttlMaxMs = 6_000;
  const open = (value: () => OriginValue, definition: Partial<CacheDefinition> = {}) => {
    const opened = lane(async () => value(), new MapTier(), { ttlMs, ttlMaxMs, ...definition });
    const freshMs = async () => {
      await opened.ask('k');
      const entry = new EntryReader();
      entry.reset(opened.cache.get(CACHE.slot, 'k') as Uint8Array);
      return entry.freshUntil - entry.writtenAt;
    };
    /** Each when the one before is no longer fresh. */
    const series = async (times: number) => {
      const all: number[] = [];
      for (let time = 0; time < times; time++) {
        all.push(await freshMs());
        opened.clock.advance((all.at(-1) ?? 0) + 1);
      }
      return all;
    };
    return { ...opened, series };
  };
  const expired = { staleWhileRevalidateMs: 0 };

  it('doubles up to its ceiling while it stays the same, and begins again when it changes', async () => {
    let text = 'same';
    const { series, counters } = open(() => valueFor(text), expired);
    expect(await series(5)).toEqual([1_000, 2_000, 4_000, 6_000, 6_000]);
    expect(counters.read()).toMatchObject({ unchanged: 4 });
    text = 'other';
    expect(await series(2)).toEqual([1_000, 2_000]);
    expect(counters.read()).toMatchObject({ unchanged: 5 });
  });

  it('is judged by the ETag that the origin gives', async () => {
    let etag = '"a"';
    let count = 0;
    const { series } = open(() => ({ ...valueFor(String(count++)), etag }), expired);
    expect(await series(2)).toEqual([1_000, 2_000]);
    etag = '"b"';
    expect(await series(2)).toEqual([1_000, 2_000]);
  });

  it('begins again after a deletion, and is as the origin says where it says so', async () => {
    let cacheControl = '';
    const { series, remove } = open(() => ({ ...valueFor('same'), cacheControl }), expired);
    expect(await series(2)).toEqual([1_000, 2_000]);
    await remove('k');
    expect(await series(2)).toEqual([1_000, 2_000]);
    cacheControl = 'max-age=3';
    expect(await series(2)).toEqual([3_000, 3_000]);
  });

  it('is the ttl where there is no ceiling', async () => {
    const { series } = open(() => valueFor('same'), { ...expired, ttlMaxMs: undefined });
    expect(await series(3)).toEqual([1_000, 1_000, 1_000]);
  });
});
