/** What the front knows of the lists that caches are warmed by: the memory it shares with the lanes about them, its figures. */
import type { CacheDefinition } from '../caches/definition.js';
import { type ListCount, ListCounters, listCounterMemory } from '../observe/list-counters.js';
import type { SharedLists } from './lane-worker-data.js';

export function sharedLists(definitions: readonly CacheDefinition[], lanes: number): SharedLists {
  const caches = definitions.filter(({ warm }) => warm !== undefined);
  const lists = {
    caches,
    counters: listCounterMemory(caches.length, lanes),
    off: new SharedArrayBuffer(caches.length * Int32Array.BYTES_PER_ELEMENT),
  };
  for (const cache of caches) switchList(lists, cache);
  return lists;
}

function switchList({ caches, off }: SharedLists, { name, enabled }: CacheDefinition): void {
  const place = caches.findIndex(cache => cache.name === name);
  if (place >= 0) Atomics.store(new Int32Array(off), place, enabled ? 0 : 1);
}

export class ListFigures {
  readonly #lists: SharedLists;
  readonly #byCache: ReadonlyMap<string, readonly ListCounters[]>;

  constructor(lists: SharedLists, lanes: number) {
    const { caches, counters } = lists;
    this.#lists = lists;
    const ofList = (list: number) =>
      Array.from({ length: lanes }, (_, lane) => new ListCounters(counters, list, lane, lanes));
    this.#byCache = new Map(caches.map(({ name }, list) => [name, ofList(list)]));
  }

  /** Tells the lanes whether the cache is switched on. */
  switched(cache: CacheDefinition): void {
    switchList(this.#lists, cache);
  }

  readonly of = ({ name }: Pick<CacheDefinition, 'name'>): Readonly<Record<ListCount, number>> | undefined =>
    this.#byCache
      .get(name)
      ?.map(counters => counters.read())
      .reduce((sum, ofLane) => {
        const fields = Object.entries(ofLane) as [ListCount, number][];
        return Object.fromEntries(fields.map(([field, count]) => [field, sum[field] + count])) as typeof sum;
      });

  /** By cache, how many keys of its list are still to be looked at; `undefined` when none are. */
  left(): Readonly<Record<string, number>> | undefined {
    const left = [...this.#byCache.keys()].map(name => [name, this.of({ name })?.left ?? 0] as const);
    const some = left.filter(([, count]) => count > 0);
    return some.length === 0 ? undefined : Object.fromEntries(some);
  }
}
