/** An invalidation voids the leases on what it means; of tags nobody knows that before the entries are read, so on all. */
import { Pattern } from '../base/pattern.js';
import type { LeaseTable } from '../caches/lease-table.js';
import type { Invalidation } from '../views/fence.js';

/**
 * Resolves when no entry is being written any more with a lease of before: what was made before the invalidation is
 * stored by then, and goes with the rest, or never will be.
 */
export function voidLeases(leases: LeaseTable | undefined, what: Invalidation): Promise<void> | undefined {
  return leases?.voidWhere(testOf(what));
}

function testOf(what: Invalidation): (id: string) => boolean {
  if (what.kind === 'ids') {
    const ids = new Set(what.ids);
    return id => ids.has(id);
  }
  if (what.kind === 'prefix') return id => id.startsWith(what.prefix);
  if (what.kind !== 'pattern') return () => true;
  const pattern = new Pattern(what.pattern);
  return id => pattern.matches(Buffer.from(id));
}
