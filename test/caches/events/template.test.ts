/** Templates of events: a value is never more than itself, whatever it is. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { matchesPattern } from '../../../src/base/pattern.js';
import { formKey } from '../../../src/caches/canonical-key-forms.js';
import {
  fillTemplate,
  type Members,
  parseTemplate,
  type Template,
} from '../../../src/caches/events/template.js';
import { FULL, FULL_TIMEOUT, SEED } from '../../base/seeded.js';

const RUNS = { numRuns: FULL ? 100_000 : 2_000, seed: SEED };

function template(text: string): Template {
  const parsed = parseTemplate(text);
  if (typeof parsed === 'string') throw new Error(parsed);
  return parsed;
}

const fill = (text: string, members: Record<string, readonly string[] | string>, isPattern = false) =>
  fillTemplate(template(text), new Map(Object.entries(members)), isPattern, 100);

describe('a template', () => {
  test('is filled with the members that it names', () => {
    const members = { id: ['7'], category: ['a', 'b'], k: ['1', '2'], 'x.y-z': ['!'] };
    expect(fill('ranking:config:global', {})).toEqual(['ranking:config:global']);
    expect(fill('product:{id}', members)).toEqual(['product:7']);
    expect(fill('{id}', members)).toEqual(['7']);
    expect(fill('{{{id}}}{{}}', members)).toEqual(['{7}{}']);
    expect(fill('{x.y-z}', members)).toEqual(['!']);
    expect(fill('{category}:{id}:{category}', members)).toEqual(['a:7:a', 'b:7:b']);
    expect(fill('{category}{k}', members)).toEqual(['a1', 'a2', 'b1', 'b2']);
    expect(fill('{none}', { none: [] })).toEqual([]);
    expect(fill('{id}/{id|encoded}', { id: ['50%:*'] })).toEqual(['50%:*/50%25%3A%2A']);
  });

  test('encodes as the keys of forms do, wherever a form has that value', () => {
    const values = ['global', 'a:b', '*', '100%', 'Globál'];
    for (const category of values) {
      const [weights] = fill('ranking:weights:{category|encoded}', { category: [category] }) as string[];
      expect(weights).toBe(formKey('ranking:weights:{category}', { category }));
      const [prefix = ''] = fill('popular:{category|encoded}:', { category: [category] }) as string[];
      expect(`${prefix}10`).toBe(formKey('popular:{category}:{k}', { category, k: 10 }));
      const members = { userId: ['config'], category: [category] };
      const [recommended] = fill('recommend:{userId|encoded}:{category|encoded}:10', members) as string[];
      expect(recommended).toBe(
        formKey('recommend:{userId}:{category}:{k}', { userId: 'config', category, k: 10 }),
      );
    }
  });

  test('says which member an event lacks, or has in no form to be used', () => {
    expect(fill('a:{id}', { ID: ['7'] })).toEqual({ member: 'id', detail: 'is missing: "a:{id}" needs it' });
    expect(fill('a:{id}', { id: 'is null' })).toEqual({ member: 'id', detail: 'is null: "a:{id}" needs it' });
    for (const text of ['a:{id}', '{id}', '{id|encoded}*'])
      expect(fill(text, { id: ['b', ''] })).toMatchObject({
        member: 'id',
        detail: expect.stringMatching(/^is empty/),
      });
    const many = Array.from({ length: 11 }, (_, n) => `${n}`);
    expect(fill('{a}{b}', { a: many, b: many })).toMatchObject({
      member: 'b',
      detail: expect.stringMatching(/more than 100 texts/),
    });
  });

  test('is refused when it is none', () => {
    for (const text of [
      '{',
      '}',
      '{}',
      '{a',
      'a}',
      '{a b}',
      '{a|}',
      '{a|upper}',
      '{1}',
      '{{a}',
      '{a}}',
      '{a{b}}',
    ])
      expect([text, typeof parseTemplate(text)]).toEqual([text, 'string']);
    expect(parseTemplate(`{${'a'.repeat(65)}}`)).toMatch(/which is none of/);
  });
});

const piece = fc.oneof(
  fc.constantFrom('*', '{', '}', ':', '%', 'a', 'b', ''),
  fc.string({ unit: 'binary', maxLength: 4 }),
);
const text = fc.array(piece, { maxLength: 5 }).map(pieces => pieces.join(''));
const value = text.filter(given => given !== '');
const NAMES = ['id', 'category'] as const;
const part = fc.oneof(
  fc.record({ literal: text }),
  fc.record({ member: fc.constantFrom(...NAMES), isEncoded: fc.boolean() }),
);
type Part = typeof part extends fc.Arbitrary<infer T> ? T : never;

const written = (parts: readonly Part[]) =>
  parts
    .map(given =>
      'literal' in given
        ? given.literal.replace(/[{}]/g, brace => brace + brace)
        : `{${given.member}${given.isEncoded ? '|encoded' : ''}}`,
    )
    .join('');
const encoded = (given: string) =>
  given.replace(/[%:*]/g, found => ({ '%': '%25', ':': '%3A', '*': '%2A' })[found] ?? '');
const expected = (parts: readonly Part[], values: Readonly<Record<string, string>>) =>
  parts
    .map(given => {
      if ('literal' in given) return given.literal;
      const taken = values[given.member] ?? '';
      return given.isEncoded ? encoded(taken) : taken;
    })
    .join('');
const ANY = Symbol('any');
const scene = { parts: fc.array(part, { minLength: 1, maxLength: 6 }), id: value, category: value };
const membersOf = (values: Readonly<Record<string, string>>): Members =>
  new Map(Object.entries(values).map(([name, given]) => [name, [given]]));

test(
  `any template makes of any values what it says, character by character (seed ${SEED})`,
  FULL_TIMEOUT,
  () => {
    fc.assert(
      fc.property(fc.record(scene), ({ parts, ...values }) => {
        const filled = fillTemplate(template(written(parts)), membersOf(values), false, 1);
        expect(filled).toEqual([expected(parts, values)]);
      }),
      RUNS,
    );
  },
);

test(`no value adds a wildcard to a pattern (seed ${SEED})`, FULL_TIMEOUT, () => {
  const counts = { refused: 0, matched: 0, unmatched: 0 };
  fc.assert(
    fc.property(fc.record(scene), text, ({ parts, ...values }, other) => {
      const filled = fillTemplate(template(written(parts)), membersOf(values), true, 1);
      const isPlain = (given: Part) => !('literal' in given) && !given.isEncoded;
      const hasStar = parts.some(
        given => isPlain(given) && 'member' in given && values[given.member].includes('*'),
      );
      expect('detail' in filled).toBe(hasStar);
      if ('detail' in filled) {
        counts.refused++;
        return;
      }
      const [pattern = ''] = filled;
      // The reference is made of the parts: their own stars alone are wildcards.
      const reference = parts.flatMap(given =>
        'literal' in given
          ? [...given.literal].map(unit => (unit === '*' ? ANY : unit))
          : [...expected([given], values)],
      );
      const own = expected(parts, values).replaceAll('*', other);
      for (const candidate of [
        own,
        [...own].slice(1).join(''),
        `${own}x`,
        other,
        own.replaceAll('%2A', other),
      ]) {
        const isMatched = isCovered([...candidate], reference);
        counts[isMatched ? 'matched' : 'unmatched']++;
        expect([candidate, matchesPattern(pattern, candidate)]).toEqual([candidate, isMatched]);
      }
    }),
    RUNS,
  );
  // None of the cases is there in name alone.
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(200);
});

/** By the definition: whether the texts between wildcards, and these, cover all of it. */
function isCovered(units: readonly string[], pattern: readonly (string | typeof ANY)[]): boolean {
  // By length, whether the pattern so far covers as much of the text.
  let covers = units.map(() => false);
  covers = [true, ...covers];
  for (const step of pattern) {
    let any = false;
    covers = covers.map((_, length) => {
      any ||= covers[length] === true;
      return step === ANY ? any : length > 0 && covers[length - 1] === true && units[length - 1] === step;
    });
  }
  return covers.at(-1) === true;
}
