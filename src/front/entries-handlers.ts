/** `POST /v1/caches/{cache}/entries:batchGet` and `POST /v1/caches/{cache}/invalidate`: many entries in one request. */
import { HeadraceError } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import { EntryBatch } from '../lookup/entry-batch.js';
import type { RecordStore } from '../lookup/record-store.js';
import { readEntryBatch, readInvalidation } from '../lookup/request-json.js';
import { JsonWriter } from '../views/json-writer.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { CacheStatus, FORWARDED, SWITCHED_OFF } from './cache-status.js';
import { entryId, wasEmptied } from './entry-handlers.js';
import type { Exchange, Headers } from './front.js';
import { ALL_HITS, missStatus } from './lookup-handler.js';
import { areBytesAccepted, BYTES_TYPE, JSON_TYPE } from './media.js';
import type { RouteHandlers } from './routes.js';

export interface EntriesHandlerOptions {
  readonly store: RecordStore;
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  /** Empties the cache in every tier and on every server. */
  readonly renew: (cache: CacheDefinition) => Promise<void>;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

const { failed } = new CacheStatus();
const INVALIDATED: Headers = ['content-type', JSON_TYPE, ...FORWARDED];

export function entriesHandlers(
  options: EntriesHandlerOptions,
): Pick<RouteHandlers, 'entryBatch' | 'entryInvalidation'> {
  const { bodyBytesMax, answerError, store, viewOf, renew } = options;
  const writer = new JsonWriter();

  async function batch(
    kept: Exchange,
    cache: CacheDefinition,
    body: Uint8Array,
    asBytes: boolean,
  ): Promise<void> {
    const keys = readEntryBatch(body);
    const ids = keys.map(key => entryId(cache, key));
    const view = viewOf(cache);
    const entries = new EntryBatch(keys.length, cache.embedding);
    let status = SWITCHED_OFF;
    if (cache.enabled) {
      const misses = view === undefined ? undefined : await store.lookup(view, ids, entries);
      status = view === undefined ? failed : misses === undefined ? ALL_HITS : missStatus(misses);
    }
    const nowMs = store.now();
    const answer = asBytes ? entries.matrix(nowMs) : entries.json(writer, cache.name, keys, nowMs);
    kept.respond(200, ['content-type', asBytes ? BYTES_TYPE : JSON_TYPE, 'cache-status', status], answer);
  }

  async function invalidate(cache: CacheDefinition, body: Uint8Array): Promise<number> {
    const what = readInvalidation(body);
    const view = viewOf(cache);
    if (view === undefined)
      throw new HeadraceError('unavailable', `the cache ${cache.name} is not ready yet`);
    if (what.kind === 'all') {
      const count = await store.invalidate(view, what);
      await renew(cache);
      return count;
    }
    const { prefix } = cache;
    if (what.kind === 'ids')
      return store.erase(view, { kind: 'ids', ids: what.ids.map(id => entryId(cache, id)) });
    if (what.kind === 'prefix') return store.erase(view, { kind: 'prefix', prefix: prefix + what.prefix });
    if (what.kind === 'pattern')
      return store.erase(view, { kind: 'pattern', pattern: prefix + what.pattern });
    return store.erase(view, what);
  }

  return {
    entryBatch: {
      POST(exchange, cache) {
        const asBytes = cache.embedding !== undefined && areBytesAccepted(exchange.header('accept'));
        exchange.readBody(bodyBytesMax, (body, kept) => {
          batch(kept, cache, body, asBytes).catch(error => answerError(kept, error));
        });
      },
    },
    entryInvalidation: {
      POST(exchange, cache) {
        exchange.readBody(bodyBytesMax, (body, kept) => {
          invalidate(cache, body)
            .catch(error => {
              // Somebody else has emptied the cache meanwhile.
              if (wasEmptied(error)) return 0;
              throw error;
            })
            .then(invalidated => kept.respond(200, INVALIDATED, JSON.stringify({ invalidated })))
            .catch(error => answerError(kept, error));
        });
      },
    },
  };
}
