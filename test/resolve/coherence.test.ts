import { expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { Coherence, keyName } from '../../src/resolve/coherence.js';
import { LaneViews } from '../../src/resolve/lane-views.js';
import { NegativeEntries } from '../../src/resolve/negative-entries.js';
import { Untold, untoldMemory } from '../../src/resolve/untold.js';
import { MapCache, VIEW } from './fixture.js';

const EXPIRES = Number.MAX_SAFE_INTEGER;

function open(isShared = true, staleMaxMs = 1_000, memory = untoldMemory(1), clock = new ManualClock()) {
  const cache = new MapCache();
  const views = new LaneViews();
  views.declare(VIEW);
  const negative = new NegativeEntries();
  const done: string[] = [];
  const timers: ((() => void) & { readonly ms: number })[] = [];
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
    untold: new Untold(memory, 0),
    review: () => done.push('review'),
    later: (ms, run) => {
      const timer = Object.assign(run, { ms });
      timers.push(timer);
      return () => timers.splice(timers.indexOf(timer), 1);
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
  expect([done, timers.map(({ ms }) => ms)]).toEqual([[], [1_000]]);
  coherence.restored();
  coherence.reviewed();
  done.length = 0;
  coherence.lost();
  coherence.lost();
  expect([done, timers.map(({ ms }) => ms)]).toEqual([[], [1_000]]);
  timers[0]?.();
  expect([done, timers]).toEqual([EVERYTHING, []]);
});

it('has the table reviewed when changes are told of again, and drops the rest', () => {
  const { coherence, done, timers } = open();
  coherence.restored();
  expect([done, timers.length]).toEqual([['flights', 'era', 'review'], 1]);
  coherence.reviewed();
  expect(timers).toEqual([]);
});

it('drops everything in time when it was not reviewed, however often changes were told of', () => {
  const { coherence, clock, done, timers } = open();
  for (let loss = 0; loss < 3; loss++) {
    clock.advance(100);
    coherence.restored();
    clock.advance(100);
    coherence.lost();
  }
  expect(timers.map(({ ms }) => ms)).toEqual([1_000]);
  done.length = 0;
  timers[0]?.();
  expect(done).toEqual(EVERYTHING);
});

it('counts the time on that began with a thread that has died', () => {
  const memory = untoldMemory(1);
  const { clock } = open(true, 1_000, memory);
  clock.advance(300);
  const second = open(true, 1_000, memory, clock);
  expect(second.timers.map(({ ms }) => ms)).toEqual([700]);
  second.coherence.restored();
  clock.advance(300);
  const third = open(true, 1_000, memory, clock);
  expect(third.timers.map(({ ms }) => ms)).toEqual([400]);
  third.coherence.restored();
  third.coherence.reviewed();
  clock.advance(300);
  expect(open(true, 1_000, memory, clock).timers.map(({ ms }) => ms)).toEqual([1_000]);
});

it('drops everything at once where nothing stale may be served', () => {
  const { coherence, done, timers, clock } = open(true, 0);
  coherence.restored();
  done.length = 0;
  coherence.lost();
  expect([done, timers.length, coherence.servedUntil(EXPIRES)]).toEqual([EVERYTHING, 0, clock.now()]);
});
