/** What is wrong with a cache only where its options meet, each with its place in the configuration file. */
import { formatDuration } from '../base/duration.js';
import type { ProblemDetail } from '../base/errors.js';
import type { CacheDefinition } from './definition.js';

export function contradictionsIn(cache: CacheDefinition): ProblemDetail[] {
  return [...timesIn(cache)].map(([member, detail]) => ({ at: `caches.${cache.name}.${member}`, detail }));
}

function* timesIn({ ttlMs, ttlMaxMs, refreshAheadMs, origin }: CacheDefinition): Generator<[string, string]> {
  const ttl = `the ttl, ${formatDuration(ttlMs)}`;
  if (ttlMaxMs !== undefined && ttlMaxMs < ttlMs) yield ['ttlMax', `is shorter than ${ttl}`];
  if (ttlMaxMs !== undefined && origin === undefined) yield ['ttlMax', NEEDS_ORIGIN];
  if (refreshAheadMs >= ttlMs) yield ['refreshAhead', `must be shorter than ${ttl}`];
  if (refreshAheadMs > 0 && origin === undefined) yield ['refreshAhead', NEEDS_ORIGIN];
}

const NEEDS_ORIGIN = 'is of use only to a cache that has an origin';
