/** The built-in view that holds a cache's entries. */
import { BUILT_IN_PREFIX } from '../base/view-catalog.js';
import type { BuiltInView } from '../views/registry.js';
import type { CacheDefinition } from './definition.js';
import { ENTRY_FEATURES } from './entry.js';

/** The name of the view of a cache. */
export function entryViewName(cache: string): string {
  return BUILT_IN_PREFIX + cache;
}

export function entryViewOf({ name, l1Bytes, eviction }: CacheDefinition): BuiltInView {
  return { name: entryViewName(name), entity: 'entry', features: ENTRY_FEATURES, l1Bytes, eviction };
}
