/** What a lane keeps and shows while its keys change elsewhere, in orders of events that servers meet only by chance. */
import { expect, test } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { HeadraceError } from '../../src/base/errors.js';
import { storageKey } from '../../src/base/keys.js';
import type { Tier, TierWrite } from '../../src/base/tier.js';
import type { ReadReply } from '../../src/lanes/messages.js';
import { PackedRows, ROW } from '../../src/lanes/packed-rows.js';
import { Amends } from '../../src/resolve/amends.js';
import { TierChain } from '../../src/resolve/chain.js';
import { RecordInspector } from '../../src/resolve/record-inspector.js';
import { RecordReader } from '../../src/views/record-reader.js';
import { laneOver, MapTier, VIEW } from '../resolve/fixture.js';

const NEVER = Number.MAX_SAFE_INTEGER;
const KEY = storageKey(VIEW.uid, 'a');

/** A tier that answers when it is told to, with what it has when it is asked. */
class GatedTier implements Tier {
  readonly name = 'lmdb';
  readonly map = new MapTier();
  readonly #waiting: (() => void)[] = [];
  #answersAhead = 0;

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const values = this.map.getMany(keys);
    await this.#told();
    return values;
  }

  async putMany(writes: readonly TierWrite[]): Promise<(Version | null)[]> {
    const results = await this.map.putMany(writes);
    await this.#told();
    return results;
  }

  deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    return this.map.deleteMany(keys);
  }

  async close(): Promise<void> {}

  /** The call that has waited longest is answered, or else the next one. */
  answer(): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#answersAhead++;
    else waiting();
  }

  #told(): Promise<void> {
    if (this.#answersAhead > 0) {
      this.#answersAhead--;
      return Promise.resolve();
    }
    return new Promise(resolve => this.#waiting.push(resolve));
  }
}

function lane(tier: Tier) {
  const parts = laneOver([tier], true);
  const put = (n: number, version: number, ttl = '1h') => {
    const body = Buffer.from(JSON.stringify({ features: { n }, version, ttl }));
    const op = { kind: 'put', viewUid: VIEW.uid, id: 'a', start: 0, end: body.length } as const;
    return parts.writes.write([{ ...op, flat: false, deadlineMs: NEVER }], body);
  };
  const ask = async () => {
    const reply: ReadReply = await parts.reads.read([{ viewUid: VIEW.uid, ids: ['a'], deadlineMs: NEVER }]);
    const rows = new PackedRows(reply.rows, 1);
    const record = rows.record(0);
    if (record === undefined) return rows.status(0) === ROW.notFound ? 'absent' : 'unavailable';
    const reader = new RecordReader();
    reader.reset(record);
    return reader.int64(0);
  };
  return { ...parts, put, ask };
}

/** As another server writes it. */
function writeElsewhere(to: MapTier, n: number, version: number): Promise<unknown> {
  return lane(to).put(n, version);
}

test('a write is not kept when news of its key came before the answer', async () => {
  const tier = new GatedTier();
  const { coherence, cache, put, ask } = lane(tier);
  coherence.restored();
  const written = put(1, 1);
  await writeElsewhere(tier.map, 2, 2);
  coherence.keysChanged([KEY]);
  tier.answer();
  expect(await written).toMatchObject([{ put: { applied: true, version: 1 } }]);
  expect(cache.kept.size).toBe(0);
  const asked = ask();
  tier.answer();
  expect(await asked).toBe(2);
});

test('a write is not kept when news was lost and came back before the answer', async () => {
  const tier = new GatedTier();
  const { coherence, cache, put } = lane(tier);
  coherence.restored();
  const written = put(1, 1);
  coherence.lost();
  coherence.restored();
  tier.answer();
  await written;
  expect(cache.kept.size).toBe(0);
});

test('a write of which nothing is heard is kept', async () => {
  const tier = new GatedTier();
  const { coherence, cache, put } = lane(tier);
  coherence.restored();
  const written = put(1, 1);
  coherence.keysChanged([storageKey(VIEW.uid, 'b')]);
  tier.answer();
  await written;
  expect(cache.kept.size).toBe(1);
});

test('what was shown is not followed by something older that was written here meanwhile', async () => {
  const tier = new GatedTier();
  const { coherence, put, ask } = lane(tier);
  coherence.restored();
  const written = put(1, 1);
  await writeElsewhere(tier.map, 2, 2);
  const first = ask();
  tier.answer();
  await written;
  tier.answer();
  expect(await first).toBe(2);
  const second = ask();
  tier.answer();
  expect(await second).toBe(2);
});

test('who joins a reading is not shown what expired before the question', async () => {
  const tier = new GatedTier();
  const { clock, ask } = lane(tier);
  await lane(tier.map).put(1, 1, '100ms');
  const first = ask();
  clock.advance(101);
  const second = ask();
  tier.answer();
  expect([await first, await second]).toEqual([1, 'absent']);
});

test.each([[['a']], [undefined]])(
  'what was asked for before an invalidation (%j) is not kept after it',
  async ids => {
    const tier = new GatedTier();
    const { coherence, cache, ask } = lane(tier);
    coherence.restored();
    await writeElsewhere(tier.map, 1, 1);
    const first = ask();
    coherence.invalidated(VIEW.uid, VIEW.slot, ids);
    await writeElsewhere(tier.map, 2, 2);
    const second = ask();
    tier.answer();
    tier.answer();
    expect([await first, await second]).toEqual([1, 2]);
    expect(cache.kept.size).toBe(1);
  },
);

test('an absent key is remembered for as long as a copy would be while nobody tells of changes', async () => {
  const tier = new MapTier();
  const { clock, coherence, ask } = lane(tier);
  expect(await ask()).toBe('absent');
  await writeElsewhere(tier, 1, 1);
  clock.advance(999);
  expect(await ask()).toBe('absent');
  clock.advance(1);
  expect(await ask()).toBe(1);
  coherence.restored();
  expect(await ask()).toBe(1);
});

test('no copy is made on disk while nobody tells of changes, nor of what has changed since', async () => {
  const [copies, record] = [new MapTier(), new MapTier()];
  let mayCopy = false;
  const levels = [{ tier: copies, era: () => 7 }, { tier: record }];
  const chain = new TierChain(levels, new RecordInspector(), { mayCopy: () => mayCopy });
  await writeElsewhere(record, 1, 1);
  const eraOfRead = async (mayKeep: boolean) => {
    copies.kept.clear();
    await chain.getMany([KEY], { nowMs: 0, deadlineMs: NEVER, mayKeep: () => mayKeep });
    return [...copies.kept.values()].map(({ era }) => era);
  };
  expect(await eraOfRead(true)).toEqual([Number.NaN]);
  mayCopy = true;
  expect(await eraOfRead(true)).toEqual([7]);
  expect(await eraOfRead(false)).toEqual([Number.NaN]);
  // What is written drops the copy that there is, and makes none.
  await eraOfRead(true);
  const [write] = record.kept.values();
  await chain.putMany([{ ...(write as TierWrite), version: 2 as Version }]);
  expect(copies.kept.size).toBe(0);
});

test('a tier that has missed a write is not asked for it until it was put right', async () => {
  const [upper, record] = [new MapTier(), new MapTier()];
  await writeElsewhere(upper, 1, 1);
  await writeElsewhere(record, 2, 2);
  const inspector = new RecordInspector();
  let isDown = true;
  const tier: Tier = {
    name: 'redis',
    getMany: keys => upper.getMany(keys),
    putMany: writes =>
      isDown ? Promise.reject(new HeadraceError('unavailable', 'is down')) : upper.putMany(writes),
    deleteMany: keys => upper.deleteMany(keys),
    close: () => upper.close(),
  };
  const amends = new Amends({ tier, record, inspector });
  const chain = new TierChain([{ tier }, { tier: record }], inspector, {
    isMissed: (name, key) => name === 'redis' && amends.owes(key),
  });
  const version = async () => {
    const [found] = await chain.getMany([KEY], { nowMs: 0, deadlineMs: NEVER, mayKeep: () => false });
    return found instanceof Uint8Array ? inspector.version(found) : found;
  };
  expect(await version()).toBe(1);
  amends.owe([KEY]);
  await amends.run();
  expect([await version(), amends.size]).toEqual([2, 1]);
  isDown = false;
  await amends.run();
  expect([await version(), amends.size, upper.asked > 0]).toEqual([2, 0, true]);
});
