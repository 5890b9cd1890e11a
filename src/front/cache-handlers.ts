/** `/v1/caches`: the named caches there are, what each is told, and the canonical keys of their entries. */
import { JsonReader } from '../base/json.js';
import { type JsonValue, readText } from '../base/json-value.js';
import { JSON_TYPE } from '../base/media.js';
import { plainObject } from '../base/zod-json.js';
import { canonicalKey } from '../caches/canonical-key.js';
import type { KeyParts } from '../caches/canonical-key-parts.js';
import type { CacheDefinition } from '../caches/definition.js';
import { definitionJson } from '../caches/definitions-file.js';
import type { LiveCaches } from '../caches/live-caches.js';
import { withoutQueries } from '../caches/origin-definition.js';
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
    return { cache: cache.name, ...definitionJson({ ...cache, origin }), ...shown };
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
        kept.respond(200, MADE, JSON.stringify({ key: keyOf(body) }));
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

/** @throws HeadraceError `bad-json`, `invalid-key` */
function keyOf(body: Uint8Array): string {
  // Whatever it is: `canonicalKey` checks what it is given.
  return canonicalKey(objectOf(readText(new JsonReader(), body)) as KeyParts);
}

/** The parts and their params as objects; what else there is stays a Map, which no part may be. */
function objectOf(value: JsonValue): unknown {
  if (!(value instanceof Map)) return value;
  const params = value.get('params');
  const members = new Map<string, unknown>(value);
  if (params instanceof Map) members.set('params', plainObject(params));
  return plainObject(members);
}
