/** The headers of entries' hits: bytes and pairs say the same, whatever was asked for before. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { CACHE_STANDARD } from '../../src/caches/definition.js';
import { EntryReader, fillEntry } from '../../src/caches/entry.js';
import { entryViewOf } from '../../src/caches/entry-view.js';
import { EntryHitHeaders } from '../../src/front/entry-hit-headers.js';
import { RecordEncoder } from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { viewOf } from '../../src/views/schema.js';
import { SEED } from '../base/seeded.js';

const { features, ...built } = entryViewOf({ ...CACHE_STANDARD, name: 'c' });
const VIEW = viewOf({ ...built, features: [...features], uid: 1, slot: 0, schema: 1, ttlMs: 1 });
const TIMES = { freshMs: 1, staleWhileRevalidateMs: 2, staleIfErrorMs: 3 };

function entry(contentType: string, etag: string, writtenAt: number, freshUntil: number): EntryReader {
  const draft = new RecordDraft(VIEW);
  fillEntry(draft, { contentType, etag, tags: [], ...TIMES }, new Uint8Array(8));
  const reader = new EntryReader();
  const times = { version: 9 as Version, writtenAt, freshUntil, expiresAt: freshUntil };
  reader.reset(Buffer.from(new RecordEncoder(VIEW).encode(draft, times)));
  return reader;
}

const text = (max: number) => fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: max });
const HIT = fc.record({
  contentType: text(256),
  etag: text(256),
  age: fc.nat(2 ** 31),
  seconds: fc.oneof(fc.nat(100), fc.nat(2 ** 31 - 1), fc.constantFrom(9, 10, 999_999_999, 1_000_000_000)),
});

it('say what the entry says', () => {
  const headers = new EntryHitHeaders();
  fc.assert(
    fc.property(fc.array(HIT, { minLength: 1, maxLength: 5 }), hits => {
      for (const { contentType, etag, age, seconds } of hits) {
        const nowMs = 5_000_000_000_000;
        const reader = entry(contentType, etag, nowMs - age * 1000, nowMs + seconds * 1000);
        expect(headers.take(reader, nowMs)).toBe(true);
        const pairs = ['content-type', contentType, 'etag', etag, 'age', String(Math.min(age, 2 ** 31 - 1))];
        const status = `headrace; hit; ttl=${seconds}; detail=L1`;
        expect(headers.pairs).toEqual([...pairs, 'cache-status', status]);
        const rest = `\r\netag: ${etag}\r\nage: ${pairs[5]}\r\ncache-status: ${status}`;
        expect(Buffer.from(headers.bytes).toString('latin1')).toBe(contentType + rest);
      }
    }),
    { seed: SEED },
  );
});

it('are left to others where they are long, or the entry is fresh no more', () => {
  const headers = new EntryHitHeaders();
  expect(headers.take(entry('a'.repeat(1_024), '"e"', 0, 2_000), 1_000)).toBe(false);
  expect(headers.take(entry('a', 'e'.repeat(1_000), 0, 2_000), 1_000)).toBe(false);
  expect(headers.take(entry('a', 'e'.repeat(1_030), 0, 2_000), 1_000)).toBe(false);
  expect(headers.take(entry('a', '"e"', 0, 999), 1_000)).toBe(false);
  expect(headers.take(entry('a', '"e"', 0, 1_000), 1_000)).toBe(true);
});
