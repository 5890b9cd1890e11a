/** The `Cache-Status` of a hit, whose text is kept from one to the next. */
import { expect, it } from 'vitest';
import { CacheStatus } from '../../src/front/cache-status.js';

it('of a hit tells the seconds that it stays fresh, from the first on, also below 0', () => {
  for (const first of [-2_000, -1_000, -1, 0, 1_000]) {
    const status = new CacheStatus();
    for (const leftMs of [first, first, 30_000, first, -500])
      expect(status.hit(5_000 + leftMs, 5_000)).toBe(
        `headrace; hit; ttl=${Math.floor(leftMs / 1000)}; detail=L1`,
      );
  }
});
