/** Leases as text: what servers that share a store read from each other, and from clients who may send anything. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { CACHE_STANDARD } from '../../src/caches/definition.js';
import { EntryReader, fillEntry } from '../../src/caches/entry.js';
import { entryViewOf } from '../../src/caches/entry-view.js';
import { EARLY_MS_MAX, freshnessOf, isDueEarly } from '../../src/caches/freshness.js';
import {
  fillMarked,
  isSameSecret,
  leasedUntil,
  markText,
  newSecret,
  readMark,
  readToken,
  tokenText,
} from '../../src/caches/lease-mark.js';
import { LEASE_LIMITS } from '../../src/caches/lease-room.js';
import { RecordEncoder } from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { RecordReader } from '../../src/views/record-reader.js';
import { viewOf } from '../../src/views/schema.js';

const { name, entity, features } = entryViewOf({ ...CACHE_STANDARD, name: 'c' });
const VIEW = viewOf({
  ...{ name, entity, features: [...features] },
  ...{ uid: 1, slot: 0, schema: 1, ttlMs: 1, l1Bytes: undefined, eviction: 'lru' },
});
const HEAD = {
  contentType: 'text/plain',
  tags: ['a', 'b'],
  freshMs: 1,
  staleWhileRevalidateMs: 20,
  staleIfErrorMs: 30,
};

describe('a lease in the store', () => {
  it('is read as it was written, and nothing else is read as one', () => {
    const versions = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(versions, fc.nat(), (version, untilMs) => {
        const secret = newSecret();
        const token = { version: version as Version, secret };
        expect(readToken(tokenText(token))).toEqual(token);
        expect(readMark(markText({ untilMs, secret }))).toEqual({ untilMs, secret });
        expect(readMark(tokenText(token))?.untilMs ?? 0).toBeGreaterThanOrEqual(0);
      }),
    );
    const secret = newSecret();
    for (const text of [
      '',
      '.',
      secret,
      `.${secret}`,
      `1.${secret}x`,
      `-1.${secret}`,
      `1.${secret}\n`,
      `1. ${secret}`,
    ])
      expect([text, readToken(text), readMark(text)]).toEqual([text, undefined, undefined]);
    // Larger than any version.
    expect(readToken(`zzzzzzzzzzz.${secret}`)).toBeUndefined();
    fc.assert(
      fc.property(fc.string(), text => {
        expect(readToken(text)).toBeUndefined();
      }),
    );
  });

  it('lasts until its time is over, and is none when that is later than any lease may last', () => {
    const untilAt = (untilMs: number, nowMs: number) =>
      leasedUntil({ lease: markText({ untilMs, secret: newSecret() }) }, nowMs);
    const { leaseMsMax } = LEASE_LIMITS;
    expect([untilAt(5_000, 1_000), untilAt(5_000, 9_000), leasedUntil({ lease: '' }, 0)]).toEqual([
      5_000, 5_000, 0,
    ]);
    // Of a clock that is a little ahead.
    expect(untilAt(1_001 + leaseMsMax, 1_000)).toBe(1_001 + leaseMsMax);
    expect(untilAt(1_001 + 2 * leaseMsMax, 1_000)).toBe(0);
  });

  it('has a secret of its own each time', () => {
    expect(new Set(Array.from({ length: 1_000 }, newSecret)).size).toBe(1_000);
    expect([isSameSecret('ab', 'ab'), isSameSecret('ab', 'ac'), isSameSecret('ab', 'a')]).toEqual([
      true,
      false,
      false,
    ]);
    expect([isSameSecret('ü', 'u'), isSameSecret('', '')]).toEqual([false, true]);
  });

  it('leaves the entry that it is on as it was, and makes one of its own where there is none', () => {
    const draft = new RecordDraft(VIEW);
    const encoder = new RecordEncoder(VIEW);
    const mark = { untilMs: 5_000, secret: newSecret() };
    const times = { version: 3 as Version, writtenAt: 1_000, freshUntil: 2_000, expiresAt: 9_000 };
    fillEntry(draft, HEAD, Buffer.from('payload'), 70);
    const held = new RecordReader();
    held.reset(encoder.encode(draft, times));
    const next = new RecordDraft(VIEW);
    fillMarked(next, held, mark);
    const entry = new EntryReader();
    const marked = encoder.encode(next, { ...times, version: 4 as Version });
    entry.reset(marked);
    expect([Buffer.from(entry.payload).toString(), entry.contentType, entry.costMs]).toEqual([
      'payload',
      'text/plain',
      70,
    ]);
    expect([entry.staleWhileRevalidateMs, readMark(entry.lease), entry.isVacant]).toEqual([20, mark, false]);
    held.reset(marked);
    expect(held.tags()).toEqual(['a', 'b']);

    next.reset();
    fillMarked(next, undefined, mark);
    entry.reset(encoder.encode(next, { ...times, freshUntil: 0 }));
    expect([entry.payload.length, readMark(entry.lease), entry.isVacant]).toEqual([0, mark, true]);
    // Whatever a server's clock says.
    for (const nowMs of [0, 1, 1_000, 1e13]) expect(freshnessOf(entry, nowMs)).toBe('old');
  });
});

describe('an early refresh', () => {
  const freshUntil = 1_000_000;
  const due = (costMs: number, beforeMs: number, random: number) =>
    isDueEarly({ freshUntil, costMs }, freshUntil - beforeMs, random);

  it('comes sooner the longer an entry takes to make, by chance, and never to what cost nothing', () => {
    expect([due(0, 1, 0.999999), due(100, 1_000, 0), due(100, 0, 0)]).toEqual([false, false, true]);
    const share = (costMs: number, beforeMs: number) => {
      let count = 0;
      for (let n = 0; n < 10_000; n++) if (due(costMs, beforeMs, n / 10_000)) count++;
      return count / 10_000;
    };
    // One in e to the power of how many times it could still be made.
    for (const times of [1, 2, 5]) expect(share(100, 100 * times)).toBeCloseTo(Math.exp(-times), 3);
    expect(share(5_000, EARLY_MS_MAX)).toBeLessThan(0.0001);
  });
});
