/** How often something of each view or cache was invalidated, by what caused it. */

export interface InvalidationFigures {
  /** Asked for. */
  readonly api: number;
  /** By type. */
  readonly events: Readonly<Record<string, number>>;
}

interface Counts {
  api: number;
  readonly events: Map<string, number>;
}

/** More names than there can be at once. */
const NAMES_MAX = 1_024;

export class InvalidationCounts {
  readonly #isThere: (name: string) => boolean;
  readonly #byName = new Map<string, Counts>();

  /** @param isThere what is not there any more is forgotten. */
  constructor(isThere: (name: string) => boolean) {
    this.#isThere = isThere;
  }

  /** @param event its type; there are as many as the configuration says. */
  add(name: string, event: string | undefined, count: number): void {
    const counts = this.#byName.get(name) ?? this.#new(name);
    if (event === undefined) counts.api += count;
    else counts.events.set(event, (counts.events.get(event) ?? 0) + count);
  }

  /** `undefined`: there was none. */
  of(name: string): InvalidationFigures | undefined {
    const counts = this.#byName.get(name);
    return counts && { api: counts.api, events: Object.fromEntries(counts.events) };
  }

  #new(name: string): Counts {
    if (this.#byName.size >= NAMES_MAX)
      for (const known of this.#byName.keys()) if (!this.#isThere(known)) this.#byName.delete(known);
    const counts = { api: 0, events: new Map<string, number>() };
    this.#byName.set(name, counts);
    return counts;
  }
}
