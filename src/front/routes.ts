/**
 * The data plane's paths, and who answers each. A hit's path is decided by a few comparisons from left to right; no
 * table of patterns is walked.
 */
import { HeadraceError } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import type { View } from '../views/schema.js';
import { CACHE_PREFIX, type CacheRouteHandlers, cacheRoutesOf, EMBEDDING_PREFIX } from './cache-routes.js';
import type { Exchange, Handler } from './front.js';
import { allowed, decode, handlerOf, idOf, refuse, refuseQuery, unknownPath } from './route-parts.js';

/** One method on each kind of path; a missing one is answered with 405. */
export interface RouteHandlers extends CacheRouteHandlers {
  readonly record: Readonly<Record<string, (exchange: Exchange, view: View, id: string) => void>>;
  readonly records: Readonly<Record<string, (exchange: Exchange, view: View) => void>>;
  readonly lookup: Readonly<Record<string, (exchange: Exchange, view: View) => void>>;
  readonly invalidate: Readonly<Record<string, (exchange: Exchange, view: View) => void>>;
  readonly view: Readonly<Record<string, (exchange: Exchange, name: string) => void>>;
  readonly views: Readonly<Record<string, (exchange: Exchange) => void>>;
  readonly caches: Readonly<Record<string, (exchange: Exchange) => void>>;
  readonly events: Readonly<Record<string, (exchange: Exchange) => void>>;
}

const VIEWS = '/v1/views';
const PREFIX = '/v1/views/';
const CACHES = '/v1/caches';
const EVENTS = '/v1/events';

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
    caches: allowed(handlers.caches),
    events: allowed(handlers.events),
  };

  const { onCache, onEmbedding } = cacheRoutesOf(handlers, cacheNamed);

  /** The view named last is mostly the next one too: its name need not be cut out of the path and hashed again. */
  let lastName = '';

  function onView(exchange: Exchange, path: string): void {
    const lastSlash = PREFIX.length + lastName.length;
    const isLast = lastName !== '' && path[lastSlash] === '/' && path.startsWith(lastName, PREFIX.length);
    const slash = isLast ? lastSlash : path.indexOf('/', PREFIX.length);
    const name = isLast ? lastName : decode(path.slice(PREFIX.length, slash < 0 ? undefined : slash));
    if (slash < 0) {
      const handler = handlerOf(handlers.view, exchange.method);
      if (handler === undefined) return refuse(exchange, methods.view);
      refuseQuery(exchange);
      return handler(exchange, name);
    }
    const view = viewNamed(name);
    if (view !== undefined) lastName = view.name;
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

  function onList(exchange: Exchange, kind: 'views' | 'caches' | 'events'): void {
    const handler = handlerOf(handlers[kind], exchange.method);
    if (handler === undefined) return refuse(exchange, methods[kind]);
    refuseQuery(exchange);
    return handler(exchange);
  }

  return exchange => {
    const path = exchange.path;
    try {
      if (path.startsWith(PREFIX)) return onView(exchange, path);
      if (path.startsWith(CACHE_PREFIX)) return onCache(exchange, path);
      if (path.startsWith(EMBEDDING_PREFIX)) return onEmbedding(exchange, path);
      if (path === VIEWS) return onList(exchange, 'views');
      if (path === CACHES) return onList(exchange, 'caches');
      if (path === EVENTS) return onList(exchange, 'events');
      unknownPath(exchange);
    } catch (error) {
      if (!(error instanceof HeadraceError)) throw error;
      exchange.fail(error.problem());
    }
  };
}

function known(view: View | undefined, name: string): View {
  if (view === undefined) throw new HeadraceError('view-not-found', `there is no view ${name}`);
  return view;
}
