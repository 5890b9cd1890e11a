/** `POST /v1/caches/{cache}/entries:batchGet` and `POST /v1/caches/{cache}/invalidate`: many entries in one request. */
import { areBytesAccepted, BYTES_TYPE, JSON_TYPE } from '../base/media.js';
import type { CacheDefinition } from '../caches/definition.js';
import { entryId } from '../caches/entry-id.js';
import { EntryBatch } from '../lookup/entry-batch.js';
import type { EntryStore } from '../lookup/entry-store.js';
import { readEntryBatch, readInvalidation } from '../lookup/request-json.js';
import { JsonWriter } from '../views/json-writer.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { CacheStatus, FORWARDED, SWITCHED_OFF } from './cache-status.js';
import type { Exchange, Headers } from './front.js';
import { ACCEPT } from './header-names.js';
import type { Invalidations } from './invalidations.js';
import { ALL_HITS, missStatus } from './lookup-handler.js';
import type { RouteHandlers } from './routes.js';

export interface EntriesHandlerOptions {
  readonly store: EntryStore;
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  readonly invalidations: Invalidations;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

const { failed } = new CacheStatus();
const INVALIDATED: Headers = ['content-type', JSON_TYPE, ...FORWARDED];
const THROUGH = 'headrace; fwd=partial; detail=origin';
const THROUGH_OFF = 'headrace; fwd=bypass; detail=origin';

export function entriesHandlers(
  options: EntriesHandlerOptions,
): Pick<RouteHandlers, 'entryBatch' | 'entryInvalidation'> {
  const { bodyBytesMax, answerError, store, viewOf, invalidations } = options;
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
    const isUnknown = view === undefined && (cache.enabled || cache.origin !== undefined);
    const entries = new EntryBatch(keys.length, cache.embedding, isUnknown ? 'UNAVAILABLE' : 'NOT_FOUND');
    let status = SWITCHED_OFF;
    if (cache.enabled) {
      const misses = view === undefined ? undefined : await store.lookup(view, ids, entries);
      status = view === undefined ? failed : misses === undefined ? ALL_HITS : missStatus(misses);
    }
    const isThrough = cache.origin !== undefined && (await readThrough(options, cache, ids, entries));
    if (isThrough) status = cache.enabled ? THROUGH : THROUGH_OFF;
    const nowMs = store.now();
    const answer = asBytes ? entries.matrix(nowMs) : entries.json(writer, cache.name, keys, nowMs);
    kept.respond(200, ['content-type', asBytes ? BYTES_TYPE : JSON_TYPE, 'cache-status', status], answer);
  }

  return {
    entryBatch: {
      POST(exchange, cache) {
        const asBytes = cache.embedding !== undefined && areBytesAccepted(exchange.header(ACCEPT));
        exchange.readBody(bodyBytesMax, (body, kept) => {
          batch(kept, cache, body, asBytes).catch(error => answerError(kept, error));
        });
      },
    },
    entryInvalidation: {
      POST(exchange, cache) {
        exchange.readBody(bodyBytesMax, (body, kept) => {
          // Within a promise, so that a body that cannot be read is answered like everything else that fails.
          Promise.resolve()
            .then(() => invalidations.ofCache(cache, readInvalidation(body)))
            .then(invalidated => kept.respond(200, INVALIDATED, JSON.stringify({ invalidated })))
            .catch(error => answerError(kept, error));
        });
      },
    },
  };
}

/** Whether the origin was to be asked for any. */
async function readThrough(
  { store, viewOf }: EntriesHandlerOptions,
  cache: CacheDefinition,
  ids: readonly string[],
  entries: EntryBatch,
): Promise<boolean> {
  const view = viewOf(cache);
  if (view === undefined) return false;
  const nowMs = store.now();
  const { missing, stale } = entries.wanted(nowMs);
  const idAt = (place: number) => ids[place] as string;
  for (const place of stale) store.refresh(view, idAt(place), nowMs, nowMs);
  if (missing.length === 0) return false;
  const found = await store.readThrough(view, missing.map(idAt), cache.enabled);
  missing.forEach((place, index) => {
    const through = found[index];
    if (through !== undefined) entries.through(place, through);
  });
  return true;
}
