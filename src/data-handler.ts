/** The data plane as one handler: what reads and writes records and entries, and who answers which path. */
import { systemClock } from './base/clock.js';
import type { CacheDefinition } from './caches/definition.js';
import { entryViewName } from './caches/entry-view.js';
import type { EventRules } from './caches/events/event-rules.js';
import { Leases } from './caches/leases.js';
import type { LiveCaches } from './caches/live-caches.js';
import { type Config, recordStoreOf } from './config.js';
import { errorAnswers } from './front/answer-error.js';
import { type CacheFigures, cacheHandlers } from './front/cache-handlers.js';
import { EmbeddingHandlers } from './front/embedding-handlers.js';
import { entriesHandlers } from './front/entries-handlers.js';
import { entryHandlers } from './front/entry-handlers.js';
import { EntryPrefetchers } from './front/entry-prefetchers.js';
import { eventHandlers } from './front/event-handlers.js';
import type { Handler } from './front/front.js';
import { invalidateHandlers } from './front/invalidate-handler.js';
import { Invalidations } from './front/invalidations.js';
import { loadHandlers } from './front/load-handler.js';
import { lookupHandlers } from './front/lookup-handler.js';
import { recordHandlers } from './front/record-handlers.js';
import { routesOf } from './front/routes.js';
import { viewHandlers } from './front/view-handlers.js';
import { Caches } from './l1/caches.js';
import type { TableHandle } from './l1/layout.js';
import { TableReader } from './l1/table-reader.js';
import type { Lanes } from './lanes/lanes.js';
import { ColumnGatherer } from './lookup/column-gatherer.js';
import { EntryStore } from './lookup/entry-store.js';
import { LookupAnswer } from './lookup/lookup-answer-columns.js';
import { Scoring } from './lookup/scoring.js';
import type { Log } from './observe/log.js';
import type { SharedOrigins } from './resolve/lane-worker-data.js';
import type { ListFigures } from './resolve/list-figures.js';
import { OriginFigures } from './resolve/origin-figures.js';
import type { Fences } from './served-views.js';
import type { ViewRegistry } from './views/registry.js';
import type { View } from './views/schema.js';

/** Lookups that wait for lanes at once without memory being made for them. */
export const LOOKUP_ANSWERS = 8;

export interface DataHandlerParts {
  readonly config: Config;
  readonly log: Log;
  readonly table: TableHandle;
  readonly lanes: Lanes;
  readonly views: ViewRegistry;
  readonly fences: Fences;
  readonly caches: LiveCaches;
  readonly events: EventRules;
  readonly origins: SharedOrigins;
  readonly lists: ListFigures;
}

export interface DataPlane {
  readonly handler: Handler;
  /** The server stops: who waits for what others make is answered. */
  readonly endWaits: () => void;
}

export function dataPlane(parts: DataHandlerParts): DataPlane {
  const { config, log, table, lanes, views, fences, caches, events, origins, lists } = parts;
  const { bodyBytesMax, lineBytesMax, deadline } = config;
  const reader = new TableReader(table, readerOfFront(config.lanes));
  const store = new EntryStore({ table: reader, lanes, clock: systemClock, deadlineMs: deadline });
  const answerError = errorAnswers(error => log.error({ err: error }, 'a request failed by a bug'));
  const shared = { store, bodyBytesMax, answerError };
  const viewNamed = (name: string) => views.get(name);
  const viewOf = entryViews(views, caches);
  const isShared = recordStoreOf(config) !== 'lmdb';
  const leases = new Leases({
    ...{ definitions: caches.all(), leaseMs: config.leaseTime },
    ...{ clock: systemClock, isShared },
  });
  const ofCache = { ...shared, viewOf, leasesOf: (cache: CacheDefinition) => leases.of(cache) };
  const prefetchers = new EntryPrefetchers({ caches, store, viewOf });
  const originFigures = new OriginFigures(origins, systemClock);
  const scoring = new Scoring({ table: reader, lanes, clock: systemClock });
  const embeddings = new EmbeddingHandlers({ ...ofCache, scoring, lineBytesMax });
  const l1 = new Caches(table);
  const invalidations = new Invalidations({
    ...ofCache,
    log,
    viewNamed,
    fence: ({ name }, selector) => fences.invalidate(entryViewName(name), selector),
  });
  const figuresOf = (cache: CacheDefinition): CacheFigures => {
    const [ofLeases, ofOrigin] = [leases.figuresOf(cache), originFigures.of(cache)];
    const [ofScoring, ofList] = [embeddings.figuresOf(cache), lists.of(cache)];
    const ofPrefetch = prefetchers.of(cache)?.figures();
    const ofInvalidations = invalidations.figuresOfCache(cache);
    return {
      ...figuresInL1(l1, viewOf(cache)),
      ...(ofInvalidations && { invalidations: ofInvalidations }),
      ...(ofLeases && { leases: ofLeases }),
      ...(ofOrigin && { origin: ofOrigin }),
      ...(ofList && { list: ofList }),
      ...(ofPrefetch && { prefetch: ofPrefetch }),
      ...(ofScoring && { scoring: ofScoring }),
    };
  };
  const figuresOfView = (view: View) => {
    const ofInvalidations = invalidations.figuresOfView(view);
    return ofInvalidations && { invalidations: ofInvalidations };
  };
  const handler = routesOf(
    {
      record: recordHandlers(shared),
      records: loadHandlers({ store, lineBytesMax, answerError }),
      lookup: lookupHandlers({
        ...shared,
        answers: lookupAnswers(table, config),
        isDeclared: ({ name, uid }) => views.get(name)?.uid === uid,
      }),
      invalidate: invalidateHandlers({ invalidations, bodyBytesMax, answerError }),
      events: eventHandlers({ ...shared, rules: events, caches, invalidations, viewNamed, log }),
      ...viewHandlers({ views, figuresOf: figuresOfView, bodyBytesMax, answerError }),
      ...cacheHandlers({ caches, figuresOf, bodyBytesMax, answerError }),
      ...embeddings.routes,
      entry: entryHandlers({
        ...{ ...ofCache, isShared, prefetchers },
        onNegativeHit: originFigures.countNegativeHit,
      }),
      ...entriesHandlers({ ...ofCache, invalidations }),
    },
    { viewNamed, cacheNamed: name => caches.get(name) },
  );
  return { handler, endWaits: () => leases.close() };
}

function figuresInL1(l1: Caches, view: View | undefined): CacheFigures {
  if (view === undefined) return {};
  const { budgetBytes } = l1.options(view.slot);
  return { l1: { budgetBytes, ...l1.figures(view.slot) }, invalidating: view.fences.length };
}

/** Each hit asks for its cache's view: a name that is put together anew would be hashed anew. */
function entryViews(views: ViewRegistry, caches: LiveCaches): (cache: CacheDefinition) => View | undefined {
  const names = new Map(caches.names().map(name => [name, entryViewName(name)]));
  return ({ name }) => views.builtIn(names.get(name) ?? '');
}

/** Each with a buffer beside the table. */
function lookupAnswers(table: TableHandle, { lanes }: Config): LookupAnswer[] {
  return Array.from(
    { length: LOOKUP_ANSWERS },
    (_, buffer) => new LookupAnswer(undefined, new ColumnGatherer(table, readerOfFront(lanes), buffer)),
  );
}

/** Each lane's thread has the reader of its number. */
function readerOfFront(lanes: number): number {
  return lanes;
}
