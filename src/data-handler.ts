/** The data plane as one handler: what reads and writes records and entries, and who answers which path. */
import { systemClock } from './base/clock.js';
import type { CacheDefinition } from './caches/definition.js';
import { entryViewName } from './caches/entry-view.js';
import type { Config } from './config.js';
import { errorAnswers } from './front/answer-error.js';
import { cacheHandlers } from './front/cache-handlers.js';
import { entriesHandlers } from './front/entries-handlers.js';
import { entryHandlers } from './front/entry-handlers.js';
import type { Handler } from './front/front.js';
import { invalidateHandlers } from './front/invalidate-handler.js';
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
import { LookupAnswer } from './lookup/lookup-answer-columns.js';
import { RecordStore } from './lookup/record-store.js';
import type { Log } from './observe/log.js';
import type { Fences } from './served-views.js';
import type { Selector } from './views/fence.js';
import type { ViewRegistry } from './views/registry.js';

/** Lookups that wait for lanes at once without memory being made for them. */
export const LOOKUP_ANSWERS = 8;

export interface DataHandlerParts {
  readonly config: Config;
  readonly log: Log;
  readonly table: TableHandle;
  readonly lanes: Lanes;
  readonly views: ViewRegistry;
  readonly fences: Fences;
  readonly definitions: readonly CacheDefinition[];
}

export function dataHandler(parts: DataHandlerParts): Handler {
  const { config, log, table, lanes, views, fences, definitions } = parts;
  const { bodyBytesMax, lineBytesMax, deadline } = config;
  const store = new RecordStore({
    table: new TableReader(table, readerOfFront(config.lanes)),
    lanes,
    clock: systemClock,
    deadlineMs: deadline,
  });
  const answerError = errorAnswers(error => log.error({ err: error }, 'a request failed by a bug'));
  const shared = { store, bodyBytesMax, answerError };
  const cachesByName = new Map(definitions.map(cache => [cache.name, cache]));
  const viewOf = ({ name }: CacheDefinition) => views.builtIn(entryViewName(name));
  const l1 = new Caches(table);
  const fence = ({ name }: CacheDefinition, selector: Selector) =>
    fences.invalidate(entryViewName(name), selector);
  const figuresOf = (cache: CacheDefinition) => {
    const view = viewOf(cache);
    if (view === undefined) return undefined;
    const { budgetBytes } = l1.options(view.slot);
    return { l1: { budgetBytes, ...l1.figures(view.slot) }, invalidating: view.fences.length };
  };
  return routesOf(
    {
      record: recordHandlers(shared),
      records: loadHandlers({ store, lineBytesMax, answerError }),
      lookup: lookupHandlers({
        ...shared,
        answers: lookupAnswers(table, config),
        isDeclared: ({ name, uid }) => views.get(name)?.uid === uid,
      }),
      invalidate: invalidateHandlers(shared),
      ...viewHandlers({ views, bodyBytesMax, answerError }),
      ...cacheHandlers({ definitions, figuresOf, bodyBytesMax, answerError }),
      entry: entryHandlers({ ...shared, viewOf }),
      ...entriesHandlers({ ...shared, viewOf, fence }),
    },
    { viewNamed: name => views.get(name), cacheNamed: name => cachesByName.get(name) },
  );
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
