import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FencePass, KeyFence } from '../../src/resolve/key-fence.js';
import { NEGATIVE_DEFAULTS, NegativeEntries } from '../../src/resolve/negative-entries.js';

const NOW = 1_700_000_000_000;
const { ttlMs } = NEGATIVE_DEFAULTS;

function absent(entries: NegativeEntries, name: string, nowMs = NOW): boolean {
  return entries.settle(name, entries.begin(name), nowMs);
}

describe('negative entries', () => {
  it('are remembered for their time, and no longer', () => {
    const entries = new NegativeEntries();
    expect(entries.has('3/a', NOW)).toBe(false);
    expect(absent(entries, '3/a')).toBe(true);
    expect([entries.has('3/a', NOW + ttlMs - 1), entries.has('3/b', NOW), entries.hits]).toEqual([
      true,
      false,
      1,
    ]);
    expect(entries.has('3/a', NOW + ttlMs)).toBe(false);
    expect(absent(entries, '3/a', NOW + ttlMs)).toBe(true);
    expect(entries.has('3/a', NOW + 2 * ttlMs - 1)).toBe(true);
    // A clock that is set back makes none last longer.
    expect(entries.has('3/a', NOW - 60_000)).toBe(false);
  });

  it('go with a write or an invalidation of their key, or with all', () => {
    const entries = new NegativeEntries();
    for (const name of ['a', 'b', 'c']) absent(entries, name);
    entries.forget('a');
    expect(['a', 'b', 'c'].map(name => entries.has(name, NOW))).toEqual([false, true, true]);
    entries.clear();
    expect(['b', 'c'].map(name => entries.has(name, NOW))).toEqual([false, false]);
    expect(entries.size).toBe(0);
  });

  it('are not made by a read that began before a change, whatever it found', () => {
    const entries = new NegativeEntries();
    const early = entries.begin('a');
    entries.forget('a');
    expect(entries.settle('a', early, NOW)).toBe(false);
    const other = entries.begin('b');
    entries.clear();
    expect(entries.settle('b', other, NOW)).toBe(false);
    expect(entries.size).toBe(0);
    // The next read is as good as any.
    expect(absent(entries, 'a')).toBe(true);
  });

  it('are bounded, the oldest going first', () => {
    const entries = new NegativeEntries({ entriesMax: 100 });
    for (let n = 0; n < 10_000; n++) {
      absent(entries, `id-${n}`);
      expect(entries.size).toBeLessThanOrEqual(100);
      for (const back of [0, 10, 49]) if (n >= back) expect(entries.has(`id-${n - back}`, NOW)).toBe(true);
    }
    expect(entries.has('id-0', NOW)).toBe(false);
  });

  it('can be switched off', () => {
    const entries = new NegativeEntries({ ttlMs: 0 });
    expect(absent(entries, 'a')).toBe(false);
    expect(entries.has('a', NOW)).toBe(false);
  });

  /** Steps of reads and writes under way, in any order; each operation goes through its own steps in order. */
  const NAMES = ['a', 'b', 'c'];
  const step = fc.oneof(
    fc.record({ act: fc.constant('begin' as const), name: fc.constantFrom(...NAMES) }),
    fc.record({ act: fc.constant('look' as const), pick: fc.nat(9) }),
    fc.record({ act: fc.constant('settle' as const), pick: fc.nat(9) }),
    fc.record({ act: fc.constant('store' as const), name: fc.constantFrom(...NAMES) }),
    fc.record({ act: fc.constant('tell' as const), pick: fc.nat(9) }),
    fc.record({ act: fc.constant('wipe' as const), name: fc.constantFrom(...NAMES) }),
    fc.record({ act: fc.constant('clear' as const) }),
    fc.record({ act: fc.constant('pass' as const), ms: fc.constantFrom(1, 2_000, 5_000) }),
  );

  it.each([1, 4096])(
    'never hide an acknowledged record, in any order of events, with %i counters',
    counters => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 80 }), steps => {
          const entries = new NegativeEntries({ entriesMax: 4 }, new KeyFence(counters));
          let nowMs = NOW;
          /** What the store of record has, and for what its writer has been answered. */
          const stored = new Set<string>();
          const told = new Set<string>();
          const writes: string[] = [];
          const reads: { name: string; pass: FencePass; found?: boolean }[] = [];
          const take = <T>(from: T[], pick: number) => from.splice(pick % Math.max(1, from.length), 1)[0];
          /** By name, when it was last known to be absent without any change since. */
          const known = new Map<string, number>();
          for (const now of steps) {
            if (now.act === 'begin') reads.push({ name: now.name, pass: entries.begin(now.name) });
            if (now.act === 'look') {
              const read = reads[now.pick % Math.max(1, reads.length)];
              if (read !== undefined) read.found ??= stored.has(read.name);
            }
            if (now.act === 'settle') {
              const read = take(reads, now.pick);
              if (read?.found === false && entries.settle(read.name, read.pass, nowMs))
                known.set(read.name, nowMs);
            }
            if (now.act === 'store') {
              stored.add(now.name);
              writes.push(now.name);
            }
            if (now.act === 'tell') {
              const name = take(writes, now.pick);
              if (name === undefined) continue;
              entries.forget(name);
              known.delete(name);
              if (stored.has(name)) told.add(name);
            }
            if (now.act === 'wipe') {
              // The record expires: from then on nothing is owed.
              stored.delete(now.name);
              told.delete(now.name);
            }
            if (now.act === 'clear') {
              entries.clear();
              known.clear();
            }
            if (now.act === 'pass') nowMs += now.ms;
            expect(entries.size).toBeLessThanOrEqual(4);
            for (const name of NAMES) {
              const has = entries.has(name, nowMs);
              if (told.has(name)) expect(has, `${name} is there`).toBe(false);
              const sinceMs = known.get(name);
              if (has)
                expect(sinceMs !== undefined && nowMs - sinceMs < ttlMs, `${name} was absent`).toBe(true);
            }
          }
        }),
        { numRuns: 2_000 },
      );
    },
  );
});

describe('the key fence', () => {
  it('lets keep what nobody changed, and nothing else', () => {
    const fence = new KeyFence(1 << 20);
    const names = Array.from({ length: 50 }, (_, n) => `7/${n}`);
    const passes = names.map(name => fence.begin(name));
    fence.changed('7/3');
    expect(names.filter((name, n) => !fence.isGood(name, passes[n] as FencePass))).toEqual(['7/3']);
    fence.allChanged();
    expect(names.filter((name, n) => fence.isGood(name, passes[n] as FencePass))).toEqual([]);
  });

  it('spreads names over its counters', () => {
    const fence = new KeyFence(1024);
    const names = Array.from({ length: 1024 }, (_, n) => `12/document-${n}`);
    const passes = names.map(name => fence.begin(name));
    for (let n = 0; n < 100; n++) fence.changed(`12/other-${n}`);
    const bad = names.filter((name, n) => !fence.isGood(name, passes[n] as FencePass)).length;
    // 100 of 1,024 counters were changed, some twice.
    expect(bad).toBeGreaterThan(50);
    expect(bad).toBeLessThan(160);
  });
});
