/** What is wrong with a cache only where its options meet, each with its place in the configuration file. */
import { formatDuration } from '../base/duration.js';
import type { ProblemDetail } from '../base/errors.js';
import { isBatchTarget, parseOriginPlace } from '../base/origin-url.js';
import type { CacheDefinition } from './definition.js';

export function contradictionsIn(cache: CacheDefinition): ProblemDetail[] {
  return [...timesIn(cache), ...placesIn(cache)].map(([member, detail]) => ({
    at: `caches.${cache.name}.${member}`,
    detail,
  }));
}

function* timesIn({ ttlMs, ttlMaxMs, refreshAheadMs, origin }: CacheDefinition): Generator<[string, string]> {
  const ttl = `the ttl, ${formatDuration(ttlMs)}`;
  if (ttlMaxMs !== undefined && ttlMaxMs < ttlMs) yield ['ttlMax', `is shorter than ${ttl}`];
  if (ttlMaxMs !== undefined && origin === undefined) yield ['ttlMax', NEEDS_ORIGIN];
  if (refreshAheadMs >= ttlMs) yield ['refreshAhead', `must be shorter than ${ttl}`];
  if (refreshAheadMs > 0 && origin === undefined) yield ['refreshAhead', NEEDS_ORIGIN];
}

/** A list that the origin has is asked for by the origin's rules. */
function* placesIn({ warm, origin }: CacheDefinition): Generator<[string, string]> {
  if (warm?.url === undefined) return;
  if (origin === undefined) return yield ['warm.url', NEEDS_ORIGIN];
  const { allowHosts: hosts, allowPrivate: addresses } = origin;
  const target = parseOriginPlace({ url: warm.url, hosts, addresses });
  if (typeof target === 'string') yield ['warm.url', target];
  else if (!isBatchTarget(target)) yield ['warm.url', 'must be without {key}: it is asked for the list'];
}

const NEEDS_ORIGIN = 'is of use only to a cache that has an origin';
