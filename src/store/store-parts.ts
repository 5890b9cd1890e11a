/** What a store in the process is made of, in the thread that opened it as in one that joined. */
import type { CacheDefinition } from '../caches/definition.js';
import type { EventRules } from '../caches/events/event-rules.js';
import type { RecordStore } from '../lookup/record-store.js';
import type { Selector } from '../views/fence.js';
import type { View, ViewDefinition } from '../views/schema.js';

export interface StoreParts {
  readonly records: RecordStore;
  readonly definitions: readonly CacheDefinition[];
  readonly events: EventRules;
  /** The longest record that a load takes, in bytes of its JSON. */
  readonly lineBytesMax: number;
  viewNamed(name: string): View | undefined;
  /** The view that holds a cache's entries; `undefined` while it is not known. */
  entryView(cache: CacheDefinition): View | undefined;
  views(): readonly View[];
  /** The number of its schema. @throws HeadraceError `view-conflict`, `too-many-views`, `unavailable`. */
  declare(name: string, definition: ViewDefinition): Promise<number>;
  /** @throws HeadraceError `view-not-found`, `unavailable`. */
  drop(name: string): Promise<void>;
  /** Hides what is meant of a cache from every read in every thread, until it is erased; of all, how many memory held. */
  fence(cache: CacheDefinition, selector: Selector): Promise<number | null>;
}
