/**
 * What events invalidate: their rules, filled from their members. All of it is made before any of it is done, so that
 * events of which one is wrong change nothing.
 */
import { HeadraceError } from '../../base/errors.js';
import { PROBLEMS_MAX, ProblemList, shown } from '../../base/problem-list.js';
import { INVALIDATION_LIMITS, type Invalidation } from '../../views/fence.js';
import type { Event } from './event-reader.js';
import { EVENT_LIMITS, type EventRule, type EventRules } from './event-rules.js';
import { fillTemplate, membersOf, type Template } from './template.js';

/** What the events of one type invalidate by one of its rules. */
export interface Planned {
  readonly type: string;
  readonly rule: EventRule;
  /** Each once; none for `all`. */
  readonly texts: ReadonlySet<string>;
}

/** How many of the events are of types that there are no rules for. */
export function countUnknown(rules: EventRules, events: readonly Event[]): number {
  return events.filter(({ type }) => type !== undefined && !rules.has(type)).length;
}

/**
 * @throws HeadraceError that names what is wrong with each event: `unknown-event` when that is the types of some alone,
 * else `bad-event`.
 */
export function planEvents(rules: EventRules, events: readonly Event[]): readonly Planned[] {
  const problems = new ProblemList();
  const planner = new Planner(problems);
  let unknown = 0;
  for (const event of events) {
    // A thousand events may each lack what hundreds of templates need.
    if (problems.count > PROBLEMS_MAX) break;
    const { type } = event;
    const ofType = type === undefined ? undefined : rules.get(type);
    if (type === undefined) problems.add(placeOf(event, 'type'), 'must be there, and a string');
    else if (ofType === undefined) {
      unknown++;
      const detail = `is '${shown(type)}', for which the configuration file has no rules`;
      problems.add(placeOf(event, 'type'), detail);
    } else for (const rule of ofType) planner.add(type, rule, event);
  }
  problems.throwIfAny(unknown === problems.count ? 'unknown-event' : 'bad-event');
  return planner.planned;
}

/** In steps that a cache takes at once. */
export function invalidationsOf({ rule: { by }, texts }: Planned): readonly Invalidation[] {
  const all = [...texts];
  if (by === 'all') return [{ kind: 'all' }];
  if (by === 'ids') return all.length === 0 ? [] : [{ kind: 'ids', ids: all }];
  if (by === 'prefix') return all.map(prefix => ({ kind: 'prefix', prefix }));
  if (by === 'pattern') return all.map(pattern => ({ kind: 'pattern', pattern }));
  const { tags: most } = INVALIDATION_LIMITS;
  const steps = Array.from({ length: Math.ceil(all.length / most) }, (_, step) => step * most);
  return steps.map(from => ({ kind: 'tags', tags: all.slice(from, from + most) }));
}

class Planner {
  readonly #problems: ProblemList;
  readonly #texts = new Map<EventRule, Planned & { readonly texts: Set<string> }>();
  #made = 0;
  #selectors = 0;

  constructor(problems: ProblemList) {
    this.#problems = problems;
  }

  get planned(): readonly Planned[] {
    return [...this.#texts.values()];
  }

  /** @throws HeadraceError `bad-event` when it is too much. */
  add(type: string, rule: EventRule, event: Event): void {
    const known = this.#texts.get(rule);
    const { texts } = known ?? { texts: new Set<string>() };
    if (known === undefined) this.#texts.set(rule, { type, rule, texts });
    const before = texts.size;
    for (const template of rule.templates)
      for (const text of this.#fill(rule, template, event)) texts.add(text);
    if (rule.by !== 'ids') this.#selectors += texts.size - before;
    requireAtMost(this.#selectors, EVENT_LIMITS.selectors, 'tags, prefixes and patterns');
  }

  #fill(rule: EventRule, template: Template, event: Event): readonly string[] {
    const filled = fillTemplate(template, event.members, rule.by === 'pattern', EVENT_LIMITS.texts);
    if ('detail' in filled) {
      this.#problems.add(placeOf(event, filled.member), filled.detail);
      return [];
    }
    this.#made += filled.length;
    requireAtMost(this.#made, EVENT_LIMITS.texts, 'ids, tags, prefixes and patterns');
    const fits = (text: string) => Buffer.byteLength(text) <= rule.bytesMax;
    if (filled.every(fits)) return filled;
    const detail = `makes more than ${rule.bytesMax} bytes of ${JSON.stringify(template.text)}`;
    this.#problems.add(placeOf(event, membersOf(template)[0] ?? ''), detail);
    return [];
  }
}

function requireAtMost(count: number, most: number, what: string): void {
  if (count > most)
    throw new HeadraceError('bad-event', `the body makes more than ${most} ${what}; split it`);
}

function placeOf({ at }: Event, member: string): string {
  return at === '' ? member : `${at}.${member}`;
}
