/** Entries as records, of any payload, and payloads as search results are. */
import fc from 'fast-check';
import type { Version } from '../../../src/base/clock.js';
import { CACHE_STANDARD } from '../../../src/caches/definition.js';
import { type EntryHead, fillEntry } from '../../../src/caches/entry.js';
import { entryViewOf } from '../../../src/caches/entry-view.js';
import { RecordEncoder } from '../../../src/views/record-codec.js';
import { RecordDraft } from '../../../src/views/record-draft.js';
import { type StoredView, viewOf } from '../../../src/views/schema.js';

const { name, entity, features } = entryViewOf({ ...CACHE_STANDARD, name: 'results' });

/** Of the cache `results`. */
export const ENTRY_VIEW: StoredView = {
  name,
  entity,
  features: [...features],
  uid: 1,
  slot: 0,
  schema: 1,
  ttlMs: 1,
  l1Bytes: undefined,
  eviction: 'lru',
};

export const HEAD: EntryHead = {
  contentType: 'application/json',
  tags: [],
  freshMs: 1,
  staleWhileRevalidateMs: 2,
  staleIfErrorMs: 3,
};

const VIEW = viewOf(ENTRY_VIEW);
const DRAFT = new RecordDraft(VIEW);
const ENCODER = new RecordEncoder(VIEW);

export function entryRecord(payload: Uint8Array, head: Partial<EntryHead> = {}, version = 9): Uint8Array {
  DRAFT.reset();
  fillEntry(DRAFT, { ...HEAD, ...head }, payload);
  const expiresAt = Number.MAX_SAFE_INTEGER;
  return ENCODER.encode(DRAFT, {
    version: version as Version,
    writtenAt: 1_000,
    freshUntil: 2_000,
    expiresAt,
  });
}

/** So many bytes of a search result. */
export function resultOf(bytes: number, seed = 1): Buffer {
  let text = '{"hits":[';
  for (let n = seed; text.length < bytes; n += 7)
    text += `{"id":"lib-${n % 977}","score":${(n * n) % 9973},"section":"libs","tags":["role::shared-lib","a${n % 31}"]},`;
  return Buffer.from(text.slice(0, bytes));
}

/** Bytes that look like nothing (Lehmer's generator, seeded). */
export function noise(bytes: number, seed = 20_260_104): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: bytes }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return state >> 8;
  });
}

/** Payloads of all kinds: text, bytes, runs, parts that come again near and far. */
export const anyPayload: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.string({ maxLength: 200, unit: 'grapheme' }).map(text => Buffer.from(text)),
      fc
        .tuple(fc.nat({ max: 255 }), fc.nat({ max: 5_000 }))
        .map(([byte, count]) => Buffer.alloc(count, byte)),
      fc
        .tuple(fc.nat({ max: 70_000 }), fc.integer({ min: 1, max: 999 }))
        .map(([size, n]) => resultOf(size, n)),
      fc.nat({ max: 70_000 }).map(count => noise(count)),
    ),
    { maxLength: 6 },
  )
  .map(parts => new Uint8Array(Buffer.concat(parts)));
