/** How often the catalog is read when it may have changed. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { openLog } from '../../src/observe/log.js';
import { refresher } from '../../src/views/refresher.js';

/** Views whose reading ends when the test says so, or fails. */
function open() {
  const ends: ((failure?: Promise<never>) => void)[] = [];
  const views = {
    readings: 0,
    refresh() {
      views.readings++;
      return new Promise<void>(resolve => ends.push(resolve));
    },
    declareBuiltIn: async () => undefined,
  };
  const end = async (failure?: Promise<never>) => {
    ends.shift()?.(failure);
    for (let turn = 0; turn < 4; turn++) await nextTurn();
  };
  return { views, end, ...refresher(views, openLog('silent')) };
}

it('it is read once for all news that come before the reading begins', async () => {
  const { views, refresh, end, stop } = open();
  for (let news = 0; news < 100; news++) refresh();
  await end();
  expect(views.readings).toBe(1);
  await end();
  expect(views.readings).toBe(1);
  stop();
});

it('it is read once more for all news that come while it is being read, and never twice at once', async () => {
  const { views, refresh, end, stop } = open();
  refresh();
  await nextTurn();
  for (let news = 0; news < 100; news++) {
    refresh();
    await nextTurn();
  }
  expect(views.readings).toBe(1);
  await end();
  expect(views.readings).toBe(2);
  await end();
  expect(views.readings).toBe(2);
  refresh();
  await nextTurn();
  await end();
  expect(views.readings).toBe(3);
  stop();
});

it('it is not read any more once that is over, also when the last reading failed', async () => {
  const { views, refresh, end, stop } = open();
  refresh();
  await nextTurn();
  refresh();
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  try {
    stop();
    await end(Promise.reject(new Error('the lanes are closed')));
    refresh();
    vi.advanceTimersByTime(60_000);
  } finally {
    vi.useRealTimers();
  }
  await end();
  expect(views.readings).toBe(1);
});
