/** A tier above the store of record that could not take what was written: what it has is not served, and put right. */
import { beforeEach, expect, it } from 'vitest';
import { type Tier, TierRefusal, type TierWrite } from '../../src/base/tier.js';
import { Amends } from '../../src/resolve/amends.js';
import { TierChain } from '../../src/resolve/chain.js';
import { RecordInspector } from '../../src/resolve/record-inspector.js';
import { MapTier } from '../resolve/fixture.js';
import { recordWrite } from '../support/mongo-fixture.js';

const [old, recent, newest] = [1, 2, 3].map(version => recordWrite('a', version)) as [
  TierWrite,
  TierWrite,
  TierWrite,
];
const keys = [old.key];

/** A cache that fails writes as it is told. */
class FailingTier extends MapTier {
  failure: Error | undefined;

  override async putMany(writes: readonly TierWrite[]) {
    if (this.failure !== undefined) throw this.failure;
    return super.putMany(writes);
  }
}

let upper: FailingTier;
let record: MapTier;
let amends: Amends;
let chain: TierChain;

beforeEach(async () => {
  const inspector = new RecordInspector();
  upper = new FailingTier();
  record = new MapTier();
  amends = new Amends({ tier: upper, record, inspector });
  chain = new TierChain([{ tier: upper }, { tier: record }] satisfies { tier: Tier }[], inspector, {
    onMissed: (_, missed) => amends.owe(missed),
    isMissed: (_, key) => amends.owes(key),
  });
  await chain.putMany([old]);
});

const read = async () => {
  // What is found is not kept: only the amends may put the tier right.
  const options = { nowMs: Date.now(), deadlineMs: Number.POSITIVE_INFINITY, mayKeep: () => false };
  return (await chain.getMany(keys, options))[0];
};

it('is not asked for what it missed, until it has it', async () => {
  upper.failure = new Error('away');
  await chain.putMany([recent]);
  expect(upper.getMany(keys)).toEqual([old.value]);
  expect(await read()).toEqual(recent.value);
  await amends.run();
  expect(amends.size).toBe(1);
  upper.failure = undefined;
  // It is back, with what it had.
  expect(await read()).toEqual(recent.value);
  await amends.run();
  expect(amends.size).toBe(0);
  expect(upper.getMany(keys)).toEqual([recent.value]);
  const asked = record.asked;
  expect(await read()).toEqual(recent.value);
  expect(record.asked).toBe(asked);
});

it('loses what it refuses to replace', async () => {
  upper.failure = new TierRefusal('out of memory');
  await chain.putMany([recent]);
  await amends.run();
  expect(amends.size).toBe(0);
  expect(upper.getMany(keys)).toEqual([undefined]);
  expect(await read()).toEqual(recent.value);
});

it('is owed what it missed while it was put right', async () => {
  upper.failure = new Error('away');
  await chain.putMany([recent]);
  const getMany = record.getMany.bind(record);
  record.getMany = asked => {
    const values = getMany(asked);
    upper.failure = undefined;
    amends.owe(asked);
    record.getMany = getMany;
    void record.putMany([newest]);
    return values;
  };
  await amends.run();
  expect([amends.size, upper.getMany(keys)]).toEqual([0, [newest.value]]);
});

it('is owed all of many, a step at a time, and each once', async () => {
  upper.failure = new Error('away');
  const writes = Array.from({ length: 1_000 }, (_, n) => recordWrite(`doc-${n}`, 1));
  await chain.putMany(writes);
  await chain.putMany(writes.map((_, n) => recordWrite(`doc-${n}`, 2)));
  expect(amends.size).toBe(1_000);
  upper.failure = undefined;
  await Promise.all([amends.run(), amends.run()]);
  expect(amends.size).toBe(0);
  expect(upper.kept.size).toBe(1_001);
});
