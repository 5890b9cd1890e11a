/** Copies of which nobody told for a while, when somebody does again: what stays, what goes, and when it is not known yet. */
import { expect, it } from 'vitest';
import { idOfStorageKey, storageKey } from '../../src/base/keys.js';
import { Review } from '../../src/resolve/review.js';
import { recordVersion } from '../../src/views/record-codec.js';
import { recordWrite } from '../support/mongo-fixture.js';
import { laneOver, MapTier, VIEW } from './fixture.js';

function open() {
  const tier = new MapTier();
  const lane = laneOver([tier], true);
  const { cache, coherence } = lane;
  const rests: (() => void)[] = [];
  let reviewed = 0;
  coherence.reviewed = () => {
    reviewed++;
  };
  const review = new Review({
    ...lane,
    pause: async () => undefined,
    rest: () => new Promise(resolve => rests.push(resolve)),
  });
  const packed = (id: string, version: number) => recordWrite(id, version).value;
  return {
    ...lane,
    tier,
    review,
    rests,
    isReviewed: () => reviewed > 0,
    cached: (id: string, version: number) => cache.put(VIEW.slot, id, packed(id, version)),
    stored: (id: string, version: number) =>
      tier.putMany([{ ...recordWrite(id, version), key: storageKey(VIEW.uid, id) }]),
    shown: () => [...cache.kept].map(([name, value]) => `${name.slice(2)} ${recordVersion(value)}`).sort(),
  };
}

it('keeps what the store has, takes what is newer there, drops what is gone and what nobody used', async () => {
  const { review, cache, cached, stored, shown, isReviewed, tier, coherence } = open();
  for (const id of ['same', 'newer', 'gone', 'unused', 'back']) cached(id, 2);
  const same = cache.get(VIEW.slot, 'same');
  cache.unused.add('unused');
  await Promise.all([stored('same', 2), stored('newer', 3), stored('unused', 2), stored('back', 1)]);
  coherence.restored();
  await review.run();
  expect(shown()).toEqual(['back 1', 'newer 3', 'same 2']);
  expect(cache.get(VIEW.slot, 'same')).toBe(same);
  expect([isReviewed(), tier.asked]).toEqual([true, 4]);
});

it('serves a copy on while the store does not answer, and asks again', async () => {
  const { review, cached, stored, shown, isReviewed, rests, tier, coherence } = open();
  cached('a', 1);
  await stored('a', 2);
  const getMany = tier.getMany.bind(tier);
  tier.getMany = () => {
    throw new Error('away');
  };
  coherence.restored();
  const running = review.run();
  await until(() => rests.length === 1);
  expect([shown(), isReviewed()]).toEqual([['a 1'], false]);
  tier.getMany = getMany;
  rests.shift()?.();
  await running;
  expect([shown(), isReviewed()]).toEqual([['a 2'], true]);
});

it('reads a key again that changed while it was read', async () => {
  const { review, cached, stored, shown, rests, tier, coherence } = open();
  cached('a', 1);
  await stored('a', 1);
  const getMany = tier.getMany.bind(tier);
  tier.getMany = keys => {
    const values = getMany(keys);
    // As a write of this lane does.
    for (const key of keys) coherence.changedHere(VIEW.uid, idOfStorageKey(key));
    cached('a', 3);
    return values;
  };
  coherence.restored();
  const running = review.run();
  await until(() => rests.length === 1);
  expect(shown()).toEqual(['a 3']);
  tier.getMany = getMany;
  await stored('a', 3);
  rests.shift()?.();
  await running;
  expect(shown()).toEqual(['a 3']);
});

it.each(['lost', 'everythingChanged', 'close'] as const)(
  'ends when there is nothing to review (%s)',
  async event => {
    const { review, cached, isReviewed, rests, tier, coherence } = open();
    cached('a', 1);
    tier.getMany = () => {
      throw new Error('away');
    };
    coherence.restored();
    const running = review.run();
    await until(() => rests.length === 1);
    const asked = tier.asked;
    coherence[event]();
    const before = isReviewed();
    rests.shift()?.();
    await running;
    expect([tier.asked, isReviewed()]).toEqual([asked, before]);
  },
);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve));
}
