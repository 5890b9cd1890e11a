/** What the front knows of the origins of caches: the memory it shares with the lanes about them, and its figures. */
import type { Clock } from '../base/clock.js';
import type { CacheDefinition } from '../caches/definition.js';
import { OriginCounters, originCounterMemory } from '../observe/origin-counters.js';
import { Breaker, breakerMemory } from './breaker.js';
import type { SharedOrigins } from './lane-worker-data.js';

/** @param leaseMs of caches that do not say. */
export function sharedOrigins(definitions: readonly CacheDefinition[], leaseMs: number): SharedOrigins {
  const caches = definitions
    .filter(({ origin }) => origin !== undefined)
    .map(definition => ({ ...definition, leaseMs: definition.leaseMs ?? leaseMs }));
  return {
    caches,
    breakers: breakerMemory(caches.length),
    counters: originCounterMemory(caches.length),
  };
}

interface Figures {
  readonly counters: OriginCounters;
  /** Looked at, and never asked. */
  readonly breaker: Breaker;
}

export class OriginFigures {
  readonly #byCache: ReadonlyMap<string, Figures>;

  constructor({ caches, breakers, counters }: SharedOrigins, clock: Clock) {
    const figuresAt = (name: string, index: number): Figures => ({
      counters: new OriginCounters(counters, index),
      breaker: new Breaker({ tier: name, memory: breakers, index, clock }),
    });
    this.#byCache = new Map(caches.map(({ name }, index) => [name, figuresAt(name, index)]));
  }

  readonly of = ({ name }: CacheDefinition): Readonly<Record<string, unknown>> | undefined => {
    const figures = this.#byCache.get(name);
    return figures && { breaker: figures.breaker.state, ...figures.counters.read() };
  };

  /** An answer from what is remembered: that there is none. */
  readonly countNegativeHit = ({ name }: CacheDefinition): void => {
    this.#byCache.get(name)?.counters.add('negativeHits');
  };
}
