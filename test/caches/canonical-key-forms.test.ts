/** Keys in the forms that people know: readable, and never two values in one key. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { Pattern } from '../../src/base/pattern.js';
import { digestOf } from '../../src/caches/canonical-key-digest.js';
import { formKey, KEY_FORMS, type KeyForm } from '../../src/caches/canonical-key-forms.js';
import { KEY_LIMITS, utf8Bytes } from '../../src/caches/canonical-key-parts.js';
import { FULL, FULL_TIMEOUT, SEED } from '../base/seeded.js';

const RUNS = { numRuns: FULL ? 100_000 : 10_000, seed: SEED };

/** Without the types, for values of any form. */
const keyOf = formKey as (
  form: KeyForm,
  values: Readonly<Record<string, unknown>>,
  tenant?: string,
) => string;
const placesOf = (form: KeyForm) =>
  [...form.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => (name === 'queryHash' ? 'query' : name));

const value = fc.oneof(
  fc.constantFrom(
    'global',
    'weights',
    'config',
    'features',
    'all',
    ':',
    '%',
    '*',
    '%67lobal',
    'a:b',
    'a',
    'b',
    '10',
    '#',
  ),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 8 }).map(text => text.toWellFormed()),
);
const filled = fc.constantFrom(...KEY_FORMS).chain(form =>
  fc.record({
    form: fc.constant(form),
    values: fc.record(Object.fromEntries(placesOf(form).map(name => [name, value]))),
    tenant: fc.option(value, { nil: undefined }),
  }),
);

function problems(form: KeyForm, values: Readonly<Record<string, unknown>>, tenant?: string): string[] {
  try {
    keyOf(form, values, tenant);
  } catch (error) {
    if (error instanceof HeadraceError)
      return (error.errors ?? []).map(({ at, detail }) => `${at} ${detail}`);
    throw error;
  }
  return [];
}

describe('a key of a form', () => {
  test('reads as people know it', () => {
    const query = 'Ｃafé  NOIR';
    const hash = digestOf('café noir');
    expect([
      formKey('search:{queryHash}:{userId}:{k}', { query, userId: 'u1', k: 10 }),
      formKey('recommend:{userId}:{category}:{k}', { userId: 'u1', category: 'books', k: 10 }),
      formKey('feature:{entityId}:{name}', { entityId: 'doc7', name: 'rank' }),
      formKey('ranking:weights:{category}', { category: 'books' }),
      formKey('ranking:config:global', {}),
      formKey('popular:{category}:{k}', { category: 'books', k: 10 }),
      formKey('popular:global:{k}', { k: 10 }),
      formKey('features:{queryHash}:{scenario}', { query, scenario: 'mobile' }),
      formKey('party:{id}:features:all', { id: 7 }),
    ]).toEqual([
      `search:${hash}:u1:10`,
      'recommend:u1:books:10',
      'feature:doc7:rank',
      'ranking:weights:books',
      'ranking:config:global',
      'popular:books:10',
      'popular:global:10',
      `features:${hash}:mobile`,
      'party:7:features:all',
    ]);
    expect(formKey('ranking:config:global', {}, 'acme')).toBe('t4:acme,ranking:config:global');
  });

  test('does not take a value for a word of another form, for two values, or for a pattern', () => {
    expect(formKey('popular:{category}:{k}', { category: 'global', k: 10 })).toBe('popular:%67lobal:10');
    expect(formKey('popular:{category}:{k}', { category: '%67lobal', k: 10 })).toBe('popular:%2567lobal:10');
    expect(formKey('feature:{entityId}:{name}', { entityId: 'a:b', name: '*' })).toBe('feature:a%3Ab:%2A');
    const pattern = new Pattern('popular:books:*');
    const isMatched = (key: string) => pattern.matches(Buffer.from(key));
    expect(isMatched(formKey('popular:{category}:{k}', { category: 'books', k: 10 }))).toBe(true);
    expect(isMatched(formKey('popular:{category}:{k}', { category: 'books:x', k: 10 }))).toBe(false);
  });

  test('is equal only when form, values and tenant are', FULL_TIMEOUT, () => {
    const keys = new Map<string, string>();
    fc.assert(
      fc.property(filled, ({ form, values, tenant }) => {
        const query =
          values['query'] === undefined ? {} : { query: keyOf(KEY_FORMS[0], { ...values, userId: 1, k: 1 }) };
        const said = JSON.stringify([form, { ...values, ...query }, tenant]);
        const key = keyOf(form, values, tenant);
        expect(keys.get(key) ?? said).toBe(said);
        keys.set(key, said);
      }),
      RUNS,
    );
    expect(keys.size).toBeGreaterThan(RUNS.numRuns / 10);
  });

  test('is a digest when it would be too long', () => {
    const key = (id: string) => formKey('party:{id}:features:all', { id });
    const most = KEY_LIMITS.keyBytes - 'party::features:all'.length;
    expect(utf8Bytes(key('x'.repeat(most)))).toBe(KEY_LIMITS.keyBytes);
    expect(key('x'.repeat(most + 1))).toMatch(/^#[\w-]{32}$/);
    expect(key('x'.repeat(most + 1))).not.toBe(key('x'.repeat(most + 2)));
  });

  test('wants each value, as a text or a number', () => {
    const form = 'recommend:{userId}:{category}:{k}';
    expect(problems(form, { userId: '', category: '\ud800' })).toEqual([
      'userId has 0 bytes, 1 to 4096 are allowed',
      'category has a lone surrogate',
      'k must be a string',
    ]);
    expect(problems(form, { userId: 'u', category: 'c', k: Number.NaN }, '')).toEqual([
      'tenant has 0 bytes, 1 to 128 are allowed',
      'k must be a string',
    ]);
    expect(problems('features:{queryHash}:{scenario}', { scenario: 's' })).toEqual([
      'query must be a string',
    ]);
  });
});
