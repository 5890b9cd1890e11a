/**
 * `import { open } from 'headrace'`: the store in the application's own process. It is the server's composition without
 * its ports: the same lanes, tiers and shared memory, and the same options.
 */
import { systemClock } from './base/clock.js';
import { entryViewName } from './caches/entry-view.js';
import { ConfigError, type OptionName, optionRows, readConfig } from './config.js';
import { TableReader } from './l1/table-reader.js';
import { RecordStore } from './lookup/record-store.js';
import { openEngine } from './main.js';
import { openLog } from './observe/log.js';
import { joinStore } from './store/joined-store.js';
import { Store } from './store/store.js';
import type { StoreParts } from './store/store-parts.js';
import type { StoreHandle } from './store/thread-messages.js';
import { ThreadOwner } from './store/thread-owner.js';
import type { Selector } from './views/fence.js';

export { HeadraceError, type ProblemCode } from './base/errors.js';
export { canonicalKey } from './caches/canonical-key.js';
export { formKey, KEY_FORMS } from './caches/canonical-key-forms.js';
export type { EventOutcome } from './caches/events/event-outcome.js';
export type { CacheEntry } from './client/cache-entry.js';
export type { HeadraceEvent } from './client/events.js';
export type {
  FeatureRow,
  FeatureRowInput,
  Features,
  FeatureType,
  FeatureValue,
} from './client/feature-types.js';
export type { LookupColumn, LookupColumns } from './client/lookup-columns.js';
export type { LookupRow, StoredRecord, ViewDefinition } from './client/view-client.js';
export { ConfigError } from './config.js';
export type { Store } from './store/store.js';
export type { StoreCache } from './store/store-cache.js';
export type { StoreView } from './store/store-view.js';
export type { StoreHandle } from './store/thread-messages.js';

/** Of the server's options, those about its ports and about what it does for their clients alone. */
const HTTP_OPTIONS = [
  'host',
  'port',
  'adminHost',
  'adminPort',
  'adminKey',
  'front',
  'bodyBytesMax',
  'headerBytesMax',
  'pathBytesMax',
  'connectionsMax',
  'idleTimeout',
  'leaseTime',
] as const satisfies readonly OptionName[];

/** As the server's flags have them: `{ dataDir: './data', l1Bytes: '256MiB', lanes: 2 }`. */
export type OpenOptions = {
  readonly [K in Exclude<OptionName, (typeof HTTP_OPTIONS)[number]>]?: string | number;
};

/** Below this, an application's own output is not to be mixed with a log. */
const LOG_LEVEL = 'error';

/** Threads that may join, each with room for an answer of its own; what is not used takes no memory. */
const THREADS_MAX = 32;

/**
 * Opens the store, and the data directory for this process alone; or joins one that another thread of the process has.
 * @throws ConfigError when an option is wrong, StartError when it cannot be opened so, HeadraceError when it is closed.
 */
export async function open(options: OpenOptions | { readonly join: StoreHandle } = {}): Promise<Store> {
  if ('join' in options) return joinStore(options.join, systemClock);
  const config = readConfig({}, { logLevel: LOG_LEVEL, ...givenOf(options) });
  const log = openLog(config.logLevel);
  const threads = new ThreadOwner(THREADS_MAX);
  const engine = await openEngine(config, log, { threads });
  const { table, lanes, views, fences, definitions, events } = engine;
  const { deadline, lineBytesMax, queueMax, shutdownTimeout } = config;
  const fence = (cache: string, selector: Selector) => fences.invalidate(entryViewName(cache), selector);
  const limits = { deadlineMs: deadline, lineBytesMax, callsMax: queueMax };
  threads.begin({ table, lanes, views, fence, definitions, events, ...limits });
  lanes.warm().catch(error => log.warn({ err: error }, 'what was hot before the start is not read'));
  const reader = new TableReader(table, lanes.count);
  const parts: StoreParts = {
    records: new RecordStore({ table: reader, lanes, clock: systemClock, deadlineMs: deadline }),
    ...{ definitions, events, lineBytesMax },
    viewNamed: name => views.get(name),
    entryView: ({ name }) => views.builtIn(entryViewName(name)),
    views: () => views.list(),
    declare: async (name, definition) => (await views.declare(name, definition)).view.schema,
    drop: name => views.drop(name),
    fence: ({ name }, selector) => fence(name, selector),
  };
  const close = async () => {
    await lanes.drain(Date.now() + shutdownTimeout);
    threads.close();
    await engine.close();
  };
  return new Store(parts, { handle: () => threads.handle(), close });
}

/** @throws ConfigError that names what is no option of a store in the process. */
function givenOf(options: OpenOptions): Record<string, string> {
  const known = new Set<string>(optionRows.map(({ name }) => name));
  for (const name of HTTP_OPTIONS) known.delete(name);
  const wrong = Object.keys(options).filter(name => !known.has(name));
  if (wrong.length > 0)
    throw new ConfigError(wrong.map(name => `${name} is no option of a store in the process`).join('\n'));
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}
