/** What is said of an entry that is put, as the headers that say it. */
import { parseDuration } from '../base/duration.js';
import { HeadraceError } from '../base/errors.js';

export interface PutEntryOptions {
  /** `application/octet-stream` for bytes, `text/plain` for a text when it is left out. */
  readonly contentType?: string | undefined;
  /** In whole seconds, `30s`, `5m`; as the cache has it when they are left out, as the next two. */
  readonly ttl?: string | undefined;
  readonly staleWhileRevalidate?: string | undefined;
  readonly staleIfError?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** As `read` gave it. */
  readonly lease?: string | undefined;
}

/** The headers of a put. @throws HeadraceError `bad-header` when a time is no duration of whole seconds, a tag no text. */
export function putHeaders(
  value: Uint8Array | string,
  { contentType, ttl, staleWhileRevalidate, staleIfError, tags = [] }: PutEntryOptions,
): Record<string, string> {
  const standard = typeof value === 'string' ? 'text/plain; charset=utf-8' : 'application/octet-stream';
  const headers: Record<string, string> = { 'content-type': contentType ?? standard };
  const times = [
    ['max-age', ttl],
    ['stale-while-revalidate', staleWhileRevalidate],
    ['stale-if-error', staleIfError],
  ] as const;
  const directives = times.flatMap(([name, time]) =>
    time === undefined ? [] : `${name}=${secondsOf(name, time)}`,
  );
  if (directives.length > 0) headers['cache-control'] = directives.join(', ');
  if (!tags.every(tag => tag.isWellFormed()))
    throw new HeadraceError('bad-header', 'a tag has a lone surrogate');
  if (tags.length > 0) headers['cache-tags'] = tags.map(tag => encodeURIComponent(tag)).join(', ');
  return headers;
}

/** @throws HeadraceError `bad-header` */
export function secondsOf(name: string, duration: string): number {
  const ms = parseDuration(duration);
  if (typeof ms === 'number' && ms % 1000 === 0) return ms / 1000;
  const detail = typeof ms === 'string' ? ms : 'must be in whole seconds';
  throw new HeadraceError('bad-header', `${name} is '${duration}', it ${detail}`);
}
