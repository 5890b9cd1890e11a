/** Events in a store in the process: what the configuration file says of them, without a server between. */
import { HeadraceError } from '../base/errors.js';
import { JsonReader } from '../base/json.js';
import { carryOut, type EventOutcome } from '../caches/events/event-outcome.js';
import { planEvents } from '../caches/events/event-plan.js';
import { readEvents } from '../caches/events/event-reader.js';
import { neededMembers } from '../caches/events/event-rules.js';
import type { HeadraceEvent } from '../client/events.js';
import { invalidateEntries } from './store-cache.js';
import type { StoreParts } from './store-parts.js';

/** @throws HeadraceError `bad-event`, `unknown-event`, and nothing is invalidated then; `unavailable`. */
export async function takeEvents(
  parts: StoreParts,
  given: HeadraceEvent | readonly HeadraceEvent[],
): Promise<readonly EventOutcome[]> {
  const { definitions, events: rules, records } = parts;
  const body = Buffer.from(JSON.stringify(given));
  const planned = planEvents(rules, readEvents(new JsonReader(), body, neededMembers(rules)));
  return carryOut(planned, {
    async cache(name, what) {
      const cache = definitions.find(definition => definition.name === name);
      if (cache === undefined) throw new HeadraceError('cache-not-found', `there is no cache ${name}`);
      return invalidateEntries(parts, cache, what);
    },
    async view(name, what) {
      const view = parts.viewNamed(name);
      return view === undefined ? 0 : records.invalidate(view, what);
    },
  });
}
