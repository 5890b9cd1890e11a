/**
 * The caches as they are now: as defined, but for those that were switched off or on since the start. Who asks for a
 * cache gets what it is at that moment; a switch is seen by every request that begins after it.
 */
import type { CacheDefinition } from './definition.js';

export class LiveCaches {
  readonly #byName: Map<string, CacheDefinition>;

  constructor(definitions: readonly CacheDefinition[]) {
    this.#byName = new Map(definitions.map(cache => [cache.name, cache]));
  }

  get(name: string): CacheDefinition | undefined {
    return this.#byName.get(name);
  }

  all(): readonly CacheDefinition[] {
    return [...this.#byName.values()];
  }

  names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  /** False: it was so already. */
  switch(name: string, enabled: boolean): boolean {
    const cache = this.#byName.get(name);
    if (cache === undefined || cache.enabled === enabled) return false;
    this.#byName.set(name, { ...cache, enabled });
    return true;
  }
}
