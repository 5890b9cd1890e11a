/** The checker on histories made by hand: what it must find, and what it must leave alone. */
import { expect, test } from 'vitest';
import {
  type Bound,
  type DeleteEvent,
  findFaults,
  type HistoryEvent,
  lags,
  type ReadEvent,
  showFault,
  type WriteEvent,
} from './history.js';

const BOUND: Bound = { ownMs: 0, backMs: 0, othersMs: 100 };
const LONG_MS = 1_000_000;

/** From `beginMs` for 10 ms, as version `n`, on server 0. */
function write(n: number, beginMs: number, more: Partial<WriteEvent> = {}): WriteEvent {
  const times = { beginMs, endMs: beginMs + 10 };
  return {
    kind: 'write',
    server: 0,
    key: 'k',
    n,
    version: n,
    ttlMs: LONG_MS,
    outcome: 'applied',
    ...times,
    ...more,
  };
}

function remove(beginMs: number, more: Partial<DeleteEvent> = {}): DeleteEvent {
  return { kind: 'delete', server: 0, key: 'k', outcome: 'applied', beginMs, endMs: beginMs + 10, ...more };
}

/** Of version `n`, or of nothing. */
function read(server: number, n: number | undefined, beginMs: number): ReadEvent {
  const found = n === undefined ? undefined : { n, version: n, isWhole: true };
  return { kind: 'read', server, key: 'k', found, beginMs, endMs: beginMs + 10 };
}

const kinds = (...history: HistoryEvent[]) => findFaults(history, BOUND).map(({ kind }) => kind);

test.each<[string, readonly HistoryEvent[], string]>([
  [
    'an older version on the server that acknowledged the newer',
    [write(1, 0), write(2, 20), read(0, 1, 30)],
    'stale',
  ],
  ['an older version elsewhere, past the bound', [write(1, 0), write(2, 20), read(1, 1, 130)], 'stale'],
  ['a server that goes back', [write(1, 0), write(2, 20), read(1, 2, 40), read(1, 1, 60)], 'stale'],
  [
    'a server behind what another showed of an unanswered write',
    [write(1, 0), write(2, 20, { outcome: 'unknown' }), read(0, 2, 40), read(1, 1, 150)],
    'stale',
  ],
  [
    'a deleted record on the server that deleted it',
    [write(1, 0), remove(20), read(0, 1, 30)],
    'resurrected',
  ],
  ['a deleted record elsewhere, past the bound', [write(1, 0), remove(20), read(1, 1, 130)], 'resurrected'],
  ['an acknowledged record that is not there', [write(1, 0), read(0, undefined, 10)], 'lost'],
  ['one that is not there elsewhere, past the bound', [write(1, 0), read(1, undefined, 110)], 'lost'],
  [
    'one that is absent after having been shown',
    [write(1, 0), read(1, 1, 20), read(1, undefined, 40)],
    'lost',
  ],
  [
    'one whose deletion was over before it was written',
    [remove(0), write(1, 20), read(1, undefined, 130)],
    'lost',
  ],
  ['a record past its time', [write(1, 0, { ttlMs: 50 }), read(0, 1, 70)], 'expired'],
  [
    'an older version after an expiry, written before it',
    [write(1, 0), write(2, 20, { ttlMs: 50 }), read(0, 1, 130)],
    'stale',
  ],
  [
    'a mixture of two records',
    [write(1, 0), { ...read(0, 1, 20), found: { n: 1, version: 1, isWhole: false } }],
    'torn',
  ],
  ['a record that nobody wrote', [write(1, 0), read(0, 2, 20)], 'never-written'],
  ['a record before it was written', [read(0, 1, 0), write(1, 20)], 'never-written'],
  ['a record that was refused', [write(1, 0, { outcome: 'refused' }), read(0, 1, 20)], 'refused-but-served'],
  [
    'a record under a version of another',
    [write(1, 0), { ...read(0, 1, 20), found: { n: 1, version: 7, isWhole: true } }],
    'wrong-version',
  ],
])('finds %s', (_, history, kind) => {
  const faults = findFaults(history, BOUND);
  expect(faults.map(fault => fault.kind)).toEqual([kind]);
  for (const fault of faults) expect(showFault(fault)).toContain(kind);
});

test.each<[string, readonly HistoryEvent[]]>([
  ['what is current', [write(1, 0), write(2, 20), read(0, 2, 30), read(1, 2, 130)]],
  ['what lags within the bound', [write(1, 0), write(2, 20), read(1, 1, 129)]],
  ['a read that overlaps the write', [write(1, 0), write(2, 20), read(0, 1, 25), read(1, 2, 25)]],
  ['a larger version that came first', [write(2, 0), write(1, 20, { outcome: 'refused' }), read(0, 2, 40)]],
  [
    'an unanswered write that came to nothing',
    [write(1, 0), write(2, 20, { outcome: 'unknown' }), read(1, 1, 500)],
  ],
  [
    'an unanswered write that comes late',
    [write(2, 0, { outcome: 'unknown', version: undefined }), write(1, 20), read(1, 1, 500), read(1, 2, 600)],
  ],
  ['a deletion and what was written beside it', [write(1, 0), remove(5), read(1, 1, 500)]],
  ['an absent record that was deleted', [write(1, 0), remove(20), read(0, undefined, 40)]],
  [
    'an absent record that may be deleted',
    [write(1, 0), remove(20, { outcome: 'unknown' }), read(0, undefined, 40)],
  ],
  ['a record made anew after its deletion', [write(1, 0), remove(20), write(2, 40), read(0, 2, 60)]],
  ['an absent record whose time is over', [write(1, 0, { ttlMs: 50 }), read(0, undefined, 60)]],
  ['one replaced by what has expired', [write(1, 0), write(2, 20, { ttlMs: 50 }), read(0, undefined, 100)]],
  [
    'an older version written after the newer one expired',
    [write(2, 0, { ttlMs: 50 }), write(1, 60), read(0, 1, 80), read(1, 1, 500)],
  ],
])('leaves alone %s', (_, history) => {
  expect(kinds(...history)).toEqual([]);
});

test('keeps keys apart', () => {
  expect(kinds(write(1, 0), write(2, 20, { key: 'other' }), read(0, 1, 40))).toEqual([]);
});

test('tells how late reads were', () => {
  expect(lags([write(1, 0), write(2, 20), read(1, 1, 80), read(1, 2, 100)])).toEqual([50]);
});
