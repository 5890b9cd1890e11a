/** The promise of L1's bytes: never more than there is, nobody left with nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { l1Shares } from '../../src/lookup/l1-shares.js';
import { viewOf } from '../../src/views/schema.js';

function viewWith(slot: number, l1Bytes: number | undefined) {
  return viewOf({
    name: `v${slot}`,
    uid: slot,
    slot,
    schema: 1,
    entity: 'doc',
    ttlMs: 1,
    features: [],
    l1Bytes,
    eviction: 'lru',
  });
}

describe('shares of L1', () => {
  it('add up to at most all, and every view has one', () => {
    const asked = fc.array(fc.option(fc.integer({ min: 1, max: 2 ** 31 }), { nil: undefined }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(asked, fc.integer({ min: 2 ** 20, max: 2 ** 32 }), (all, total) => {
        const shares = l1Shares(
          all.map((bytes, slot) => viewWith(slot, bytes)),
          total,
        );
        const values = [...shares.values()];
        expect(values.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(total);
        expect(all.filter(bytes => bytes === undefined).length === 0 || Math.min(...values) >= 0).toBe(true);
        for (const [view, share] of shares) if (view.l1Bytes === undefined) expect(share).toBeGreaterThan(0);
      }),
    );
  });

  it('give what was asked for when there is enough', () => {
    const shares = l1Shares([viewWith(0, 100), viewWith(1, undefined), viewWith(2, undefined)], 1000);
    expect([...shares.values()]).toEqual([100, 450, 450]);
  });
});
