/** How the bytes of L1 are promised to views: what each asked for, and equal shares of the rest to the others. */
import type { Caches } from '../l1/caches.js';
import type { View } from '../views/schema.js';

/** Bytes for each view, together at most `totalBytes`; what was asked for shrinks in proportion when it is too much. */
export function l1Shares(views: readonly View[], totalBytes: number): Map<View, number> {
  const asked = views.reduce((sum, view) => sum + (view.l1Bytes ?? 0), 0);
  const open = views.filter(view => view.l1Bytes === undefined).length;
  // Views that did not ask are never left with nothing: half of L1 is theirs however much the others want.
  const askedMax = open === 0 ? totalBytes : totalBytes / 2;
  const scale = Math.min(1, askedMax / Math.max(1, asked));
  const rest = totalBytes - asked * scale;
  return new Map(
    views.map(view => [view, Math.floor(view.l1Bytes === undefined ? rest / open : view.l1Bytes * scale)]),
  );
}

/** Tells L1 about all views there are. Those that shrink go first, so that the sum never exceeds what there is. */
export function shareL1(caches: Caches, views: readonly View[], slotsMax: number): void {
  const shares = l1Shares(views, caches.budgetBytesMax);
  const slots = new Set(views.map(view => view.slot));
  for (let slot = 0; slot < slotsMax; slot++) {
    if (!slots.has(slot)) caches.configure(slot, { policy: 's3-fifo', budgetBytes: 0 });
  }
  const grows = (view: View) => (shares.get(view) ?? 0) - caches.options(view.slot).budgetBytes;
  for (const view of [...views].sort((a, b) => grows(a) - grows(b))) {
    caches.configure(view.slot, { policy: view.eviction, budgetBytes: shares.get(view) ?? 0 });
  }
}
