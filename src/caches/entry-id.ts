/** What the keys of a cache are in every tier: with its prefix before them. */
import { checkId } from '../base/keys.js';
import type { Invalidation } from '../views/fence.js';
import type { CacheDefinition } from './definition.js';

/** Of a key that is one. @throws HeadraceError `bad-id` when it is too long with the prefix. */
export function entryId({ prefix }: CacheDefinition, key: string): string {
  if (prefix === '') return key;
  const id = prefix + key;
  checkId(id);
  return id;
}

/** What is to be invalidated of a cache, by its ids. @throws HeadraceError as `entryId`. */
export function ofEntryIds(cache: CacheDefinition, what: Invalidation): Invalidation {
  const { prefix } = cache;
  if (what.kind === 'ids') return { kind: 'ids', ids: what.ids.map(key => entryId(cache, key)) };
  if (what.kind === 'prefix') return { kind: 'prefix', prefix: prefix + what.prefix };
  if (what.kind === 'pattern') return { kind: 'pattern', pattern: prefix + what.pattern };
  return what;
}
