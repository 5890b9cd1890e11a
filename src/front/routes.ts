/**
 * The data plane's paths, and who answers each. A hit's path is decided by a few comparisons from left to right; no
 * table of patterns is walked.
 */
import { HeadraceError, problemOf } from '../base/errors.js';
import { idProblem } from '../base/keys.js';
import type { CacheDefinition } from '../caches/definition.js';
import type { View } from '../views/schema.js';
import type { Exchange, Handler } from './front.js';
import { readQuery } from './query.js';

/** One method on each kind of path; a missing one is answered with 405. */
export interface RouteHandlers {
  readonly record: Readonly<Record<string, (exchange: Exchange, view: View, id: string) => void>>;
  readonly records: Readonly<Record<string, (exchange: Exchange, view: View) => void>>;
  readonly lookup: Readonly<Record<string, (exchange: Exchange, view: View) => void>>;
  readonly invalidate: Readonly<Record<string, (exchange: Exchange, view: View) => void>>;
  readonly view: Readonly<Record<string, (exchange: Exchange, name: string) => void>>;
  readonly views: Readonly<Record<string, (exchange: Exchange) => void>>;
  readonly entry: Readonly<Record<string, (exchange: Exchange, cache: CacheDefinition, key: string) => void>>;
  readonly entryBatch: Readonly<Record<string, (exchange: Exchange, cache: CacheDefinition) => void>>;
  readonly entryInvalidation: Readonly<Record<string, (exchange: Exchange, cache: CacheDefinition) => void>>;
}

const VIEWS = '/v1/views';
const PREFIX = '/v1/views/';
const CACHE_PREFIX = '/v1/caches/';
/** Behind a cache's name. */
const CACHE_PATHS: ReadonlyMap<string, 'entryBatch' | 'entryInvalidation'> = new Map([
  ['entries:batchGet', 'entryBatch'],
  ['invalidate', 'entryInvalidation'],
]);

export interface Names {
  readonly viewNamed: (name: string) => View | undefined;
  readonly cacheNamed: (name: string) => CacheDefinition | undefined;
}

export function routesOf(handlers: RouteHandlers, { viewNamed, cacheNamed }: Names): Handler {
  const methods = {
    record: allowed(handlers.record),
    records: allowed(handlers.records),
    lookup: allowed(handlers.lookup),
    invalidate: allowed(handlers.invalidate),
    view: allowed(handlers.view),
    views: allowed(handlers.views),
    entry: allowed(handlers.entry),
    entryBatch: allowed(handlers.entryBatch),
    entryInvalidation: allowed(handlers.entryInvalidation),
  };

  function onView(exchange: Exchange, path: string): void {
    const slash = path.indexOf('/', PREFIX.length);
    const name = decode(slash < 0 ? path.slice(PREFIX.length) : path.slice(PREFIX.length, slash));
    if (slash < 0) {
      const handler = handlerOf(handlers.view, exchange.method);
      if (handler === undefined) return refuse(exchange, methods.view);
      refuseQuery(exchange);
      return handler(exchange, name);
    }
    const view = viewNamed(name);
    if (path.startsWith('records/', slash + 1)) {
      const handler = handlerOf(handlers.record, exchange.method);
      if (handler === undefined) return refuse(exchange, methods.record);
      if (exchange.query !== '' && exchange.method !== 'GET' && exchange.method !== 'HEAD')
        refuseQuery(exchange);
      return handler(exchange, known(view, name), idOf(path.slice(slash + 9)));
    }
    const kind = path.slice(slash + 1);
    if (kind !== 'records' && kind !== 'lookup' && kind !== 'invalidate') return unknownPath(exchange);
    const handler = handlerOf(handlers[kind], exchange.method);
    if (handler === undefined) return refuse(exchange, methods[kind]);
    if (kind !== 'records') refuseQuery(exchange);
    return handler(exchange, known(view, name));
  }

  function onCache(exchange: Exchange, path: string): void {
    const slash = path.indexOf('/', CACHE_PREFIX.length);
    if (slash < 0) return unknownPath(exchange);
    const name = decode(path.slice(CACHE_PREFIX.length, slash));
    const cache = cacheNamed(name);
    if (path.startsWith('entries/', slash + 1)) {
      const handler = handlerOf(handlers.entry, exchange.method);
      if (handler === undefined) return refuse(exchange, methods.entry);
      refuseQuery(exchange);
      return handler(exchange, knownCache(cache, name), idOf(path.slice(slash + 9)));
    }
    const kind = CACHE_PATHS.get(path.slice(slash + 1));
    if (kind === undefined) return unknownPath(exchange);
    const handler = handlerOf(handlers[kind], exchange.method);
    if (handler === undefined) return refuse(exchange, methods[kind]);
    refuseQuery(exchange);
    return handler(exchange, knownCache(cache, name));
  }

  return exchange => {
    const path = exchange.path;
    try {
      if (path.startsWith(PREFIX)) return onView(exchange, path);
      if (path.startsWith(CACHE_PREFIX)) return onCache(exchange, path);
      if (path !== VIEWS) return unknownPath(exchange);
      const handler = handlerOf(handlers.views, exchange.method);
      if (handler === undefined) return refuse(exchange, methods.views);
      refuseQuery(exchange);
      handler(exchange);
    } catch (error) {
      if (!(error instanceof HeadraceError)) throw error;
      exchange.fail(error.problem());
    }
  };
}

/** A method is any word on the wire: `constructor` is none of ours. */
function handlerOf<H>(handlers: Readonly<Record<string, H>>, method: string): H | undefined {
  return Object.hasOwn(handlers, method) ? handlers[method] : undefined;
}

function allowed(handlers: Readonly<Record<string, unknown>>): string {
  return Object.keys(handlers).join(', ');
}

function refuse(exchange: Exchange, methods: string): void {
  const detail = `${exchange.method} is not allowed here, but ${methods}`;
  exchange.fail(problemOf('method-not-allowed', detail), ['allow', methods]);
}

/** Reading a record and loading have parameters, and check them. */
function refuseQuery(exchange: Exchange): void {
  readQuery(exchange.query, []);
}

function unknownPath(exchange: Exchange): void {
  exchange.fail(problemOf('not-found', `there is nothing at ${exchange.path.slice(0, 200)}`));
}

function known(view: View | undefined, name: string): View {
  if (view === undefined) throw new HeadraceError('view-not-found', `there is no view ${name}`);
  return view;
}

function knownCache(cache: CacheDefinition | undefined, name: string): CacheDefinition {
  if (cache === undefined) throw new HeadraceError('cache-not-found', `there is no cache ${name}`);
  return cache;
}

/** An id with a `/` in it may come as `%2F` or plain. */
function idOf(encoded: string): string {
  const id = decode(encoded);
  const problem = idProblem(id);
  if (problem !== undefined) throw new HeadraceError('bad-id', problem);
  return id;
}

function decode(encoded: string): string {
  if (!encoded.includes('%')) return encoded;
  try {
    return decodeURIComponent(encoded);
  } catch {
    throw new HeadraceError('bad-encoding', `'${encoded.slice(0, 100)}' is not percent-encoded UTF-8`);
  }
}
