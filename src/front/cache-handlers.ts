/** `/v1/caches`: the named caches there are, what each is told, and the canonical keys of their entries. */
import { JSON_TYPE } from '../base/media.js';
import type { CacheDefinition } from '../caches/definition.js';
import { definitionJson } from '../caches/definitions-file.js';
import { keyOfJson } from '../caches/key-json.js';
import type { LiveCaches } from '../caches/live-caches.js';
import { withoutQueries } from '../caches/origin-definition.js';
import { withoutPlaces } from '../caches/warm-definition.js';
import type { InvalidationFigures } from '../observe/invalidation-counts.js';
import type { AnswerError } from './answer-error.js';
import { BYPASSED, FORWARDED } from './cache-status.js';
import type { ScoringFigures } from './embedding-handlers.js';
import type { Exchange, Headers } from './front.js';
import type { RouteHandlers } from './routes.js';

/** Without what is not known now. */
export interface CacheFigures {
  /** What L1 has of the cache. */
  readonly l1?: Readonly<Record<string, number>>;
  /** Invalidations, each tag for itself, that are in effect and whose entries are not erased yet. */
  readonly invalidating?: number;
  /** How many there were, by what caused them. */
  readonly invalidations?: InvalidationFigures;
  /** What became of its leases. */
  readonly leases?: Readonly<Record<string, number>>;
  /** What became of the questions to its origin. */
  readonly origin?: Readonly<Record<string, unknown>>;
  /** What became of the keys of its list. */
  readonly list?: Readonly<Record<string, number>>;
  /** What was fetched ahead of its readers. */
  readonly prefetch?: Readonly<Record<string, number | boolean>>;
  /** What was asked of a cache of embeddings. */
  readonly scoring?: ScoringFigures;
}

export interface CacheHandlerOptions {
  readonly caches: LiveCaches;
  readonly figuresOf: (cache: CacheDefinition) => CacheFigures;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

const READ: Headers = ['content-type', JSON_TYPE, ...BYPASSED];
const MADE: Headers = ['content-type', JSON_TYPE, ...FORWARDED];

export function cacheHandlers({
  caches,
  figuresOf,
  bodyBytesMax,
  answerError,
}: CacheHandlerOptions): Pick<RouteHandlers, 'caches' | 'cache' | 'cacheKey'> {
  function shownCache(cache: CacheDefinition) {
    const origin = cache.origin && withoutQueries(cache.origin);
    const figures = figuresOf(cache);
    const shown = Object.keys(figures).length === 0 ? {} : { figures };
    const warm = cache.warm && withoutPlaces(cache.warm);
    return { cache: cache.name, ...definitionJson({ ...cache, origin, warm }), ...shown };
  }

  function list(exchange: Exchange): void {
    exchange.respond(200, READ, JSON.stringify({ caches: caches.all().map(shownCache) }));
  }

  function show(exchange: Exchange, cache: CacheDefinition): void {
    exchange.respond(200, READ, JSON.stringify(shownCache(cache)));
  }

  /** Of each cache alike: two that are asked the same question have the same key for it. */
  function makeKey(exchange: Exchange): void {
    exchange.readBody(bodyBytesMax, (body, kept) => {
      try {
        kept.respond(200, MADE, JSON.stringify({ key: keyOfJson(body) }));
      } catch (error) {
        answerError(kept, error);
      }
    });
  }

  return {
    caches: { GET: list, HEAD: list },
    cache: { GET: show, HEAD: show },
    cacheKey: { POST: makeKey },
  };
}
