/** Drops cached copies in a lane's shards, in steps between which the lane goes on with its other work. */
import { Pattern } from '../base/pattern.js';
import type { RecordTest } from '../l1/removal.js';
import type { Invalidation, Selector } from '../views/fence.js';
import type { LaneCache } from './lane-cache.js';
import type { RecordInspector } from './record-inspector.js';

/** About a millisecond. */
const STEP_BUCKETS = 1024;

/** How many were dropped. `pause` is called between steps. */
export async function invalidate(
  cache: LaneCache,
  inspector: RecordInspector,
  slot: number,
  spec: Invalidation,
  pause: () => Promise<void>,
): Promise<number> {
  if (spec.kind === 'ids') {
    return spec.ids.filter(id => cache.owns(slot, id) && cache.remove(slot, id)).length;
  }
  const scan = cache.removeWhere(slot, testOf(spec, inspector));
  while (!scan.step(STEP_BUCKETS)) await pause();
  return scan.removed;
}

/** A prefix and a pattern look at the key alone, tags at the value alone. */
function testOf(spec: Selector, inspector: RecordInspector): RecordTest {
  if (spec.kind === 'all') return () => true;
  if (spec.kind === 'prefix') {
    const prefix = Buffer.from(spec.prefix);
    return (bytes, start, end) =>
      prefix.length <= end - start && prefix.compare(bytes, start, start + prefix.length) === 0;
  }
  if (spec.kind === 'pattern') {
    const pattern = new Pattern(spec.pattern);
    return (bytes, start, end) => pattern.matches(bytes, start, end);
  }
  const wanted = new Set(spec.tags);
  return (bytes, _keyStart, _keyEnd, start, end) =>
    inspector.tags(bytes, start, end - start).some(tag => wanted.has(tag));
}
