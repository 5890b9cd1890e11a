/** The chain over several tiers: who is written when, what is copied where, and what becomes of a tier that missed it. */
import { expect, it } from 'vitest';
import { type Tier, TierRefusal, type TierWrite } from '../../src/base/tier.js';
import { Amends } from '../../src/resolve/amends.js';
import { TierChain } from '../../src/resolve/chain.js';
import { RecordInspector } from '../../src/resolve/record-inspector.js';
import { ChaosTier } from '../tiers/chaos-tier.js';
import { write } from '../tiers/tier-suite.js';
import { MapTier } from './fixture.js';

const NOW = 1_700_000_000_000;
const inspector = new RecordInspector();

function open() {
  const [upper, record] = [new ChaosTier(new MapTier()), new ChaosTier(new MapTier())];
  const missed: string[] = [];
  const chain = new TierChain([{ tier: upper }, { tier: record }], inspector, {
    onMissed: (tier, keys) => missed.push(`${tier} ${keys.length}`),
  });
  return { upper, record, chain, missed };
}

const asked = { nowMs: NOW, deadlineMs: Number.POSITIVE_INFINITY, mayKeep: () => true };
const held = async (tier: Tier, item: TierWrite) => (await tier.getMany([item.key]))[0];

it('writes to the store of record first, and answers when the tier above has it too', async () => {
  const { upper, record, chain } = open();
  upper.isHeld = true;
  record.isHeld = true;
  let isDone = false;
  const put = chain.putMany([write('a', 1)]).then(() => {
    isDone = true;
  });
  expect([record.writes, upper.writes]).toEqual([1, 0]);
  record.isHeld = false;
  record.release();
  while (upper.writes === 0) await Promise.resolve();
  expect(isDone).toBe(false);
  upper.isHeld = false;
  upper.release();
  await put;
  expect(await held(upper, write('a', 1))).toEqual(write('a', 1).value);
});

it('says that the store of record has a write before the copies of it go', async () => {
  const events: string[] = [];
  class Noting extends MapTier {
    readonly #place: string;

    constructor(place: string) {
      super();
      this.#place = place;
    }

    override putMany(writes: readonly TierWrite[]) {
      events.push(`${this.#place} put`);
      return super.putMany(writes);
    }

    override deleteMany(keys: readonly Uint8Array[]) {
      events.push(`${this.#place} delete`);
      return super.deleteMany(keys);
    }
  }
  const copies = { tier: new Noting('copies'), era: () => 1 };
  const chain = new TierChain([copies, { tier: new Noting('record') }], inspector);
  await chain.putMany([write('a', 1)], () => events.push('stored'));
  expect(events).toEqual(['record put', 'stored', 'copies delete']);
});

it('succeeds when only the tier above fails, and says what that missed', async () => {
  const { upper, record, chain, missed } = open();
  upper.failWrites = true;
  expect(await chain.putMany([write('a', 1), write('b', 1)])).toEqual([null, null]);
  expect([missed, chain.failures]).toEqual([['lmdb 2'], 1]);
  expect(await held(record, write('a', 1))).toBeDefined();
});

it('fails when the store of record does, and says that what is above it may be old', async () => {
  const { upper, record, chain, missed } = open();
  record.failWrites = true;
  await expect(chain.putMany([write('a', 1)])).rejects.toMatchObject({ code: 'unavailable' });
  expect([missed, upper.writes]).toEqual([['lmdb 1'], 0]);
});

it('leaves alone what the store of record did not take', async () => {
  const { upper, chain } = open();
  await chain.putMany([write('a', 5)]);
  expect(await chain.putMany([write('a', 4)])).toEqual([5]);
  expect(upper.writes).toBe(1);
});

it('copies upward what it found, but nothing that has changed since it was asked for', async () => {
  const { upper, record, chain } = open();
  const [a, b] = [write('a', 1), write('b', 1)];
  await record.putMany([a, b]);
  const found = await chain.getMany([a.key, b.key], { ...asked, mayKeep: place => place === 0 });
  expect(found).toEqual([a.value, b.value]);
  expect([await held(upper, a), await held(upper, b)]).toEqual([a.value, undefined]);
});

it('amends what a tier missed when it is back: what is there is put, what is gone is removed', async () => {
  const { upper, record } = open();
  const amends = new Amends({ tier: upper, record, inspector });
  const [old, current, gone] = [write('a', 1), write('a', 2), write('b', 1)];
  await upper.putMany([old, gone]);
  await record.putMany([current]);
  amends.owe([old.key, gone.key]);
  upper.failReads = true;
  await amends.run();
  expect([amends.size, record.reads]).toEqual([2, 0]);
  upper.failReads = false;
  await amends.run();
  expect(amends.size).toBe(0);
  expect([await held(upper, current), await held(upper, gone)]).toEqual([current.value, undefined]);
});

it('removes from a tier that refuses what is new, as one out of memory, what is old there', async () => {
  const { upper, record } = open();
  class FullTier extends ChaosTier {
    override putMany(): Promise<never> {
      return Promise.reject(new TierRefusal('it is out of memory'));
    }
  }
  const amends = new Amends({ tier: new FullTier(upper), record, inspector });
  const [old, current] = [write('a', 1), write('a', 2)];
  await upper.putMany([old]);
  await record.putMany([current]);
  amends.owe([old.key]);
  await amends.run();
  expect([await held(upper, old), amends.size]).toEqual([undefined, 0]);
});

it('owes a bounded number of keys, and gives up the oldest', async () => {
  const { upper, record } = open();
  const amends = new Amends({ tier: upper, record, inspector, keysMax: 300 });
  const writes = Array.from({ length: 400 }, (_, n) => write(`n${n}`, 1));
  await record.putMany(writes);
  amends.owe(writes.map(({ key }) => key));
  // Owed anew, it is no longer the oldest.
  amends.owe([writes[100] as TierWrite].map(({ key }) => key));
  amends.owe([write('last', 1).key]);
  expect([amends.size, amends.forgotten]).toEqual([300, 101]);
  await amends.run();
  expect(await held(upper, writes[100] as TierWrite)).toBeDefined();
  expect(await held(upper, writes[101] as TierWrite)).toBeUndefined();
  expect(await held(upper, writes[102] as TierWrite)).toBeDefined();
});
