/**
 * The headers of a put entry into its head: content type, `Cache-Control`, `Cache-Tags`; and `If-None-Match` of a read.
 * What is wrong is named by header and place; nothing is passed over in silence, for the client would take it as kept.
 */
import { DURATION_MS_MAX } from '../base/duration.js';
import { ProblemList, shown } from '../base/problem-list.js';
import type { CacheDefinition } from './definition.js';
import { ENTRY_LIMITS, type EntryHead } from './entry.js';

export interface PutHeaders {
  readonly contentType: string;
  readonly contentEncoding: string;
  readonly cacheControl: string;
  readonly cacheTags: string;
}

const CONTENT_TYPE_STANDARD = 'application/octet-stream';
const SECONDS_MAX = DURATION_MS_MAX / 1000;

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[\\t !#-\\[\\]-~]|\\\\[\\t -~])*"';
/** RFC 9110, section 8.3.1, ASCII only. Each step begins with a character of its own: linear in the text. */
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|${QUOTED}))*$`);

/** @throws HeadraceError `bad-header` that names every place. */
export function readEntryHead(headers: PutHeaders, definition: CacheDefinition): EntryHead {
  const problems = new ProblemList();
  const contentType = readContentType(headers, problems);
  const times = readTimes(headers.cacheControl, definition, problems);
  const tags = readTags(headers.cacheTags, definition.tagsMax, problems);
  problems.throwIfAny('bad-header');
  return { contentType, tags, ...times };
}

function readContentType({ contentType, contentEncoding }: PutHeaders, problems: ProblemList): string {
  // It would be served as if it were not encoded.
  if (contentEncoding !== '' && contentEncoding.toLowerCase() !== 'identity')
    problems.add('content-encoding', 'must be identity: entries are kept as they come');
  const { contentTypeBytes } = ENTRY_LIMITS;
  if (contentType === '') return CONTENT_TYPE_STANDARD;
  if (contentType.length > contentTypeBytes)
    problems.add('content-type', `has ${contentType.length} bytes, ${contentTypeBytes} are allowed`);
  else if (!MEDIA_TYPE.test(contentType)) problems.add('content-type', 'is no media type, as text/plain is');
  return contentType;
}

type Times = Pick<EntryHead, 'freshMs' | 'staleWhileRevalidateMs' | 'staleIfErrorMs'>;

const DIRECTIVES = {
  'max-age': 'freshMs',
  'stale-while-revalidate': 'staleWhileRevalidateMs',
  'stale-if-error': 'staleIfErrorMs',
} as const satisfies Record<string, keyof Times>;

const DIRECTIVE_NAMES = Object.keys(DIRECTIVES) as (keyof typeof DIRECTIVES)[];

/** What is not said is as the cache has it. */
function readTimes(header: string, definition: CacheDefinition, problems: ProblemList): Times {
  const { ttlMs, staleWhileRevalidateMs, staleIfErrorMs } = definition;
  const times = { freshMs: ttlMs, staleWhileRevalidateMs, staleIfErrorMs };
  if (header === '') return times;
  const seen = new Set<string>();
  for (const part of header.split(',')) {
    const [given = '', value = ''] = splitAt(part.trim(), '=');
    const name = DIRECTIVE_NAMES.find(known => known === given.toLowerCase());
    const at = `cache-control: ${shown(given)}`;
    if (name === undefined) problems.add(at, `is not known here; ${DIRECTIVE_NAMES.join(', ')} are`);
    else if (seen.has(name)) problems.add(at, 'comes twice');
    else if (!/^[0-9]{1,12}$/.test(value) || Number(value) > SECONDS_MAX)
      problems.add(at, `must be a number of seconds from 0 to ${SECONDS_MAX}`);
    else times[DIRECTIVES[name]] = Number(value) * 1000;
    seen.add(name ?? '');
  }
  const lastsMs = times.freshMs + Math.max(times.staleWhileRevalidateMs, times.staleIfErrorMs);
  if (lastsMs === 0)
    problems.add('cache-control: max-age', 'is 0 without a stale time: it would never be served');
  return times;
}

/** Percent-encoded, as keys in paths are, so that a tag may have any character. */
function readTags(header: string, countMax: number, problems: ProblemList): string[] {
  if (header === '') return [];
  const parts = header.split(',');
  if (parts.length > countMax) {
    problems.add('cache-tags', `has ${parts.length} tags, ${countMax} are allowed`);
    return [];
  }
  const tags = new Set<string>();
  parts.forEach((part, index) => {
    const tag = decoded(part.trim());
    const bytes = Buffer.byteLength(tag ?? '');
    const { tagBytes } = ENTRY_LIMITS;
    const at = `cache-tags[${index}]`;
    if (tag === undefined) problems.add(at, 'must be ASCII; percent-encode the rest, as UTF-8');
    else if (bytes === 0 || bytes > tagBytes)
      problems.add(at, `has ${bytes} bytes, 1 to ${tagBytes} are allowed`);
    else tags.add(tag);
  });
  return [...tags];
}

/** `undefined`: it is not ASCII, or not percent-encoded UTF-8. */
function decoded(text: string): string | undefined {
  if (!/^[ -~]*$/.test(text)) return undefined;
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function splitAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** Whether the client has what the ETag stands for (RFC 9110, section 13.1.2: weak comparison). */
export function isHeldByClient(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch === '') return false;
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true;
  // Our ETags have no comma within.
  return ifNoneMatch.split(',').some(part => part.trim().replace(/^W\//, '') === etag);
}
