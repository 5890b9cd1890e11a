/** An entry's way into a record and back, the headers that say what it is, and how long it may be served. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { HeadraceError } from '../../src/base/errors.js';
import { CACHE_LIMITS, CACHE_STANDARD, CACHES_STANDARD } from '../../src/caches/definition.js';
import { ENTRY_LIMITS, type EntryHead, EntryReader, fillEntry } from '../../src/caches/entry.js';
import { isHeldByClient, type PutHeaders, readEntryHead } from '../../src/caches/entry-headers.js';
import { entryViewOf } from '../../src/caches/entry-view.js';
import { ageSeconds, freshnessOf } from '../../src/caches/freshness.js';
import { encodeTombstone, RecordEncoder } from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { RecordReader } from '../../src/views/record-reader.js';
import { viewOf } from '../../src/views/schema.js';

const CACHE = { ...CACHE_STANDARD, name: 'c', tagsMax: 3 };
const { name, entity, features } = entryViewOf(CACHE);
const VIEW = viewOf({
  name,
  entity,
  features: [...features],
  uid: 1,
  slot: 0,
  schema: 1,
  ttlMs: 1,
  l1Bytes: undefined,
  eviction: 'lru',
});
const TIMES = { version: 9 as Version, writtenAt: 1_000, freshUntil: 2_000, expiresAt: 5_000 };

function packed(head: EntryHead, payload: Uint8Array): Uint8Array {
  const draft = new RecordDraft(VIEW);
  fillEntry(draft, head, payload);
  return new RecordEncoder(VIEW).encode(draft, TIMES);
}

const HEAD: EntryHead = {
  contentType: 'text/plain',
  tags: [],
  freshMs: 1,
  staleWhileRevalidateMs: 2,
  staleIfErrorMs: 3,
};

describe('an entry', () => {
  it('is read back as it was put, wherever the record lies', () => {
    const reader = new EntryReader();
    const record = new RecordReader();
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 2_000 }),
        fc.string({ maxLength: ENTRY_LIMITS.contentTypeBytes }),
        fc.uniqueArray(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }), { maxLength: 5 }),
        fc.nat(),
        (payload, contentType, tags, staleWhileRevalidateMs) => {
          const bytes = packed({ ...HEAD, contentType, tags, staleWhileRevalidateMs }, payload);
          const apart = new Uint8Array(bytes.length + 16);
          apart.set(bytes, 8);
          reader.reset(apart, 8, bytes.length);
          expect([reader.contentType, reader.staleWhileRevalidateMs, reader.isTombstone]).toEqual([
            contentType,
            staleWhileRevalidateMs,
            false,
          ]);
          expect([reader.writtenAt, reader.freshUntil]).toEqual([1_000, 2_000]);
          expect(Buffer.compare(reader.payload, payload)).toBe(0);
          record.reset(bytes);
          expect(record.tags()).toEqual(tags);
        },
      ),
    );
  });

  it('is kept as long as the longer of its stale times', () => {
    const draft = new RecordDraft(VIEW);
    const kept = [
      [5, 7],
      [7, 5],
      [0, 0],
    ].map(([staleWhileRevalidateMs = 0, staleIfErrorMs = 0]) => {
      draft.reset();
      fillEntry(draft, { ...HEAD, freshMs: 11, staleWhileRevalidateMs, staleIfErrorMs }, new Uint8Array());
      return [draft.ttlMs, draft.staleMs];
    });
    expect(kept).toEqual([
      [11, 7],
      [11, 7],
      [11, 0],
    ]);
    draft.reset();
    expect(draft.staleMs).toBe(0);
  });

  it('has an ETag of its bytes and their type, and of nothing else', () => {
    const etagOf = (head: EntryHead, text: string) => {
      const reader = new EntryReader();
      reader.reset(packed(head, Buffer.from(text)));
      return reader.etag;
    };
    const etag = etagOf(HEAD, 'body');
    expect(etag).toMatch(/^"[A-Za-z0-9_-]{22}"$/);
    expect(etagOf({ ...HEAD, tags: ['a'], freshMs: 99 }, 'body')).toBe(etag);
    const others = [
      etagOf(HEAD, 'body '),
      etagOf({ ...HEAD, contentType: 'text/html' }, 'body'),
      etagOf({ ...HEAD, contentType: 'text/plai' }, 'nbody'),
    ];
    expect(new Set([etag, ...others]).size).toBe(4);
  });

  it('that was deleted is told by its tombstone', () => {
    const reader = new EntryReader();
    reader.reset(encodeTombstone(1 as Version, 1, 2));
    expect([reader.isTombstone, reader.payload.length, reader.contentType]).toEqual([true, 0, '']);
  });

  it('of the largest size fits a record, with all that may come with it', () => {
    const tags = Array.from({ length: CACHE_LIMITS.tags }, (_, n) =>
      `${n}`.padEnd(ENTRY_LIMITS.tagBytes, 'x'),
    );
    const contentType = 'x'.repeat(ENTRY_LIMITS.contentTypeBytes);
    const bytes = packed({ ...HEAD, tags, contentType }, new Uint8Array(ENTRY_LIMITS.payloadBytes).fill(7));
    const reader = new EntryReader();
    reader.reset(bytes);
    expect(reader.payload.length).toBe(ENTRY_LIMITS.payloadBytes);
  });
});

describe('freshness', () => {
  it('ends at fresh-until, and staleness so much later', () => {
    const entry = { freshUntil: 2_000, staleWhileRevalidateMs: 500 };
    const at = (ms: number) => freshnessOf(entry, ms);
    expect([1_999, 2_000, 2_499, 2_500].map(at)).toEqual(['fresh', 'stale', 'stale', 'old']);
    expect(freshnessOf({ ...entry, staleWhileRevalidateMs: 0 }, 2_000)).toBe('old');
  });

  it('is counted in whole seconds of age, none below zero', () => {
    expect([1_000, 1_999, 2_000, 500].map(nowMs => ageSeconds(1_000, nowMs))).toEqual([0, 0, 1, 0]);
  });
});

describe('headers of a put entry', () => {
  const NONE: PutHeaders = { contentType: '', contentEncoding: '', cacheControl: '', cacheTags: '' };
  const placesOf = (headers: Partial<PutHeaders>): string[] => {
    try {
      readEntryHead({ ...NONE, ...headers }, CACHE);
      return [];
    } catch (error) {
      if (!(error instanceof HeadraceError)) throw error;
      expect(error.code).toBe('bad-header');
      return (error.errors ?? []).map(({ at }) => at);
    }
  };

  it('that are absent leave the cache to say it', () => {
    for (const cache of CACHES_STANDARD) {
      expect(readEntryHead(NONE, cache)).toEqual({
        contentType: 'application/octet-stream',
        tags: [],
        freshMs: cache.ttlMs,
        staleWhileRevalidateMs: cache.staleWhileRevalidateMs,
        staleIfErrorMs: cache.staleIfErrorMs,
      });
    }
  });

  it('are read with spaces, in any case and order, and each alone', () => {
    const read = (headers: Partial<PutHeaders>) => readEntryHead({ ...NONE, ...headers }, CACHE);
    expect(read({ cacheControl: ' STALE-IF-ERROR=3 ,max-age=1,  stale-while-revalidate=2 ' })).toMatchObject({
      freshMs: 1_000,
      staleWhileRevalidateMs: 2_000,
      staleIfErrorMs: 3_000,
    });
    expect(read({ cacheControl: 'max-age=0' }).freshMs).toBe(0);
    expect(read({ cacheTags: ' a b ,%2C%C3%BC,a b' }).tags).toEqual(['a b', ',ü']);
    expect(read({ contentEncoding: 'Identity' }).contentType).toBe('application/octet-stream');
    for (const contentType of ['a/b', 'text/plain;charset=utf-8', 'a/b ; c=d;e="f;\\"g"'])
      expect(read({ contentType }).contentType).toBe(contentType);
  });

  it('that are wrong are named', () => {
    expect(placesOf({ cacheTags: 'a,b,c,d' })).toEqual(['cache-tags']);
    expect(placesOf({ cacheTags: 'é' })).toEqual(['cache-tags[0]']);
    expect(placesOf({ cacheTags: 'a\tb' })).toEqual(['cache-tags[0]']);
    expect(placesOf({ cacheControl: 'max-age=99999999999999' })).toEqual(['cache-control: max-age']);
    for (const contentType of ['a', 'a/', '/b', 'a/b;', 'a/b; c', 'a/b, c/d', 'a/b\r\nx: y', 'a/b\0', 'ä/b'])
      expect([contentType, placesOf({ contentType })]).toEqual([contentType, ['content-type']]);
  });

  it('of any text are read or refused, in no time', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 300, unit: 'binary' }),
      fc
        .array(fc.constantFrom('a/b', ';', ' ', 'c=', '"', '\\', ',', 'max-age', '=', '1', '%'), {
          maxLength: 80,
        })
        .map(parts => parts.join('')),
    );
    fc.assert(
      fc.property(text, text, text, (contentType, cacheControl, cacheTags) => {
        const places = placesOf({ contentType, cacheControl, cacheTags });
        if (places.length > 0) return;
        const head = readEntryHead({ ...NONE, contentType, cacheControl, cacheTags }, CACHE);
        // What is served as a header is one.
        expect(head.contentType).toMatch(/^[\t -~]+$/);
        expect(head.tags.every(tag => tag !== '')).toBe(true);
        expect(head.freshMs + head.staleWhileRevalidateMs + head.staleIfErrorMs).toBeGreaterThan(0);
      }),
    );
  });
});

it('a client holds an entry whose ETag it names, weak or in a list', () => {
  const etag = '"abc"';
  for (const held of [etag, 'W/"abc"', '*', '"x", "abc"', '"x",W/"abc" '])
    expect(isHeldByClient(held, etag)).toBe(true);
  for (const other of ['', 'abc', '"ab"', '"abc', '"x", "y"', 'w/"abc"'])
    expect(isHeldByClient(other, etag)).toBe(false);
});
