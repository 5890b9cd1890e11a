/** Questions to an origin in a lane: raced with deletions, and with what others change. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { HeadraceError } from '../../src/base/errors.js';
import type { Tier } from '../../src/base/tier.js';
import { CACHE_STANDARD, type CacheDefinition } from '../../src/caches/definition.js';
import { EntryReader } from '../../src/caches/entry.js';
import { entryViewOf } from '../../src/caches/entry-view.js';
import type { RemoveOp } from '../../src/lanes/messages.js';
import { PackedRows } from '../../src/lanes/packed-rows.js';
import { OriginCounters, originCounterMemory } from '../../src/observe/origin-counters.js';
import { OriginFlights } from '../../src/resolve/origin-flights.js';
import { type Outcome, ReadThrough } from '../../src/resolve/read-through.js';
import type { OriginValue } from '../../src/tiers/origin-value.js';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from '../base/seeded.js';
import { laneOver, MapTier, VIEW } from './fixture.js';

const DEFINITION: CacheDefinition = { ...CACHE_STANDARD, name: 'c' };
const { name, features } = entryViewOf(DEFINITION);
const CACHE = { ...VIEW, name, uid: 9, features: [...features] };
const SAYS = { contentType: 'text/plain', etag: '', cacheControl: '', cacheTags: '', ageMs: 0 };

type Fetch = (key: string) => Promise<OriginValue | undefined>;

const valueFor = (text: string): OriginValue => ({ ...SAYS, payload: Buffer.from(text) });

function lane(fetch: Fetch, tier: Tier = new MapTier(), definition: Partial<CacheDefinition> = {}) {
  const clock = new ManualClock();
  const flights = new OriginFlights<Outcome>(100, clock);
  const parts = { ...laneOver([tier], false, [flights], clock), flights };
  parts.views.declare(CACHE);
  const counters = new OriginCounters(originCounterMemory(1), 0);
  const cache = {
    definition: { ...DEFINITION, ...definition },
    origin: { fetch, isRefusing: false },
    counters,
  };
  const { enabled } = cache.definition;
  const through = new ReadThrough({ ...parts, caches: new Map([[name, cache]]) });
  /** The text, or how else it came. */
  const ask = async (id: string, waitMs = 60_000) => {
    const deadlineMs = parts.clock.now() + waitMs;
    const { rows, answers } = await through.read({
      kind: 'read-through',
      viewUid: 9,
      ids: [id],
      enabled,
      deadlineMs,
    });
    const record = new PackedRows(rows, 1).record(0);
    const entry = new EntryReader();
    if (record !== undefined) entry.reset(record);
    return { ...answers[0], text: record && Buffer.from(entry.payload).toString() };
  };
  const remove = async (id: string) => {
    const op: RemoveOp = { kind: 'remove', viewUid: 9, id, deadlineMs: Number.MAX_SAFE_INTEGER };
    expect(await parts.writes.write([op], Buffer.alloc(0))).toMatchObject([{ kind: 'put' }]);
  };
  return { ...parts, through, counters, ask, remove };
}

/** Takes some turns for everything, so that what races comes in any order. */
class SlowTier implements Tier {
  readonly name = 'lmdb';
  readonly #tier = new MapTier();
  readonly #turns: () => Promise<void>;

  constructor(turns: () => Promise<void>) {
    this.#turns = turns;
  }

  async getMany(keys: readonly Uint8Array[]) {
    await this.#turns();
    const values = this.#tier.getMany(keys);
    await this.#turns();
    return values;
  }

  async putMany(writes: Parameters<Tier['putMany']>[0]) {
    await this.#turns();
    const results = await this.#tier.putMany(writes);
    await this.#turns();
    return results;
  }

  deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    return this.#tier.deleteMany(keys);
  }

  close(): Promise<void> {
    return this.#tier.close();
  }
}

const RACES = FULL ? 100_000 : 5_000;

describe('an entry that is asked for by way of the origin', () => {
  it(
    `is never that from before a deletion, when it is asked for after that: ${RACES} rounds`,
    FULL_TIMEOUT,
    async () => {
      console.log(`read-through: seed ${SEED}`);
      const random = new Seeded(SEED);
      const turns = async () => {
        for (let left = random.below(6); left > 0; left--) await undefined;
      };
      let number = 0;
      let calls = 0;
      const fetch: Fetch = async () => {
        calls++;
        const asked = number;
        // At times it outlasts the deletion, and who asks after it.
        for (let left = random.below(100); left > 0; left--) await undefined;
        return valueFor(String(asked));
      };
      const { ask, remove } = lane(fetch, new SlowTier(turns));
      let wrong = 0;
      for (let round = 0; round < RACES; round++) {
        await remove('k');
        const others: Promise<unknown>[] = [];
        for (let count = random.below(4); count > 0; count--) {
          others.push(ask('k'));
          await turns();
        }
        const least = ++number;
        await remove('k');
        if (Number((await ask('k')).text) < least) wrong++;
        await Promise.all(others);
        // What was asked before the deletion has been answered by now, and has taken nobody's place.
        if (Number((await ask('k')).text) < least) wrong++;
        if (round % 100 === 0) await nextTurn();
      }
      expect(wrong).toBe(0);
      expect(calls).toBeGreaterThan(RACES);
    },
  );

  it.each([
    ['changes elsewhere, though its version there is older, is not kept', 'changedHere', false],
    ['is erased, since a fence of before has hidden it, is kept', 'erasedHere', true],
  ] as const)('and meanwhile %s', async (_, told, isStored) => {
    let release: (() => void) | undefined;
    const { ask, coherence } = lane(
      () =>
        new Promise(resolve => {
          release = () => resolve(valueFor('old'));
        }),
    );
    const waiting = ask('k');
    while (release === undefined) await undefined;
    coherence[told](9, 'k');
    release();
    expect(await waiting).toMatchObject({ text: 'old', isStored });
  });

  it('is asked for once, and those that join are told apart', async () => {
    let calls = 0;
    const { ask } = lane(async () => valueFor(`call ${++calls}`));
    const [first, ...others] = await Promise.all(Array.from({ length: 100 }, () => ask('k')));
    expect(first).toMatchObject({ text: 'call 1', source: 'origin', isStored: true, isJoined: false });
    for (const other of others) expect(other).toMatchObject({ text: 'call 1', isJoined: true });
    expect(await ask('k')).toMatchObject({ text: 'call 1', source: 'tier', isStored: false });
    expect(calls).toBe(1);
  });

  it('fails when too many are, and is not begun', async () => {
    let calls = 0;
    const { ask } = lane(() => {
      calls++;
      return new Promise(() => undefined);
    });
    const waiting = Array.from({ length: 100 }, (_, at) => ask(`k${at}`, 50));
    expect((await ask('one more')).failure).toMatchObject({ code: 'overloaded' });
    for (const { failure } of await Promise.all(waiting)) expect(failure).toMatchObject({ code: 'deadline' });
    expect(calls).toBe(100);
  });

  it('of one cache keeps those of another from nothing, also when its questions are void', async () => {
    const flights = new OriginFlights<number>(4, new ManualClock(), 2);
    let release = () => {};
    const held = new Promise<number>(resolve => {
      release = () => resolve(1);
    });
    const waiting = [
      flights.begin(1, 'a', () => held),
      flights.beginAlone(1, () => held),
      flights.begin(2, 'a', () => held),
    ];
    flights.forget('1/a');
    expect([flights.join(1, 'a'), flights.isFull(1), flights.isFull(2)]).toEqual([undefined, true, false]);
    release();
    await Promise.all(waiting.map(({ answer }) => answer));
    await nextTurn();
    expect([flights.isFull(1), flights.join(2, 'a')]).toEqual([false, undefined]);
  });

  it('is old only as long as it may be when the origin fails', async () => {
    let isWell = true;
    const { ask, clock, counters } = lane(
      async () => {
        if (isWell) return valueFor('value');
        throw new HeadraceError('unavailable', 'it is away');
      },
      new MapTier(),
      { ttlMs: 1_000, staleWhileRevalidateMs: 1_000, staleIfErrorMs: 5_000 },
    );
    await ask('k');
    isWell = false;
    clock.advance(1_999);
    expect(await ask('k')).toMatchObject({ text: 'value', source: 'tier' });
    clock.advance(1);
    expect(await ask('k')).toMatchObject({ text: 'value', source: 'stale' });
    clock.advance(4_000);
    expect(await ask('k')).toMatchObject({ text: undefined, failure: { code: 'unavailable' } });
    expect(counters.read()).toMatchObject({ staleServed: 1 });
  });

  it('is waited for half of the time where an old one is held, by all who ask together', async () => {
    let isWell = true;
    const { ask, clock } = lane(
      async () => {
        if (isWell) return valueFor('value');
        return new Promise(() => undefined);
      },
      new MapTier(),
      { ttlMs: 1_000, staleWhileRevalidateMs: 0 },
    );
    await ask('k');
    clock.advance(1_000);
    isWell = false;
    const tookMs = async () => {
      const began = performance.now();
      expect(await ask('k', 1_000)).toMatchObject({ text: 'value', source: 'stale' });
      return performance.now() - began;
    };
    expect(await tookMs()).toBeGreaterThan(490);
    clock.advance(499);
    expect(await tookMs()).toBeLessThan(450);
  });

  it('is not waited for where an old one is held, from when that was in vain until it is quick again', async () => {
    let calls = 0;
    const held: (() => void)[] = [];
    const release = () => {
      for (const resolve of held.splice(0)) resolve();
    };
    const { ask, clock } = lane(
      async () => {
        const call = ++calls;
        if (call > 3) await new Promise<void>(resolve => held.push(resolve));
        return valueFor(`call ${call}`);
      },
      new MapTier(),
      { ttlMs: 1_000, staleWhileRevalidateMs: 0 },
    );
    for (const key of ['a', 'b', 'c']) await ask(key);
    clock.advance(1_000);
    const began = performance.now();
    expect(await ask('a', 200)).toMatchObject({ text: 'call 1', source: 'stale' });
    expect(performance.now() - began).toBeGreaterThan(90);
    // Both would else be waited for.
    expect(await ask('b', 1e9)).toMatchObject({ text: 'call 2', source: 'stale' });
    // What is late is no sign that it is quick.
    clock.advance(100);
    release();
    while ((await ask('b', 1e9)).source !== 'tier');
    expect(await ask('c', 1e9)).toMatchObject({ text: 'call 3', source: 'stale' });
    release();
    while ((await ask('c', 1e9)).source !== 'tier');
    clock.advance(1_000);
    const waiting = ask('a', 1e9);
    while (held.length === 0) await nextTurn();
    release();
    expect(await waiting).toMatchObject({ text: 'call 7', source: 'origin' });
  });

  it('replaces what has a version of a clock that is ahead', async () => {
    let calls = 0;
    const { ask, clock, versions } = lane(async () => valueFor(`call ${++calls}`), new MapTier(), {
      ttlMs: 1_000,
      staleWhileRevalidateMs: 0,
    });
    await ask('k');
    const ahead = versions.next();
    clock.advance(2_000);
    expect(await ask('k')).toMatchObject({ text: 'call 2', isStored: true });
    expect(versions.next()).toBeGreaterThan(ahead);
  });
});

describe('stale entries', () => {
  it('are made anew in the background, so many at once', async () => {
    const released: (() => void)[] = [];
    let isHeld = false;
    const { ask, clock, through, counters } = lane(
      async key => {
        if (isHeld) await new Promise<void>(resolve => released.push(resolve));
        return valueFor(`${key} ${isHeld}`);
      },
      new MapTier(),
      { ttlMs: 1_000 },
    );
    for (let at = 0; at < 80; at++) await ask(`k${at}`);
    clock.advance(1_500);
    isHeld = true;
    for (let twice = 0; twice < 2; twice++)
      for (let at = 0; at < 80; at++) through.refresh({ viewUid: 9, id: `k${at}` });
    while (released.length < 64) await undefined;
    expect(counters.read()).toMatchObject({ refreshes: 64 });
    expect(await ask('k70')).toMatchObject({ text: 'k70 false', source: 'tier' });
    for (const release of released) release();
    while ((await ask('k1')).text !== 'k1 true');
  });
});
