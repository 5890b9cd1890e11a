/** Warming of a lane: what is read, in what order, how fast, and what must not be kept. */
import { describe, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import type { Tier } from '../../src/base/tier.js';
import { Warming, type WarmingParts, type WarmingProgress } from '../../src/resolve/warm-start.js';
import { encodeTombstone, RecordEncoder } from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { viewOf } from '../../src/views/schema.js';
import { laneOver, MapTier, VIEW } from './fixture.js';

type Lane = ReturnType<typeof laneOver>;

/** As a store that answers later: what happens meanwhile is up to the test. */
class SlowTier extends MapTier {
  readonly batches: string[][] = [];
  during: () => void = () => undefined;

  override getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    return this.#ask(keys) as unknown as (Uint8Array | undefined)[];
  }

  async #ask(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.batches.push(keys.map(key => Buffer.from(key).subarray(4).toString()));
    const values = super.getMany(keys);
    await Promise.resolve();
    this.during();
    return values;
  }
}

const encoder = new RecordEncoder(viewOf(VIEW));

/** The record's version is `n`. */
function record({ clock }: Lane, n: number): Uint8Array {
  const draft = new RecordDraft(viewOf(VIEW));
  const now = clock.now();
  return encoder
    .encode(draft, { version: n as never, writtenAt: now, freshUntil: now + 1e6, expiresAt: now + 1e6 })
    .slice();
}

async function fill(lane: Lane, tier: Tier, ids: readonly string[], version = 1): Promise<void> {
  const value = record(lane, version);
  await tier.putMany(ids.map(id => ({ key: storageKey(VIEW.uid, id), value, version: version as never })));
}

const idsFrom = (first: number, count: number) =>
  Array.from({ length: count }, (_, n) => `id-${String(first + n).padStart(5, '0')}`);
const listOf = (ids: readonly string[], uid = VIEW.uid) => ids.map(id => storageKey(uid, id));
const cached = ({ cache }: Lane) => [...cache.kept.keys()].map(name => name.slice(`${VIEW.slot}/`.length));

function warmingOf(lane: Lane, keys: readonly Uint8Array[], given: Partial<WarmingParts> = {}) {
  const told: WarmingProgress[] = [];
  const rests: number[] = [];
  const warming = new Warming({
    ...lane,
    lists: { count: keys.length, entries: () => keys.map((key, n) => ({ key, heat: n % 200 })) },
    lane: 0,
    lanes: 1,
    rate: 1e6,
    isWhole: () => true,
    epoch: () => 0,
    pause: async () => undefined,
    rest: async ms => {
      rests.push(ms);
      lane.clock.advance(ms);
    },
    onProgress: progress => told.push(progress),
    ...given,
  });
  return { warming, told, rests };
}

function open(isShared = false) {
  const tier = new SlowTier();
  return { tier, lane: laneOver([tier], isShared) };
}

describe('warming', () => {
  it('reads in bulk, in the order of the list, into the table', async () => {
    const { tier, lane } = open();
    const ids = idsFrom(0, 1_000).reverse();
    await fill(lane, tier, ids);
    const { warming } = warmingOf(lane, listOf(ids));
    expect(await warming.run()).toBe('done');
    expect(tier.batches.flat()).toEqual(ids);
    expect(tier.batches.length).toBe(Math.ceil(1_000 / 64));
    expect(cached(lane)).toEqual(ids);
    expect([...lane.cache.heats.values()]).toEqual(ids.map((_, n) => n % 200));
    expect(warming.progress).toEqual({ done: 1_000, of: 1_000, added: 1_000 });
  });

  it('keeps its rate, and makes up for little of what it was late', async () => {
    const { tier, lane } = open();
    const ids = idsFrom(0, 6_400);
    await fill(lane, tier, ids);
    const { warming } = warmingOf(lane, listOf(ids), { rate: 1_000 });
    const began = lane.clock.now();
    await warming.run();
    // The last batch is not waited for.
    expect(lane.clock.now() - began).toBeCloseTo(6_336, 0);

    // A store that takes 10 s for one batch is not asked for 10 s' worth at once.
    lane.cache.kept.clear();
    let batches = 0;
    tier.during = () => {
      if (++batches === 10) lane.clock.advance(10_000);
    };
    const late = warmingOf(lane, listOf(ids), { rate: 1_000 });
    const beganLate = lane.clock.now();
    await late.warming.run();
    expect(lane.clock.now() - beganLate).toBeGreaterThan(10_000 + 90 * 64 - 50 - 65);
  });

  it('takes only its own keys, and counts those of dropped views once among all lanes', async () => {
    const { tier, lane } = open();
    await fill(lane, tier, ['a', 'b', 'other-a']);
    const keys = [...listOf(['a', 'other-a', 'b']), ...listOf(idsFrom(0, 100), 99), Buffer.from('x')];
    let done = 0;
    for (const [number, lanes] of [
      [0, 2],
      [1, 2],
    ] as const) {
      const { warming } = warmingOf(lane, keys, { lane: number, lanes });
      expect(await warming.run()).toBe('done');
      done += warming.progress.done;
      expect(tier.batches.flat()).toEqual(['a', 'b']);
    }
    expect(cached(lane)).toEqual(['a', 'b']);
    // Both have counted a and b here, as the fixture's cache owns the same keys in every lane.
    expect(done).toBe(2 * 2 + 101);
  });

  it('does not touch what traffic has brought, and ends when there is no room', async () => {
    const { tier, lane } = open();
    const ids = idsFrom(0, 1_000);
    await fill(lane, tier, ids);
    const [first = ''] = ids;
    const newer = record(lane, 9);
    lane.cache.put(VIEW.slot, first, newer);
    lane.cache.put(VIEW.slot, 'traffic', newer);
    lane.cache.entriesMax = 502;
    const { warming } = warmingOf(lane, listOf(ids));
    expect(await warming.run()).toBe('full');
    expect(cached(lane)).toEqual([first, 'traffic', ...ids.slice(1, 501)]);
    expect(lane.cache.get(VIEW.slot, first)).toEqual(newer);
    // The batch that filled it was the last.
    expect(tier.asked).toBe(Math.ceil(500 / 64) * 64);
  });

  it('does not keep what changed while it was read, nor of a view dropped meanwhile', async () => {
    const { tier, lane } = open(true);
    lane.coherence.restored();
    await fill(lane, tier, ['changed', 'kept']);
    tier.during = () => lane.coherence.keysChanged([storageKey(VIEW.uid, 'changed')]);
    await warmingOf(lane, listOf(['changed', 'kept'])).warming.run();
    expect(cached(lane)).toEqual(['kept']);
    lane.cache.kept.clear();
    tier.during = () => lane.views.forget(VIEW.uid);
    await warmingOf(lane, listOf(['kept'])).warming.run();
    expect(cached(lane)).toEqual([]);
  });

  it('keeps deletions, and neither what has expired nor what is damaged', async () => {
    const { tier, lane } = open();
    const now = lane.clock.now();
    const put = (id: string, value: Uint8Array) =>
      tier.putMany([{ key: storageKey(VIEW.uid, id), value, version: 1 as never }]);
    await put('deleted', encodeTombstone(1 as never, now, now + 1e6));
    await put('expired', encodeTombstone(1 as never, now - 10, now));
    const damaged = record(lane, 1);
    damaged[damaged.length - 1] = (damaged[damaged.length - 1] ?? 0) ^ 1;
    await put('damaged', damaged);
    const { warming } = warmingOf(lane, listOf(['deleted', 'expired', 'damaged', 'never-was']));
    expect(await warming.run()).toBe('done');
    expect(cached(lane)).toEqual(['deleted']);
    expect(lane.chain.corrupt).toBe(1);
  });

  it('waits until changes are told of, and begins again when the table was emptied', async () => {
    const { tier, lane } = open(true);
    const ids = idsFrom(0, 300);
    await fill(lane, tier, ids);
    let epoch = 1;
    let waits = 0;
    tier.during = () => {
      // Another lane hears of changes only now.
      if (tier.batches.length !== 3) return;
      lane.cache.kept.clear();
      epoch++;
    };
    const { warming } = warmingOf(lane, listOf(ids), {
      isWhole: () => lane.coherence.isWhole,
      epoch: () => epoch,
      rest: async () => {
        expect(tier.batches).toEqual([]);
        if (++waits === 5) lane.coherence.restored();
      },
    });
    expect(await warming.run()).toBe('done');
    expect(waits).toBe(5);
    expect(cached(lane).sort()).toEqual(ids);
    expect(warming.progress.done).toBe(300);
  });

  it('gives up on a store that does not answer, and not for one failure', async () => {
    const { tier, lane } = open();
    const ids = idsFrom(0, 3_000);
    await fill(lane, tier, ids);
    const failWhile = (fails: () => boolean) => {
      tier.during = () => {
        if (fails()) throw new Error('the store is away');
      };
    };
    failWhile(() => tier.batches.length % 10 !== 0);
    const { warming } = warmingOf(lane, listOf(ids));
    expect(await warming.run()).toBe('done');
    expect(lane.cache.kept.size).toBe(4 * 64);
    lane.cache.kept.clear();
    failWhile(() => true);
    const { warming: hopeless, rests } = warmingOf(lane, listOf(ids));
    const before = tier.batches.length;
    expect(await hopeless.run()).toBe('unavailable');
    expect(tier.batches.length - before).toBe(11);
    expect(rests.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThanOrEqual(11 * 500);
  });

  it('stops when told to, and tells how far it has come now and then', async () => {
    const { tier, lane } = open();
    const ids = idsFrom(0, 6_400);
    await fill(lane, tier, ids);
    const { warming, told } = warmingOf(lane, listOf(ids), { rate: 1_000 });
    tier.during = () => {
      if (tier.batches.length === 50) warming.stop();
    };
    expect(await warming.run()).toBe('stopped');
    expect(tier.batches.length).toBe(50);
    expect(told.length).toBeGreaterThan(8);
    expect(told.length).toBeLessThan(20);
    expect(told.at(-1)).toMatchObject({ of: 6_400 });
  });
});
