/** What an origin says of keeping its answer. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DURATION_MS_MAX } from '../../src/base/duration.js';
import { CACHE_STANDARD } from '../../src/caches/definition.js';
import { absentEntry, originEntry } from '../../src/caches/origin-entry.js';

const LIMITS = {
  ...CACHE_STANDARD,
  ttlMs: 300_000,
  staleWhileRevalidateMs: 60_000,
  staleIfErrorMs: 3_600_000,
  tagsMax: 2,
};
const SAYS = { contentType: 'text/plain', etag: '', cacheControl: '', cacheTags: '', ageMs: 0 };

/** How long it is fresh, stale, and stale if making it anew fails, in seconds; or nothing. */
function times(cacheControl: string, ageMs = 0): readonly number[] | undefined {
  const { head, isKept } = originEntry({ ...SAYS, cacheControl, ageMs }, LIMITS);
  const { freshMs, staleWhileRevalidateMs, staleIfErrorMs } = head;
  return isKept ? [freshMs, staleWhileRevalidateMs, staleIfErrorMs].map(ms => ms / 1000) : undefined;
}

describe('Cache-Control', () => {
  it.each<[string, number, readonly number[] | undefined]>([
    ['', 0, [300, 60, 3600]],
    ['', 100_000, [300, 60, 3600]],
    ['max-age=10', 0, [10, 60, 3600]],
    ['Max-Age="10"', 4_000, [6, 60, 3600]],
    ['max-age=10', 60_000, [0, 60, 3600]],
    ['max-age=10, s-maxage=20', 0, [20, 60, 3600]],
    ['s-maxage=20,max-age=10 , public', 0, [20, 60, 3600]],
    ['max-age=10, max-age=5', 0, [5, 60, 3600]],
    ['max-age=5, max-age=10', 0, [5, 60, 3600]],
    ['max-age=-1', 0, [0, 60, 3600]],
    ['max-age=x, max-age=10', 0, [0, 60, 3600]],
    ['max-age=10, max-age=x', 0, [0, 60, 3600]],
    ['max-age', 0, [0, 60, 3600]],
    ['max-age=999999999999999', 0, [DURATION_MS_MAX / 1000, 60, 3600]],
    ['max-age=1, stale-while-revalidate=2, stale-if-error=3', 0, [1, 2, 3]],
    ['max-age=1, stale-while-revalidate=2, must-revalidate', 0, [1, 0, 0]],
    ['max-age=1, proxy-revalidate', 0, [1, 0, 0]],
    ['max-age=0, must-revalidate', 0, undefined],
    ['max-age=0, stale-while-revalidate=0, stale-if-error=0', 0, undefined],
    ['no-store', 0, undefined],
    ['max-age=10, PRIVATE', 0, undefined],
    ['private="set-cookie, x", max-age=10', 0, undefined],
    ['no-cache', 0, undefined],
    ['x-no-store, max-age=10', 0, [10, 60, 3600]],
    ['x="no-store, private", max-age=10', 0, [10, 60, 3600]],
  ])('%j at an age of %d ms', (header, ageMs, expected) => {
    expect(times(header, ageMs)).toEqual(expected);
  });

  it('is read whatever it is, in a time that grows with its length', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary-ascii' }), fc.nat(), (header, ageMs) => {
        const [freshMs = 0] = times(header, ageMs) ?? [];
        expect(freshMs).toBeGreaterThanOrEqual(0);
      }),
    );
    for (const part of ['a="', 'max-age=" ', ',', ' ', 'a=', '"', '\\"']) {
      const began = performance.now();
      times(part.repeat(16_384));
      expect(performance.now() - began).toBeLessThan(2_000);
    }
  });
});

describe('tags of an origin', () => {
  const tagsOf = (cacheTags: string) => {
    const { head, isKept } = originEntry({ ...SAYS, cacheTags }, LIMITS);
    return isKept ? head.tags : undefined;
  };

  it('are those of a put, and keep out what cannot be invalidated by them', () => {
    expect(tagsOf('')).toEqual([]);
    expect(tagsOf('a, b%20c')).toEqual(['a', 'b c']);
    for (const wrong of ['a,b,c', 'a,,b', '%', 'x'.repeat(257), '\u00e9'])
      expect(tagsOf(wrong)).toBeUndefined();
  });
});

it('an ETag of the origin stays; that there is none is kept as long as the cache says', () => {
  expect(originEntry({ ...SAYS, etag: 'W/"1"' }, LIMITS).head.etag).toBe('W/"1"');
  expect(originEntry(SAYS, LIMITS).head).not.toHaveProperty('etag');
  expect(absentEntry({ negativeTtlMs: 5_000 })).toMatchObject({
    isKept: true,
    head: { freshMs: 5_000, isAbsent: true },
  });
  expect(absentEntry({ negativeTtlMs: 0 }).isKept).toBe(false);
});
