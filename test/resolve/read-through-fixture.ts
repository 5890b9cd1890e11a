/** A cache with an origin in one lane, whose origin, store and clock are the test's. */
import { expect } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
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
import { laneOver, MapTier, VIEW } from './fixture.js';

const DEFINITION: CacheDefinition = { ...CACHE_STANDARD, name: 'c' };
const { name, features } = entryViewOf(DEFINITION);
export const CACHE = { ...VIEW, name, uid: 9, features: [...features] };
const SAYS = { contentType: 'text/plain', etag: '', cacheControl: '', cacheTags: '', ageMs: 0 };

export type Fetch = (key: string) => Promise<OriginValue | undefined>;

export const valueFor = (text: string): OriginValue => ({ ...SAYS, payload: Buffer.from(text) });

export function lane(fetch: Fetch, tier: Tier = new MapTier(), definition: Partial<CacheDefinition> = {}) {
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
export class SlowTier implements Tier {
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
