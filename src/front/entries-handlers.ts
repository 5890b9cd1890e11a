/** `POST /v1/caches/{cache}/entries:batchGet` and `POST /v1/caches/{cache}/invalidate`: many entries in one request. */
import type { CacheDefinition } from '../caches/definition.js';
import { entryId, ofEntryIds } from '../caches/entry-id.js';
import { EntryBatch } from '../lookup/entry-batch.js';
import type { RecordStore } from '../lookup/record-store.js';
import { readEntryBatch, readInvalidation } from '../lookup/request-json.js';
import type { Selector } from '../views/fence.js';
import { JsonWriter } from '../views/json-writer.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { BYPASSED, CacheStatus, FORWARDED } from './cache-status.js';
import { notReady, wasEmptied } from './entry-handlers.js';
import type { Exchange, Headers } from './front.js';
import { ALL_HITS, missStatus } from './lookup-handler.js';
import { JSON_TYPE } from './media.js';
import type { RouteHandlers } from './routes.js';

export interface EntriesHandlerOptions {
  readonly store: RecordStore;
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  /** Hides what is meant from every read, until it is erased; of all, how many entries memory held. */
  readonly fence: (cache: CacheDefinition, selector: Selector) => Promise<number | null>;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

const INVALIDATED: Headers = ['content-type', JSON_TYPE, ...FORWARDED];
const SWITCHED_OFF: Headers = ['content-type', JSON_TYPE, ...BYPASSED];

export function entriesHandlers(
  options: EntriesHandlerOptions,
): Pick<RouteHandlers, 'entryBatch' | 'entryInvalidation'> {
  const { bodyBytesMax, answerError, store, viewOf, fence } = options;
  const writer = new JsonWriter();
  const failed = new CacheStatus().failed;

  async function batch(kept: Exchange, cache: CacheDefinition, body: Uint8Array): Promise<void> {
    const keys = readEntryBatch(body);
    const ids = keys.map(key => entryId(cache, key));
    const view = viewOf(cache);
    const isUnknown = cache.enabled && view === undefined;
    const entries = new EntryBatch(keys.length, isUnknown ? 'UNAVAILABLE' : 'NOT_FOUND');
    let headers = SWITCHED_OFF;
    if (cache.enabled) {
      const misses = view === undefined ? undefined : await store.lookup(view, ids, entries);
      const status = view === undefined ? failed : misses === undefined ? ALL_HITS : missStatus(misses);
      headers = ['content-type', JSON_TYPE, 'cache-status', status];
    }
    kept.respond(200, headers, entries.json(writer, cache.name, keys, store.now()));
  }

  /** How many entries there were, where that is known. */
  async function invalidate(cache: CacheDefinition, body: Uint8Array): Promise<number | null> {
    const what = ofEntryIds(cache, readInvalidation(body));
    const view = viewOf(cache);
    if (view === undefined) throw notReady(cache);
    return what.kind === 'ids' ? store.erase(view, what.ids) : fence(cache, what);
  }

  return {
    entryBatch: {
      POST(exchange, cache) {
        exchange.readBody(bodyBytesMax, (body, kept) => {
          batch(kept, cache, body).catch(error => answerError(kept, error));
        });
      },
    },
    entryInvalidation: {
      POST(exchange, cache) {
        exchange.readBody(bodyBytesMax, (body, kept) => {
          invalidate(cache, body)
            .catch(error => {
              // What the store has lost is gone.
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
