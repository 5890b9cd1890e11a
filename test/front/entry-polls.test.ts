/** How often what somebody waits for is looked at. */
import { expect, it } from 'vitest';
import { EntryPolls } from '../../src/front/entry-polls.js';

/** Watches so many keys, each awaited for so many looks, of which the first fails: the pauses, in order. */
async function pausesOf(keys: number, looks: number): Promise<readonly number[]> {
  const pauses: number[] = [];
  let over = 0;
  let end = () => {};
  const ended = new Promise<void>(resolve => {
    end = resolve;
  });
  const polls = new EntryPolls(async ms => {
    pauses.push(ms);
  });
  for (let key = 0; key < keys; key++) {
    let left = looks;
    const isAwaited = () => {
      if (left > 0) return true;
      if (++over === keys) end();
      return false;
    };
    const look = async () => {
      if (left-- === looks) throw new Error('the store is away');
    };
    // However many wait for it, it is watched once.
    for (let waiter = 0; waiter < 3; waiter++) polls.watch(`key ${key}`, { isAwaited, look });
  }
  await ended;
  return pauses;
}

it('is less and less, also after a look that failed, and not any more when nobody waits', async () => {
  expect(await pausesOf(1, 6)).toEqual([20, 40, 80, 160, 200, 200, 200]);
});

it('is the more seldom the more keys there are', async () => {
  const pauses = await pausesOf(1_000, 2);
  expect(pauses.length).toBe(3 * 1_000);
  expect(pauses.slice(1_000)).toEqual(new Array(2_000).fill(1_000));
});
