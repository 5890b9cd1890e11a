/**
 * What events invalidate, as the configuration file says it:
 *
 *   {"events": {"product.updated": [{"cache": "results", "tags": ["product:{id}"]}, {"view": "docs", "ids": ["{id}"]}]}}
 *
 * A type of event has rules. A rule names a cache or a view, and beside it has what an invalidation of that has as its body,
 * but that its texts are templates (`template.ts`). A type without rules is known, and invalidates nothing.
 */
import * as z from 'zod';
import { ID_BYTES_MAX } from '../../base/keys.js';
import { shown } from '../../base/problem-list.js';
import { INVALIDATION_LIMITS } from '../../views/fence.js';
import { nameProblem } from '../../views/view-json.js';
import type { CacheDefinition } from '../definition.js';
import { membersOf, parseTemplate, type Template } from './template.js';

export const EVENT_LIMITS = {
  types: 256,
  typeLength: 128,
  /** Of a type. */
  rules: 16,
  /** Of a rule. */
  templates: 16,
  templateLength: 1_024,
  /** Of one request. */
  events: 1_000,
  /** That the events of a request make: ids, tags, prefixes, patterns, each as often as it is made. */
  texts: 10_000,
  /** Of these, what is no id, each once: a cache has room for so many at a time (`FENCE_LIMITS`). */
  selectors: 1_000,
} as const;

export interface EventRule {
  readonly target: { readonly kind: 'cache' | 'view'; readonly name: string };
  readonly by: 'ids' | 'prefix' | 'tags' | 'pattern' | 'all';
  /** None for `all`. */
  readonly templates: readonly Template[];
  /** Of a text that they make. */
  readonly bytesMax: number;
}

/** By type. */
export type EventRules = ReadonlyMap<string, readonly EventRule[]>;

export const NO_EVENTS: EventRules = new Map();

const TEMPLATE = z
  .string()
  .min(1, 'is empty')
  .max(EVENT_LIMITS.templateLength)
  .transform((text, context): Template => {
    const template = parseTemplate(text);
    if (typeof template !== 'string') return template;
    context.addIssue({ code: 'custom', message: template });
    return z.NEVER;
  });
const TEMPLATES = z.array(TEMPLATE).min(1, 'is empty').max(EVENT_LIMITS.templates);

const SELECTORS = ['ids', 'prefix', 'tags', 'pattern', 'all'] as const;

const RULE = z
  .strictObject({
    cache: z.string().optional(),
    view: z.string().optional(),
    ids: TEMPLATES.optional(),
    prefix: TEMPLATE.optional(),
    tags: TEMPLATES.optional(),
    pattern: TEMPLATE.optional(),
    all: z.literal(true).optional(),
  })
  .superRefine((given, context) => {
    const fail = (message: string) => context.addIssue({ code: 'custom', message });
    if ((given.cache === undefined) === (given.view === undefined))
      fail('must have exactly one of cache, view');
    if (SELECTORS.filter(by => given[by] !== undefined).length !== 1)
      fail(`must have exactly one of ${SELECTORS.join(', ')}`);
    const problem = given.view === undefined ? undefined : nameProblem(given.view);
    if (problem !== undefined)
      context.addIssue({ code: 'custom', path: ['view'], message: `is no name of a view: it ${problem}` });
  });

/** In the configuration file. */
export const EVENTS = z.map(z.string(), z.array(RULE).max(EVENT_LIMITS.rules));

export type EventsGiven = z.infer<typeof EVENTS>;
type RuleGiven = z.infer<typeof RULE>;

/** The rules; `onProblem` is told what is wrong with them beside the caches there are, and where. */
export function eventRulesOf(
  given: EventsGiven,
  caches: ReadonlyMap<string, CacheDefinition>,
  onProblem: (at: string, detail: string) => void,
): EventRules {
  if (given.size > EVENT_LIMITS.types)
    onProblem('events', `has ${given.size} types, ${EVENT_LIMITS.types} are allowed`);
  const rules = [...given].map(([type, ofType]) => {
    const at = `events.${shown(type)}`;
    const problem = typeProblem(type);
    if (problem !== undefined) onProblem(at, problem);
    return [type, ofType.map((rule, index) => ruleOf(rule, caches, `${at}.${index}`, onProblem))] as const;
  });
  return new Map(rules);
}

/** As the file has them. */
export function eventRulesJson(rules: readonly EventRule[]): readonly Readonly<Record<string, unknown>>[] {
  return rules.map(({ target, by, templates }) => {
    const texts = templates.map(({ text }) => text);
    const isMany = by === 'ids' || by === 'tags';
    return { [target.kind]: target.name, [by]: by === 'all' ? true : isMany ? texts : texts[0] };
  });
}

/** The members of events that any rule needs. */
export function neededMembers(rules: EventRules): ReadonlySet<string> {
  const templates = [...rules.values()].flat().flatMap(rule => rule.templates);
  return new Set(templates.flatMap(membersOf));
}

function ruleOf(
  given: RuleGiven,
  caches: ReadonlyMap<string, CacheDefinition>,
  at: string,
  onProblem: (at: string, detail: string) => void,
): EventRule {
  const { cache, view = '' } = given;
  const by = SELECTORS.find(name => given[name] !== undefined) ?? 'all';
  const templates = by === 'all' ? [] : [given[by] ?? []].flat();
  const definition = cache === undefined ? undefined : caches.get(cache);
  if (cache !== undefined && definition === undefined)
    onProblem(`${at}.cache`, `is '${shown(cache)}', and there is no such cache`);
  const bytesMax = bytesMaxOf(by, definition);
  for (const { text, parts } of templates) {
    const literals = parts.filter(part => typeof part === 'string').join('');
    const bytes = Buffer.byteLength(literals);
    if (bytes > bytesMax)
      onProblem(`${at}.${by}`, `has '${shown(text)}' of ${bytes} bytes, ${bytesMax} are allowed`);
  }
  const target = cache === undefined ? { kind: 'view', name: view } : { kind: 'cache', name: cache };
  return { target: target as EventRule['target'], by, templates, bytesMax };
}

function bytesMaxOf(by: EventRule['by'], cache: CacheDefinition | undefined): number {
  const { prefixBytes, tagBytes, patternBytes } = INVALIDATION_LIMITS;
  if (by === 'tags') return tagBytes;
  if (by === 'prefix') return prefixBytes;
  if (by === 'pattern') return patternBytes;
  // The cache's own prefix comes before its keys.
  return ID_BYTES_MAX - Buffer.byteLength(cache?.prefix ?? '');
}

function typeProblem(type: string): string | undefined {
  const { typeLength } = EVENT_LIMITS;
  if (type.length > typeLength) return `has a name of ${type.length} characters, ${typeLength} are allowed`;
  if (/^[A-Za-z0-9_][\w.:/-]*$/.test(type)) return undefined;
  return 'has a name that must start with a letter, a digit or _, then have letters, digits, _ . : / - only';
}
