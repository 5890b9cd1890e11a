/**
 * The caches as they are now: as defined, but for those that were switched off or on since the start. Who asks for a
 * cache gets what it is at that moment; a switch is seen by every request that begins after it.
 */
import type { CacheDefinition } from './definition.js';

export class LiveCaches {
  readonly #byName: Map<string, CacheDefinition>;
  readonly #onSwitch: (cache: CacheDefinition) => void;

  /** @param onSwitch is told of each that was switched. */
  constructor(
    definitions: readonly CacheDefinition[],
    onSwitch: (cache: CacheDefinition) => void = () => undefined,
  ) {
    this.#onSwitch = onSwitch;
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
    const switched = { ...cache, enabled };
    this.#byName.set(name, switched);
    this.#onSwitch(switched);
    return true;
  }
}
