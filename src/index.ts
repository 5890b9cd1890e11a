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
import { Store } from './store/store.js';

export { HeadraceError, type ProblemCode } from './base/errors.js';
export { canonicalKey } from './caches/canonical-key.js';
export { formKey, KEY_FORMS } from './caches/canonical-key-forms.js';
export type { CacheEntry } from './client/cache-entry.js';
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

/** Of the server's options, those about its ports. */
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
] as const satisfies readonly OptionName[];

/** As the server's flags have them: `{ dataDir: './data', l1Bytes: '256MiB', lanes: 2 }`. */
export type OpenOptions = {
  readonly [K in Exclude<OptionName, (typeof HTTP_OPTIONS)[number]>]?: string | number;
};

/** Below this, an application's own output is not to be mixed with a log. */
const LOG_LEVEL = 'error';

/**
 * Opens the store, and the data directory for this process alone.
 * @throws ConfigError when an option is wrong, StartError when it cannot be opened so.
 */
export async function open(options: OpenOptions = {}): Promise<Store> {
  const config = readConfig({}, { logLevel: LOG_LEVEL, ...givenOf(options) });
  const log = openLog(config.logLevel);
  const engine = await openEngine(config, log);
  const { table, lanes, views, definitions } = engine;
  lanes.warm().catch(error => log.warn({ err: error }, 'what was hot before the start is not read'));
  const records = new RecordStore({
    table: new TableReader(table, config.lanes),
    lanes,
    clock: systemClock,
    deadlineMs: config.deadline,
  });
  const parts = {
    records,
    definitions,
    lineBytesMax: config.lineBytesMax,
    viewNamed: (name: string) => views.get(name),
    entryView: ({ name }: { readonly name: string }) => views.builtIn(entryViewName(name)),
    views: () => views.list(),
    declare: async (...declared: Parameters<typeof views.declare>) => (await views.declare(...declared)).view,
    drop: (name: string) => views.drop(name),
    renew: ({ name }: { readonly name: string }) => views.renew(entryViewName(name)),
  };
  const close = async () => {
    await lanes.drain(Date.now() + config.shutdownTimeout);
    await engine.close();
  };
  return new Store(parts, close);
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
