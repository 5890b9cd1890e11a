/** What open fences hide of a view's records, of deletions, and of leases on what is not there yet. */
import { describe, expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import type { Fence } from '../../src/views/fence.js';
import { FenceSet } from '../../src/views/fence-set.js';
import { encodeTombstone, RecordEncoder } from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { testView } from './arbitrary-records.js';

const times = { version: 1 as Version, writtenAt: 1_000, expiresAt: 9_000 };

/** As somebody wrote it who knew the view by this number. */
function record(schema: number, tags: string[], freshUntil: number): Uint8Array {
  const view = testView([['text', 'string']], schema);
  const draft = new RecordDraft(view);
  draft.tags = tags;
  return new RecordEncoder(view).encode(draft, { ...times, freshUntil }).slice();
}

const entry = (schema: number, ...tags: string[]) => record(schema, tags, 2_000);
/** Nothing but a lease: it has no times, and nobody knows its tags. */
const vacant = (schema: number) => record(schema, [], 0);
const tombstone = encodeTombstone(1 as Version, 1_000, 9_000);

const tag = (text: string, schema: number): Fence => ({ kind: 'tag', text, schema });
const hides = (fences: readonly Fence[], bytes: Uint8Array, id = 'key') =>
  new FenceSet(fences).hidesId(bytes, 0, bytes.length, id);

describe('fences hide', () => {
  it.each([
    ['all', { kind: 'all', text: '', schema: 3 }, true, true],
    ['a prefix', { kind: 'prefix', text: 'k', schema: 3 }, true, true],
    ['another prefix', { kind: 'prefix', text: 'x', schema: 3 }, false, false],
    ['a pattern', { kind: 'pattern', text: '*y', schema: 3 }, true, true],
    ['another pattern', { kind: 'pattern', text: '*x', schema: 3 }, false, false],
    ['its tag', tag('a', 3), true, true],
    ['another tag', tag('x', 3), false, true],
  ] as const)('of %s what was written before, and leases that may be meant', (_, fence, ofEntry, ofLease) => {
    expect([hides([fence], entry(2, 'a')), hides([fence], vacant(2))]).toEqual([ofEntry, ofLease]);
    // By those who knew of it.
    for (const later of [3, 4])
      expect([hides([fence], entry(later, 'a')), hides([fence], vacant(later))]).toEqual([false, false]);
    expect(hides([fence], tombstone)).toBe(false);
  });

  it('leases of before the newest fence of any tag, and entries of before that of their own', () => {
    const fences = [tag('old', 3), tag('new', 5), { kind: 'prefix', text: 'x', schema: 7 } as const];
    const seen = [2, 3, 4, 5, 6].map(schema => [
      hides(fences, vacant(schema)),
      hides(fences, entry(schema, 'old')),
      hides(fences, entry(schema, 'new')),
    ]);
    expect(seen).toEqual([
      [true, true, true],
      [true, false, true],
      [true, false, true],
      [false, false, false],
      [false, false, false],
    ]);
  });

  it('wherever in memory it lies', () => {
    const bytes = vacant(2);
    const apart = new Uint8Array(bytes.length + 24).fill(7);
    apart.set(bytes, 16);
    const key = Buffer.from('..key..');
    const set = new FenceSet([tag('a', 3)]);
    expect(set.hides(apart, 16, 16 + bytes.length, key, 2, 5)).toBe(true);
    expect(
      new FenceSet([{ kind: 'prefix', text: '.', schema: 3 }]).hides(apart, 16, 16 + bytes.length, key, 2, 5),
    ).toBe(false);
  });
});

describe('what is made in place of a record may have a tag that is fenced', () => {
  const isBefore = (fences: readonly Fence[], bytes: Uint8Array) => new FenceSet(fences).isBeforeTags(bytes);

  it('where it was written before that, whatever its own tags are', () => {
    const fences = [tag('a', 3), tag('b', 2)];
    expect([vacant(2), entry(2), entry(2, 'x'), entry(3, 'a')].map(bytes => isBefore(fences, bytes))).toEqual(
      [...[true, true, true, false]],
    );
  });

  it('which fences of keys say nothing of, and deletions are not', () => {
    const ofKeys: Fence[] = [
      { kind: 'all', text: '', schema: 3 },
      { kind: 'prefix', text: '', schema: 3 },
      { kind: 'pattern', text: '*', schema: 3 },
    ];
    expect([isBefore(ofKeys, vacant(2)), isBefore([tag('a', 3)], tombstone)]).toEqual([false, false]);
  });
});
