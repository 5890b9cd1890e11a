/** `Cache-Status` (RFC 9211): where an answer came from, and for how long it stays fresh. */
import type { Problem } from '../base/errors.js';
import type { Through } from '../lookup/entry-store.js';
import type { Headers } from './front.js';

const PROBLEM_PREFIX = 'urn:headrace:problem:';

/** A request that the cache passes on because of its method: writes, loads, declarations, invalidations. */
export const FORWARDED: Headers = ['cache-status', 'headrace; fwd=method'];
/** The same of an entry of a cache, which keeps it or, being switched off, does not. */
export const STORED: Headers = ['cache-status', 'headrace; fwd=method; stored'];
export const UNSTORED: Headers = ['cache-status', 'headrace; fwd=method; stored=?0'];
/** Of a cache that keeps nothing. */
export const SWITCHED_OFF = 'headrace; fwd=bypass';
/** The list of views and their definitions, which are not cached. */
export const BYPASSED: Headers = ['cache-status', SWITCHED_OFF];

/** Of a problem that came about before anything was looked for; what came of a read says more, and says it itself. */
export function problemStatus({ type }: Problem): Headers {
  return ['cache-status', `headrace; detail=${type.slice(PROBLEM_PREFIX.length)}`];
}

/** Of an entry that was read through to the cache's origin, or is not known since that failed. */
export function throughStatus({ source, isStored, isJoined, error }: Through, forward: Forward): string {
  if (error !== undefined) return `headrace; fwd=${forward}; detail=${error.code}`;
  if (source === 'tier') return 'headrace; fwd=miss; detail=L3';
  if (source === 'stale') return 'headrace; fwd=stale; detail=stale-if-error';
  const stored = isStored ? '; stored' : '';
  return `headrace; fwd=${forward}${stored}${isJoined ? '; collapsed' : ''}; detail=origin`;
}

/** Why an origin is asked: nothing is held, it is too old, or the cache is switched off. */
export type Forward = 'miss' | 'stale' | 'bypass';

/** Of a hit in shared memory that is fresh for so long. */
export function hitStatus(seconds: number): string {
  return `headrace; hit; ttl=${seconds}; detail=L1`;
}

export function secondsLeft(expiresAtMs: number, nowMs: number): number {
  return Math.floor((expiresAtMs - nowMs) / 1000);
}

export class CacheStatus {
  readonly miss = 'headrace; fwd=miss; detail=L3';
  readonly failed = 'headrace; fwd=miss; detail=unavailable';
  /** No number: what is stale has seconds below 0. */
  #seconds = Number.NaN;
  #hit = '';

  /** From shared memory. The text is kept: neighbouring hits often have the same second. */
  hit(expiresAtMs: number, nowMs: number): string {
    const seconds = secondsLeft(expiresAtMs, nowMs);
    if (seconds !== this.#seconds) {
      this.#seconds = seconds;
      this.#hit = hitStatus(seconds);
    }
    return this.#hit;
  }
}
