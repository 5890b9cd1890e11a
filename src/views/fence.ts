/**
 * Fences: what an invalidation of a named cache is until the entries it means are erased.
 *
 *   invalidate ──► fence: in the catalog, with the cache's view ──► every server hides what it means, wherever it lies
 *                    │                                                          │
 *                    └── retired once nothing is left of that ◄── a walk erases it (`resolve/sweeper.ts`)
 *
 * What a fence hides is told by numbers and not by clocks. A fence raises the schema number of its view by one, and each
 * record carries the number that its writer knew. So an entry with a smaller number was written by somebody who did not
 * know of the fence: before it stood, whatever that server's clock says, or before the news of it had arrived there. And
 * what is written by those who know of it is never hidden, as soon as it may be. The catalog gives each number once, as
 * it does for features that are added: of two servers that make a fence at once, one makes its own upon the other's.
 *
 * Numbers have 32 bits in a record: enough for ten invalidations a second in thirteen years.
 */

/** What a client invalidates. */
export type Invalidation = { readonly kind: 'ids'; readonly ids: readonly string[] } | Selector;

/** The same but for single keys: what only looking at each record says. */
export type Selector =
  | { readonly kind: 'prefix'; readonly prefix: string }
  | { readonly kind: 'tags'; readonly tags: readonly string[] }
  /** For `Pattern` in `base/pattern.ts`. */
  | { readonly kind: 'pattern'; readonly pattern: string }
  | { readonly kind: 'all' };

/** Of one invalidation. */
export const INVALIDATION_LIMITS = {
  ids: 10_000,
  prefixBytes: 512,
  tags: 64,
  tagBytes: 256,
  patternBytes: 1024,
} as const;

export interface Fence {
  readonly kind: 'all' | 'prefix' | 'pattern' | 'tag';
  /** Empty for all. */
  readonly text: string;
  /** Records with a smaller one are hidden. */
  readonly schema: number;
}

export const FENCE_LIMITS = {
  /** Open ones of a view. An invalidation makes one, or one for each tag. */
  open: 1_024,
  /** Of the texts of all open ones: each change of the catalog carries them. An invalidation has 16 KiB at most. */
  bytes: 64 * 1024,
  /** What fits a record. */
  schema: 2 ** 32 - 1,
} as const;

/** The open fences and one more for the selector, instead of those it covers; `undefined`: too many would be open. */
export function fencesWith(
  open: readonly Fence[],
  selector: Selector,
  schema: number,
): readonly Fence[] | undefined {
  const added = fencesOf(selector, schema);
  if (selector.kind === 'all') return added;
  const isCovered = (fence: Fence) =>
    added.some(({ kind, text }) => kind === fence.kind && text === fence.text);
  const fences = [...open.filter(fence => !isCovered(fence)), ...added];
  const bytes = fences.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  return fences.length > FENCE_LIMITS.open || bytes > FENCE_LIMITS.bytes ? undefined : fences;
}

/** The largest number of all of them, 0 without any. */
export function newestFence(fences: readonly Fence[]): number {
  return fences.reduce((newest, { schema }) => Math.max(newest, schema), 0);
}

function fencesOf(selector: Selector, schema: number): Fence[] {
  if (selector.kind === 'tags')
    return [...new Set(selector.tags)].map(text => ({ kind: 'tag', text, schema }));
  if (selector.kind === 'all') return [{ kind: 'all', text: '', schema }];
  const text = selector.kind === 'prefix' ? selector.prefix : selector.pattern;
  return [{ kind: selector.kind, text, schema }];
}
