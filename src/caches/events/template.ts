/**
 * Templates of texts that an event fills: `product:{id}`.
 *
 *   {id}           the event's member of that name, as it is; of a list, each of its values makes a text of its own
 *   {id|encoded}   the same as it stands in the keys that `formKey` makes: with `%`, `:` and `*` percent-encoded
 *   {{ and }}      a { and a }
 *
 * A value never means more than itself: it is not empty, and has no `*` where that would be a wildcard.
 */
import { encodeFormValue, fixedWords } from '../canonical-key-forms.js';

export interface Template {
  /** As it is written. */
  readonly text: string;
  readonly parts: readonly (string | Place)[];
}

export interface Place {
  readonly member: string;
  /** Encoded, beside these words of the keys' forms; `undefined`: as it is. */
  readonly fixed: ReadonlySet<string> | undefined;
}

/** The values of an event's members: none, one or several; a text says why a member has none that can be used. */
export type Members = ReadonlyMap<string, readonly string[] | string>;

/** What is wrong with an event's member. */
export interface FillProblem {
  readonly member: string;
  readonly detail: string;
}

const TOKENS = /\{\{|\}\}|\{[^{}]*\}|[{}]/g;
const NONE: ReadonlySet<string> = new Set();
const PLACE = /^\{([A-Za-z_][\w.-]{0,63})(\|encoded)?\}$/;

/** What is wrong, as a text, with one that is no template. */
export function parseTemplate(text: string): Template | string {
  const parts: (string | Place)[] = [];
  let literal = '';
  let end = 0;
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    literal += text.slice(end, index);
    end = index + token.length;
    if (token === '{{' || token === '}}') {
      literal += token.charAt(0);
      continue;
    }
    const [, member, encoded] = PLACE.exec(token) ?? [];
    if (member === undefined)
      return `has '${token}', which is none of {member}, {member|encoded}, {{ and }}; a member is letters, digits, _ . -`;
    if (literal !== '') parts.push(literal);
    literal = '';
    parts.push({ member, fixed: encoded === undefined ? undefined : NONE });
  }
  literal += text.slice(end);
  if (literal !== '') parts.push(literal);
  return { text, parts: parts.map((part, at) => inForm(part, parts.slice(0, at), parts)) };
}

/** What is encoded, as at its place in a key of a form. */
function inForm(
  part: string | Place,
  before: readonly (string | Place)[],
  parts: readonly (string | Place)[],
): string | Place {
  if (typeof part === 'string' || part.fixed === undefined) return part;
  const segmentsOf = (some: readonly (string | Place)[]) =>
    some
      .map(given => (typeof given === 'string' ? given : '{}'))
      .join('')
      .split(':');
  return { ...part, fixed: fixedWords(segmentsOf(parts), segmentsOf(before).length - 1) };
}

/** The members that it needs, each once. */
export function membersOf({ parts }: Template): readonly string[] {
  return [...new Set(parts.flatMap(part => (typeof part === 'string' ? [] : [part.member])))];
}

/**
 * The texts that it makes of an event, each member that has several values with each of the others'.
 * @param isPattern a `*` in the template is a wildcard, and one in a value is refused.
 */
export function fillTemplate(
  template: Template,
  members: Members,
  isPattern: boolean,
  textsMax: number,
): readonly string[] | FillProblem {
  const needed = membersOf(template);
  let texts: readonly ReadonlyMap<string, string>[] = [new Map()];
  for (const member of needed) {
    const values = members.get(member) ?? 'is missing';
    if (typeof values === 'string') return { member, detail: `${values}: ${neededBy(template)}` };
    if (values.includes('')) return { member, detail: `is empty: ${neededBy(template)}` };
    if (texts.length * values.length > textsMax)
      return { member, detail: `makes more than ${textsMax} texts of ${quoted(template)}` };
    texts = texts.flatMap(chosen => values.map(value => new Map(chosen).set(member, value)));
  }
  const widening = isPattern ? wildcardIn(template, members) : undefined;
  if (widening !== undefined) return widening;
  return texts.map(chosen =>
    template.parts.map(part => (typeof part === 'string' ? part : valueAt(part, chosen))).join(''),
  );
}

function valueAt({ member, fixed }: Place, chosen: ReadonlyMap<string, string>): string {
  const value = chosen.get(member) ?? '';
  return fixed === undefined ? value : encodeFormValue(value, fixed);
}

function wildcardIn(template: Template, members: Members): FillProblem | undefined {
  for (const part of template.parts) {
    if (typeof part === 'string' || part.fixed !== undefined) continue;
    const { member } = part;
    const values = members.get(member) ?? '';
    if (typeof values !== 'string' && values.some(value => value.includes('*')))
      return { member, detail: `has a *, which would be a wildcard in ${quoted(template)}` };
  }
  return undefined;
}

function neededBy(template: Template): string {
  return `${quoted(template)} needs it`;
}

function quoted({ text }: Template): string {
  return JSON.stringify(text);
}
