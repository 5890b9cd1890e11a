/** `/v1/events`: what has changed elsewhere, and what of it is invalidated; the rules and how often they were used. */
import { HeadraceError } from '../base/errors.js';
import { JsonReader } from '../base/json.js';
import { JSON_TYPE } from '../base/media.js';
import { carryOut, type EventTargets } from '../caches/events/event-outcome.js';
import { countUnknown, planEvents } from '../caches/events/event-plan.js';
import { readEvents } from '../caches/events/event-reader.js';
import { type EventRules, eventRulesJson, neededMembers } from '../caches/events/event-rules.js';
import type { LiveCaches } from '../caches/live-caches.js';
import type { Log } from '../observe/log.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { BYPASSED, FORWARDED } from './cache-status.js';
import type { Exchange, Headers } from './front.js';
import type { Invalidations } from './invalidations.js';
import type { RouteHandlers } from './routes.js';

export interface EventHandlerOptions {
  readonly rules: EventRules;
  readonly caches: LiveCaches;
  readonly invalidations: Invalidations;
  readonly viewNamed: (name: string) => View | undefined;
  readonly log: Log;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

const READ: Headers = ['content-type', JSON_TYPE, ...BYPASSED];
const TAKEN: Headers = ['content-type', JSON_TYPE, ...FORWARDED];

export function eventHandlers(options: EventHandlerOptions): RouteHandlers['events'] {
  const { bodyBytesMax, answerError } = options;
  const events = new EventHandlers(options);
  const show = (exchange: Exchange) => exchange.respond(200, READ, JSON.stringify(events.shown()));
  return {
    GET: show,
    HEAD: show,
    POST(exchange) {
      exchange.readBody(bodyBytesMax, (body, kept) => {
        events
          .take(body)
          .then(taken => kept.respond(200, TAKEN, JSON.stringify(taken)))
          .catch(error => answerError(kept, error));
      });
    },
  };
}

class EventHandlers {
  readonly #rules: EventRules;
  readonly #needed: ReadonlySet<string>;
  readonly #targets: EventTargets;
  readonly #reader = new JsonReader();
  /** By type, events of which all was done. */
  readonly #taken = new Map<string, number>();
  /** Requests: refused for what is wrong with their events; failed, of whose invalidations one did. */
  readonly #figures = { unknown: 0, refused: 0, failed: 0 };

  constructor({ rules, caches, invalidations, viewNamed, log }: EventHandlerOptions) {
    this.#rules = rules;
    this.#needed = neededMembers(rules);
    /** Told of once, and again when they have been there meanwhile. */
    const missing = new Set<string>();
    this.#targets = {
      cache(name, what, type) {
        const cache = caches.get(name);
        // There are rules for caches that there are alone, and caches stay.
        if (cache === undefined) throw new HeadraceError('cache-not-found', `there is no cache ${name}`);
        return invalidations.ofCache(cache, what, type);
      },
      async view(name, what, type) {
        const view = viewNamed(name);
        if (view === undefined) {
          if (!missing.has(name))
            log.warn({ event: type, view: name }, 'an event is about a view that is not declared');
          missing.add(name);
          return 0;
        }
        missing.delete(name);
        return invalidations.ofView(view, what, type);
      },
    };
  }

  async take(body: Uint8Array) {
    const { events, planned } = this.#planned(body);
    try {
      const invalidated = await carryOut(planned, this.#targets);
      for (const { type = '' } of events) this.#taken.set(type, (this.#taken.get(type) ?? 0) + 1);
      return { events: events.length, invalidated };
    } catch (error) {
      this.#figures.failed++;
      throw error;
    }
  }

  shown() {
    const types = [...this.#rules].map(([type, rules]) => ({
      type,
      invalidates: eventRulesJson(rules),
      taken: this.#taken.get(type) ?? 0,
    }));
    return { events: types, figures: this.#figures };
  }

  #planned(body: Uint8Array) {
    try {
      const events = readEvents(this.#reader, body, this.#needed);
      this.#figures.unknown += countUnknown(this.#rules, events);
      return { events, planned: planEvents(this.#rules, events) };
    } catch (error) {
      this.#figures.refused++;
      throw error;
    }
  }
}
