import { expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { Coherence, keyName } from '../../src/resolve/coherence.js';
import { LaneViews } from '../../src/resolve/lane-views.js';
import { NegativeEntries } from '../../src/resolve/negative-entries.js';
import { MapCache, VIEW } from './fixture.js';

const EXPIRES = Number.MAX_SAFE_INTEGER;

function open(isShared = true, staleMaxMs = 1_000) {
  const clock = new ManualClock();
  const cache = new MapCache();
  const views = new LaneViews();
  views.declare(VIEW);
  const negative = new NegativeEntries();
  const done: string[] = [];
  const timers: (() => void)[] = [];
  const coherence = new Coherence({
    views,
    cache,
    negative,
    flights: { forget: name => done.push(`flight ${name}`), forgetAll: () => done.push('flights') },
    copies: {
      era: 0,
      newEra: () => done.push('era'),
      deleteMany: async keys => {
        done.push(`copies ${keys.length}`);
      },
    },
    emptySlot: slot => done.push(`slot ${slot}`),
    clock,
    isShared,
    staleMaxMs,
    later: (ms, run) => {
      expect(ms).toBe(staleMaxMs);
      timers.push(run);
      return () => timers.splice(timers.indexOf(run), 1);
    },
  });
  return { coherence, clock, cache, negative, done, timers };
}

const EVERYTHING = ['flights', 'era', `slot ${VIEW.slot}`];

it('serves for as long as a record lives where nobody else writes, or all changes are told of', () => {
  const { coherence: alone } = open(false);
  expect([alone.isWhole, alone.servedUntil(EXPIRES)]).toEqual([true, EXPIRES]);
  alone.lost();
  expect(alone.servedUntil(EXPIRES)).toBe(EXPIRES);
  const { coherence, clock } = open();
  expect([coherence.isWhole, coherence.servedUntil(EXPIRES)]).toEqual([false, clock.now() + 1_000]);
  expect(coherence.servedUntil(clock.now() + 5)).toBe(clock.now() + 5);
  coherence.restored();
  expect([coherence.isWhole, coherence.servedUntil(EXPIRES)]).toEqual([true, EXPIRES]);
});

it('drops what changed elsewhere, of this lane and of views it knows', () => {
  const { coherence, cache, negative, done } = open();
  const before = negative.begin(keyName(VIEW.uid, 'a'));
  cache.kept.set(`${VIEW.slot}/a`, new Uint8Array(0));
  cache.kept.set(`${VIEW.slot}/other`, new Uint8Array(0));
  const keys = [storageKey(VIEW.uid, 'a'), storageKey(VIEW.uid, 'other'), storageKey(99, 'a')];
  coherence.keysChanged(keys);
  expect([...cache.kept.keys()]).toEqual([`${VIEW.slot}/other`]);
  expect(done).toEqual([`flight ${keyName(VIEW.uid, 'a')}`, 'copies 1']);
  // What was asked for before must not be kept.
  expect(negative.isGood(keyName(VIEW.uid, 'a'), before)).toBe(false);
});

it('serves what it has for a while after a loss, then drops everything', () => {
  const { coherence, done, timers } = open();
  // Also what a thread finds when it begins.
  expect([done, timers.length]).toEqual([[], 1]);
  coherence.restored();
  done.length = 0;
  coherence.lost();
  coherence.lost();
  expect([done, timers.length]).toEqual([[], 1]);
  timers[0]?.();
  expect(done).toEqual(EVERYTHING);
});

it('drops everything when changes are told of again, and not once more for the loss before', () => {
  const { coherence, done, timers } = open();
  coherence.restored();
  coherence.lost();
  done.length = 0;
  coherence.restored();
  expect([done, timers.length]).toEqual([EVERYTHING, 0]);
});

it('drops everything at once where nothing stale may be served', () => {
  const { coherence, done, timers, clock } = open(true, 0);
  coherence.restored();
  done.length = 0;
  coherence.lost();
  expect([done, timers.length, coherence.servedUntil(EXPIRES)]).toEqual([EVERYTHING, 0, clock.now()]);
});
