/**
 * What an origin says of its answer into the head of an entry: for how long it may be kept, and under which tags.
 *
 * `Cache-Control` is read as RFC 9111 has it for a shared cache: what is not known is passed over, of several ages the
 * shortest counts, and one that is no number is none. `no-store`, `private` and `no-cache` are not kept, however
 * qualified: nothing here can validate. All who wait for one key are given one answer, also a private one: the origin was
 * told nothing but the key. Tags that cannot be read keep the entry out: an invalidation by tag would pass it over.
 */
import { DURATION_MS_MAX } from '../base/duration.js';
import { ProblemList } from '../base/problem-list.js';
import type { CacheDefinition } from './definition.js';
import type { EntryHead } from './entry.js';
import { readTags } from './entry-headers.js';

/** Of an origin's answer, the part that is about keeping it. */
export interface OriginSays {
  readonly contentType: string;
  /** Empty: none. */
  readonly etag: string;
  readonly cacheControl: string;
  readonly cacheTags: string;
  /** How old the answer was when it came. */
  readonly ageMs: number;
}

export interface OriginEntry {
  readonly head: EntryHead;
  /** False: for those who wait alone. */
  readonly isKept: boolean;
}

const NOT_KEPT = ['no-store', 'private', 'no-cache'];
/** Never stale, whatever the cache allows. */
const NOT_STALE = ['must-revalidate', 'proxy-revalidate'];

type Limits = Pick<CacheDefinition, 'ttlMs' | 'staleWhileRevalidateMs' | 'staleIfErrorMs' | 'tagsMax'>;

export function originEntry(says: OriginSays, limits: Limits): OriginEntry {
  const directives = directivesOf(says.cacheControl);
  const problems = new ProblemList();
  const tags = readTags(says.cacheTags, limits.tagsMax, problems);
  const times = timesOf(directives, says.ageMs, limits);
  const lastsMs = times.freshMs + Math.max(times.staleWhileRevalidateMs, times.staleIfErrorMs);
  const isKept = lastsMs > 0 && problems.isEmpty && !NOT_KEPT.some(name => directives.has(name));
  const { contentType, etag } = says;
  return { head: { contentType, tags, ...times, ...(etag === '' ? {} : { etag }) }, isKept };
}

/** That the origin has none. */
export function absentEntry({ negativeTtlMs }: Pick<CacheDefinition, 'negativeTtlMs'>): OriginEntry {
  const times = { freshMs: negativeTtlMs, staleWhileRevalidateMs: 0, staleIfErrorMs: 0 };
  return { head: { contentType: '', tags: [], ...times, isAbsent: true }, isKept: negativeTtlMs > 0 };
}

function timesOf(
  directives: ReadonlyMap<string, string>,
  ageMs: number,
  { ttlMs, staleWhileRevalidateMs, staleIfErrorMs }: Limits,
): Pick<EntryHead, 'freshMs' | 'staleWhileRevalidateMs' | 'staleIfErrorMs'> {
  const msOf = (name: string) => {
    const value = directives.get(name);
    if (value === undefined) return undefined;
    return /^[0-9]{1,15}$/.test(value) ? Math.min(Number(value) * 1_000, DURATION_MS_MAX) : 0;
  };
  const lastsMs = msOf('s-maxage') ?? msOf('max-age');
  const freshMs = lastsMs === undefined ? ttlMs : Math.max(0, lastsMs - ageMs);
  if (NOT_STALE.some(name => directives.has(name)))
    return { freshMs, staleWhileRevalidateMs: 0, staleIfErrorMs: 0 };
  return {
    freshMs,
    staleWhileRevalidateMs: msOf('stale-while-revalidate') ?? staleWhileRevalidateMs,
    staleIfErrorMs: msOf('stale-if-error') ?? staleIfErrorMs,
  };
}

const DIRECTIVE = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"([^"]*)"|([^\s,"]*)))?/g;

/** By lower-case name; without a value it is ''. */
function directivesOf(header: string): ReadonlyMap<string, string> {
  const directives = new Map<string, string>();
  for (const [, given = '', quoted, plain = ''] of header.matchAll(DIRECTIVE)) {
    const name = given.toLowerCase();
    const value = quoted ?? plain;
    const known = directives.get(name);
    // What is no number is none, and so the shortest.
    const isShorter = Number(known) > Number(value) || Number.isNaN(Number(value));
    if (known === undefined || isShorter) directives.set(name, value);
  }
  return directives;
}
