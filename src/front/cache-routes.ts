/** The paths below `/v1/caches/`, and who answers each; the part of `routes.ts` that is about named caches. */
import { HeadraceError } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import type { Exchange } from './front.js';
import { allowed, decode, handlerOf, idOf, refuse, refuseQuery, unknownPath } from './route-parts.js';

type OnCache = (exchange: Exchange, cache: CacheDefinition) => void;
type OnEntry = (exchange: Exchange, cache: CacheDefinition, key: string) => void;

/** By method. */
export interface CacheRouteHandlers {
  readonly entry: Readonly<Record<string, OnEntry>>;
  readonly entryBatch: Readonly<Record<string, OnCache>>;
  readonly entryLoad: Readonly<Record<string, OnCache>>;
  readonly entryInvalidation: Readonly<Record<string, OnCache>>;
  readonly cacheKey: Readonly<Record<string, OnCache>>;
  readonly cache: Readonly<Record<string, OnCache>>;
  readonly score: Readonly<Record<string, OnCache>>;
}

export const CACHE_PREFIX = '/v1/caches/';
export const EMBEDDING_PREFIX = '/v1/embeddings/';

/** Behind a cache's name. */
const KINDS: ReadonlyMap<string, Exclude<keyof CacheRouteHandlers, 'entry' | 'score'>> = new Map([
  ['', 'cache'],
  ['/key', 'cacheKey'],
  ['/entries', 'entryLoad'],
  ['/entries:batchGet', 'entryBatch'],
  ['/invalidate', 'entryInvalidation'],
]);

export interface CacheRoutes {
  /** Answers a request whose path begins with `CACHE_PREFIX`. */
  onCache(exchange: Exchange, path: string): void;
  /** The same with `EMBEDDING_PREFIX`. */
  onEmbedding(exchange: Exchange, path: string): void;
}

export function cacheRoutesOf(
  handlers: CacheRouteHandlers,
  cacheNamed: (name: string) => CacheDefinition | undefined,
): CacheRoutes {
  const entryMethods = allowed(handlers.entry);

  /** The cache named last is mostly the next one too: its name need not be cut out of the path and hashed again. */
  let lastName = '';

  function known(name: string): CacheDefinition {
    const cache = cacheNamed(name);
    if (cache === undefined) throw new HeadraceError('cache-not-found', `there is no cache ${name}`);
    lastName = cache.name;
    return cache;
  }

  function onCache(exchange: Exchange, path: string): void {
    const lastEnd = CACHE_PREFIX.length + lastName.length;
    const isLast = lastName !== '' && path[lastEnd] === '/' && path.startsWith(lastName, CACHE_PREFIX.length);
    const slash = isLast ? lastEnd : path.indexOf('/', CACHE_PREFIX.length);
    const end = slash < 0 ? path.length : slash;
    const name = isLast ? lastName : decode(path.slice(CACHE_PREFIX.length, end));
    if (path.startsWith('/entries/', end)) {
      const handler = handlerOf(handlers.entry, exchange.method);
      if (handler === undefined) return refuse(exchange, entryMethods);
      // Who reads an entry says in the query how long to wait for it.
      if (exchange.query !== '' && exchange.method !== 'GET') refuseQuery(exchange);
      return handler(exchange, known(name), idOf(path.slice(end + 9)));
    }
    const kind = KINDS.get(path.slice(end));
    if (kind === undefined) return unknownPath(exchange);
    const handler = handlerOf(handlers[kind], exchange.method);
    if (handler === undefined) return refuse(exchange, allowed(handlers[kind]));
    refuseQuery(exchange);
    return handler(exchange, known(name));
  }

  function onEmbedding(exchange: Exchange, path: string): void {
    const end = path.indexOf('/', EMBEDDING_PREFIX.length);
    if (end < 0 || path.slice(end) !== '/score') return unknownPath(exchange);
    const handler = handlerOf(handlers.score, exchange.method);
    if (handler === undefined) return refuse(exchange, allowed(handlers.score));
    refuseQuery(exchange);
    return handler(exchange, known(decode(path.slice(EMBEDDING_PREFIX.length, end))));
  }

  return { onCache, onEmbedding };
}
