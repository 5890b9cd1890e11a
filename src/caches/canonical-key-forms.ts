/**
 * Keys in the forms that people read and know, `popular:books:10`, made so that different values never meet.
 *
 * A value goes in with `%`, `:` and `*` percent-encoded, so that it cannot look like two values, nor like a pattern; so
 * does the first character of one that is the fixed word of another form at that place (the category `global` beside
 * `popular:global:{k}`). `{queryHash}` is a digest of the canonical query. Values are exact, numbers are their text.
 */
import { ProblemList } from '../base/problem-list.js';
import { shortened, tenantPrefix } from './canonical-key.js';
import { digestOf } from './canonical-key-digest.js';
import { checkQuery, checkText, KEY_LIMITS } from './canonical-key-parts.js';
import { canonicalQuery } from './canonical-key-text.js';

export const KEY_FORMS = [
  'search:{queryHash}:{userId}:{k}',
  'recommend:{userId}:{category}:{k}',
  'feature:{entityId}:{name}',
  'ranking:weights:{category}',
  'ranking:config:global',
  'popular:{category}:{k}',
  'popular:global:{k}',
  'features:{queryHash}:{scenario}',
  'party:{id}:features:all',
] as const;
export type KeyForm = (typeof KEY_FORMS)[number];

type PlacesOf<F extends string> = F extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PlacesOf<Rest>
  : never;
/** What a form wants, by name; a query, where its hash stands. */
export type FormValues<F extends KeyForm> = {
  readonly [Name in PlacesOf<F> as Name extends 'queryHash' ? 'query' : Name]: string | number;
};

const PLACE = /^\{(.*)\}$/;
const ENCODED = /[%:*]/g;

/** @throws HeadraceError `invalid-key` that names the values that are missing, empty, too long or no text. */
export function formKey<F extends KeyForm>(form: F, values: FormValues<F>, tenant?: string): string {
  const problems = new ProblemList();
  if (tenant !== undefined) checkText('tenant', tenant, 1, KEY_LIMITS.tenantBytes, problems);
  const given = values as Readonly<Record<string, string | number | undefined>>;
  const segments = form.split(':');
  const filled = segments.map((segment, at) => {
    const place = PLACE.exec(segment)?.[1];
    if (place === undefined) return segment;
    const isQuery = place === 'queryHash';
    const name = isQuery ? 'query' : place;
    const value = given[name];
    const text = typeof value === 'number' && Number.isFinite(value) ? String(value) : value;
    if (isQuery) checkQuery(text, problems);
    else checkText(name, text, 1, KEY_LIMITS.valueBytes, problems);
    if (typeof text !== 'string') return '';
    return isQuery ? digestOf(canonicalQuery(text)) : encodeFormValue(text, fixedWords(segments, at));
  });
  problems.throwIfAny('invalid-key');
  const whose = tenantPrefix(tenant);
  return shortened(whose + filled.join(':'), whose);
}

/** As a value stands in a key. */
export function encodeFormValue(value: string, fixed: ReadonlySet<string>): string {
  if (fixed.has(value)) return percent(value.slice(0, 1)) + value.slice(1);
  return value.replace(ENCODED, percent);
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

/** Of a key whose parts are `segments`: what stands at this place in the other forms that begin alike and are as long. */
export function fixedWords(segments: readonly string[], at: number): ReadonlySet<string> {
  const alike = KEY_FORMS.map(form => form.split(':')).filter(
    other => other.length === segments.length && other[0] === segments[0],
  );
  return new Set(alike.map(other => other[at] ?? '').filter(word => !PLACE.test(word)));
}
