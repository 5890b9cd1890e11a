/** Drops cached copies in a lane's shards, in steps between which the lane goes on with its other work. */
import { Pattern } from '../base/pattern.js';
import type { Invalidation } from '../lanes/messages.js';
import type { LaneCache } from './lane-cache.js';
import type { RecordInspector } from './record-inspector.js';

type Test = (id: Uint8Array, value: Uint8Array) => boolean;

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
  while (!scan.step()) await pause();
  return scan.removed;
}

function testOf(spec: Exclude<Invalidation, { kind: 'ids' }>, inspector: RecordInspector): Test {
  if (spec.kind === 'all') return () => true;
  if (spec.kind === 'prefix') {
    const prefix = Buffer.from(spec.prefix);
    return id => prefix.length <= id.length && prefix.compare(id, 0, prefix.length) === 0;
  }
  if (spec.kind === 'pattern') {
    const pattern = new Pattern(spec.pattern);
    return id => pattern.matches(id);
  }
  const wanted = new Set(spec.tags);
  return (_id, value) => inspector.tags(value).some(tag => wanted.has(tag));
}
