/** All scenarios, in the order in which they run. */
import { UserError } from '../user-error.js';
import { batch } from './batch.js';
import { cacheHit } from './cache-hit.js';
import { cacheHitRatio } from './cache-hit-ratio.js';
import { cacheLoad } from './cache-load.js';
import { cacheStale } from './cache-stale.js';
import { cacheStampede } from './cache-stampede.js';
import { load } from './load.js';
import { mixed } from './mixed.js';
import { restart } from './restart.js';
import { restartWarm } from './restart-warm.js';
import type { Scenario } from './scenario.js';
import { singleHit } from './single-hit.js';
import { singleMiss } from './single-miss.js';
import { tiers } from './tiers.js';
import { zipf } from './zipf.js';

export const SCENARIOS: readonly Scenario[] = [
  singleHit,
  singleMiss,
  batch,
  mixed,
  zipf,
  load,
  restart,
  restartWarm,
  tiers,
  cacheHit,
  cacheHitRatio,
  cacheLoad,
  cacheStampede,
  cacheStale,
];

/** @throws UserError for a name that is none. No names: all. */
export function scenariosNamed(names: readonly string[]): readonly Scenario[] {
  const known = new Map(SCENARIOS.map(scenario => [scenario.name, scenario]));
  for (const name of names) {
    if (!known.has(name)) {
      throw new UserError(`there is no scenario ${name}; there are ${[...known.keys()].join(', ')}`);
    }
  }
  return names.length === 0 ? SCENARIOS : SCENARIOS.filter(scenario => names.includes(scenario.name));
}
