/** Saving hot keys: what is saved, when nothing is, and how it ends. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { LaneViews } from '../../src/resolve/lane-views.js';
import { HotKeySaver, type HotKeySaverParts } from '../../src/resolve/warm-save.js';
import { VIEW } from './fixture.js';

function open(given: Partial<HotKeySaverParts> = {}) {
  const views = new LaneViews();
  views.declare(VIEW);
  const saved: string[][] = [];
  const errors: unknown[] = [];
  const saver = new HotKeySaver({
    scan: () => scanOf(true),
    list: {
      save: async entries => {
        saved.push([...entries].map(({ key, heat }) => `${Buffer.from(key).toString('latin1')} ${heat}`));
        return saved.at(-1)?.length ?? 0;
      },
    },
    views,
    isSettled: () => true,
    pause: nextTurn,
    onError: error => errors.push(error),
    ...given,
  });
  return { saver, saved, errors };
}

function scanOf(hasUses: boolean) {
  let steps = 0;
  const keys = [
    { slot: VIEW.slot, id: Buffer.from('a'), heat: 9 },
    { slot: 7, id: Buffer.from('of a view that is not there'), heat: 3 },
    { slot: VIEW.slot, id: Buffer.from('é'), heat: 1 },
  ];
  return { step: () => ++steps === 5, hasUses, keys: () => keys };
}

test('keys are saved by the uid of their view, in order; those of other views are left out', async () => {
  const { saver, saved } = open();
  expect(await saver.save()).toBe(2);
  expect(saved).toEqual([['\0\0\0\x03a 9', '\0\0\0\x03Ã© 1']]);
});

test('the old list stays while the table is being filled or emptied, and when nothing was used', async () => {
  const { saver, saved } = open({ isSettled: () => false });
  expect(await saver.save()).toBeUndefined();
  let asked = 0;
  const emptied = open({ isSettled: () => asked++ === 0 });
  expect(await emptied.saver.save()).toBeUndefined();
  const idle = open({ scan: () => scanOf(false) });
  expect(await idle.saver.save()).toBeUndefined();
  expect([...saved, ...emptied.saved, ...idle.saved]).toEqual([]);
});

test('one saving at a time; an error is told, and the next one may do', async () => {
  let fails = true;
  let begun = 0;
  const { saver, errors } = open({
    list: {
      save: async () => {
        begun++;
        if (fails) throw new Error('the disk is full');
        return 3;
      },
    },
  });
  expect(await Promise.all([saver.save(), saver.save()])).toEqual([undefined, undefined]);
  expect(begun).toBe(1);
  expect(errors).toEqual([new Error('the disk is full')]);
  fails = false;
  expect(await saver.save()).toBe(3);
});

test('closing gives up what is under way, saves once more, and does not wait for ever', async () => {
  const signals: AbortSignal[] = [];
  const { saver, errors } = open({
    list: {
      save: (_, signal) => {
        signals.push(signal);
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      },
    },
  });
  const under = saver.save();
  await expect.poll(() => signals.length).toBe(1);
  await saver.close(20);
  expect(await under).toBeUndefined();
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  expect(errors).toEqual([]);
});
