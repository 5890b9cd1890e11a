/** Canonical keys: what they look like, that they can be read back, and so never meet; their limits. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { idProblem } from '../../src/base/keys.js';
import { canonicalKey, tenantPrefix } from '../../src/caches/canonical-key.js';
import { DIGEST_LENGTH, digestOf } from '../../src/caches/canonical-key-digest.js';
import {
  KEY_LIMITS,
  type KeyParts,
  type ParamValue,
  utf8Bytes,
} from '../../src/caches/canonical-key-parts.js';
import { canonicalQuery } from '../../src/caches/canonical-key-text.js';
import { CACHE_LIMITS } from '../../src/caches/definition.js';
import { FULL, FULL_TIMEOUT, SEED } from '../base/seeded.js';

const RUNS = { numRuns: FULL ? 100_000 : 10_000, seed: SEED };

/** Texts that look like pieces of keys, so that what is read wrongly shows; and a few of any kind. */
const text = (maxLength: number) =>
  fc
    .oneof(
      fc.array(
        fc.constantFrom(
          't',
          'q',
          'p',
          's1:',
          'n',
          'a',
          'z0:,',
          '1:',
          ',',
          ':',
          '#',
          '2',
          'é',
          '😀',
          'a,p1:k',
          '%',
        ),
        {
          maxLength,
        },
      ),
      fc.array(fc.string({ unit: 'binary' }), { maxLength: 1 }),
    )
    .map(pieces => pieces.join('').toWellFormed());
const scalar = fc.oneof(
  text(4),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
);
const someParts: fc.Arbitrary<KeyParts> = fc
  .record(
    {
      tenant: text(3).filter(name => name !== '' && utf8Bytes(name) <= KEY_LIMITS.tenantBytes),
      query: text(6),
      params: fc.dictionary(
        text(3).filter(name => name !== ''),
        fc.oneof(scalar, fc.array(scalar, { maxLength: 3 })),
        { maxKeys: 3 },
      ),
    },
    { requiredKeys: [] },
  )
  .filter(({ query, params }) => query !== undefined || Object.keys(params ?? {}).length > 0);

/** What counts of parts: equal for those that are one, and for no others. */
function meaning({ tenant, query, params }: KeyParts): string {
  const entries = Object.entries(params ?? {}).filter(([, value]) => value !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([tenant ?? null, query === undefined ? null : canonicalQuery(query), entries]);
}

/** Reads a key back, from left to right, knowing only its grammar. */
class KeyReader {
  #rest: Buffer;

  constructor(key: string) {
    this.#rest = Buffer.from(key);
  }

  read(): KeyParts {
    const tenant = this.#takes('t') ? this.#netstring() : undefined;
    const query = this.#takes('q') ? this.#netstring() : undefined;
    const params: Record<string, ParamValue> = Object.create(null);
    while (this.#takes('p')) params[this.#netstring()] = this.#value();
    expect(this.#rest.length).toBe(0);
    return { tenant, query, params };
  }

  #value(): ParamValue {
    if (!this.#takes('a')) return this.#scalar();
    const within = new KeyReader(this.#netstring());
    const elements = [];
    while (within.#rest.length > 0) elements.push(within.#scalar());
    return elements;
  }

  #scalar() {
    if (this.#takes('s')) return this.#netstring();
    if (this.#takes('n')) return Number(this.#netstring());
    if (this.#takes('b')) return this.#netstring() === 'true';
    expect(this.#takes('z') && this.#netstring()).toBe('');
    return null;
  }

  #takes(letter: string): boolean {
    if (this.#rest.toString('latin1', 0, 1) !== letter) return false;
    this.#rest = this.#rest.subarray(1);
    return true;
  }

  #netstring(): string {
    const colon = this.#rest.indexOf(':');
    const end = colon + 1 + Number(this.#rest.toString('latin1', 0, colon));
    const taken = this.#rest.toString('utf8', colon + 1, end);
    expect(this.#rest.toString('latin1', end, end + 1)).toBe(',');
    this.#rest = this.#rest.subarray(end + 1);
    return taken;
  }
}

const isWhole = (key: string) => !/^(t\d+:.*,)?#/su.test(key);

function problems(parts: unknown): string[] {
  try {
    canonicalKey(parts as KeyParts);
  } catch (error) {
    if (error instanceof HeadraceError && error.code === 'invalid-key')
      return (error.errors ?? []).map(({ at, detail }) => `${at} ${detail}`);
    throw error;
  }
  return [];
}

describe('a canonical key', () => {
  test('says what it is of', () => {
    const params = { user: 'u1', k: 10, on: true, off: null, among: ['a', 1], exact: 'É ' };
    expect(canonicalKey({ query: 'Ｃafé  NOIR', params: { k: 10, user: 'u1' } })).toBe(
      'q10:café noir,p1:k,n2:10,p4:user,s2:u1,',
    );
    expect(canonicalKey({ tenant: 'acme', params })).toBe(
      't4:acme,p5:among,a10:s1:a,n1:1,,p5:exact,s3:É ,p1:k,n2:10,p3:off,z0:,p2:on,b4:true,p4:user,s2:u1,',
    );
    expect(canonicalKey({ query: '' })).toBe('q0:,');
  });

  test('is the same for the same question', () => {
    const key = canonicalKey({ query: 'straße', params: { a: 1, b: 0 } });
    for (const parts of [
      { query: ' STRASSE\n', params: { b: -0, a: 1.0 } },
      { params: { b: 0, c: undefined, a: 1 }, query: 'Straße', tenant: undefined },
      { query: canonicalQuery('straße'), params: { a: 1, b: 0 } },
    ])
      expect(canonicalKey(parts)).toBe(key);
  });

  test('differs where the question does', () => {
    const asked: KeyParts[] = [
      { query: 'a' },
      { query: 'a b' },
      { query: 'a', tenant: 'x' },
      { query: 'a', tenant: 'X' },
      { tenant: 'x', params: { query: 'a' } },
      { params: { a: '' } },
      { params: { a: 1 } },
      { params: { A: 1 } },
      { params: { a: '1' } },
      { params: { a: [1] } },
      { params: { a: ['1'] } },
      { params: { a: true } },
      { params: { a: 'true' } },
      { params: { a: null } },
      { params: { a: 'null' } },
      { params: { a: [] } },
      { params: { a: [null] } },
      { params: { a: [''] } },
      { params: { a: ['', ''] } },
      { params: { a: ['b', 'c'] } },
      { params: { a: ['c', 'b'] } },
      { params: { a: 'b,p1:c,s1:d' } },
      { params: { a: 'b', c: 'd' } },
      { params: { user: 'u1' } },
      { params: { user: 'U1' } },
      { params: { user: 'ｕ1' } },
      { query: 'a', params: { user: 'u1' } },
      { query: 'a,p4:user,s2:u1' },
      { params: JSON.parse('{"__proto__": 1}') as Record<string, number> },
      { params: { constructor: 1 } },
    ];
    expect(new Set(asked.map(canonicalKey)).size).toBe(asked.length);
  });

  test('can be read back, whatever is in it', FULL_TIMEOUT, () => {
    let whole = 0;
    fc.assert(
      fc.property(someParts, parts => {
        const key = canonicalKey(parts);
        if (!isWhole(key)) return;
        whole++;
        expect(meaning(new KeyReader(key).read())).toBe(meaning(parts));
      }),
      RUNS,
    );
    expect(whole).toBeGreaterThan(RUNS.numRuns * 0.9);
  });

  test('is equal exactly when what counts is', FULL_TIMEOUT, () => {
    const keys = new Map<string, string>();
    fc.assert(
      fc.property(someParts, parts => {
        const key = canonicalKey(parts);
        expect(keys.get(key) ?? meaning(parts)).toBe(meaning(parts));
        keys.set(key, meaning(parts));
        const { params = {} } = parts;
        const turned = Object.fromEntries(Object.entries(params).reverse());
        expect(canonicalKey({ ...parts, params: turned })).toBe(key);
      }),
      RUNS,
    );
  });

  test('begins with its tenant, and with no other', FULL_TIMEOUT, () => {
    const tenants = text(3).filter(name => name !== '');
    fc.assert(
      fc.property(someParts, tenants, (parts, other) => {
        const key = canonicalKey(parts);
        if (parts.tenant !== undefined) expect(key.startsWith(tenantPrefix(parts.tenant))).toBe(true);
        if (other !== parts.tenant) expect(key.startsWith(tenantPrefix(other))).toBe(false);
      }),
      RUNS,
    );
  });
});

describe('a key that would be too long', () => {
  const longest = 'x'.repeat(KEY_LIMITS.keyBytes - 'q444:,'.length);

  test('is a digest from one byte too many on', () => {
    expect(canonicalKey({ query: longest })).toBe(`q442:${longest},`);
    const key = canonicalKey({ query: `${longest}x` });
    const digest = createHash('sha256')
      .update(`q443:${longest}x,`)
      .digest('base64url')
      .slice(0, DIGEST_LENGTH);
    expect(key).toBe(`#${digest}`);
    expect(canonicalKey({ tenant: 'acme', query: longest })).toMatch(/^t4:acme,#[\w-]{32}$/);
  });

  test('still differs in each part, and is no short one', () => {
    const long = 'é'.repeat(1000);
    const asked: KeyParts[] = [
      { query: long },
      { query: `${long}a` },
      { query: `a${long}` },
      { query: long, tenant: 'a' },
      { query: long, tenant: 'b' },
      { query: long, params: { k: 1 } },
      { query: long, params: { k: '1' } },
      { params: { k: long } },
      { params: { l: long } },
      { query: canonicalKey({ query: long }) },
    ];
    const keys = asked.map(canonicalKey);
    expect(new Set(keys).size).toBe(asked.length);
    expect(canonicalKey({ query: long.toUpperCase() })).toBe(keys[0]);
  });

  test('fits into an id with the longest prefix, as every key does', FULL_TIMEOUT, () => {
    expect(KEY_LIMITS.keyBytes + CACHE_LIMITS.prefixBytes).toBe(512);
    const long = fc.record({
      tenant: fc.string({ minLength: 1, maxLength: 32, unit: 'grapheme-ascii' }),
      query: fc.string({ unit: 'binary', maxLength: 600 }),
      params: fc.constant({ text: '長'.repeat(100) }),
    });
    fc.assert(
      fc.property(fc.oneof(someParts, long), parts => {
        const key = canonicalKey(parts);
        expect(utf8Bytes(key)).toBe(Buffer.byteLength(key));
        expect(idProblem('p'.repeat(CACHE_LIMITS.prefixBytes) + key)).toBeUndefined();
      }),
      { ...RUNS, numRuns: RUNS.numRuns / 10 },
    );
  });

  test('has the digest that others compute', () => {
    const digest = (value: string) =>
      createHash('sha256').update(value).digest('base64url').slice(0, DIGEST_LENGTH);
    for (let length = 0; length < 300; length++) {
      const value = randomBytes(length).toString('latin1');
      expect(digestOf(value)).toBe(digest(value));
    }
    const large = 'ﷺ'.repeat(20_000);
    expect(digestOf(large)).toBe(digest(large));
  });
});

describe('what no key can be made of', () => {
  test.each<[string, unknown, string[]]>([
    ['nothing', undefined, ['the body must be an object with query, params, tenant']],
    ['a text', 'query', ['the body must be an object with query, params, tenant']],
    ['no part', { tenant: 'a', params: {} }, ['query is missing, and there is no param']],
    ['unknown parts', { query: 'a', user: 'b' }, ['user is not known here; query, params, tenant are']],
    [
      'wrong types',
      { query: 1, params: [], tenant: null },
      ['tenant must be a string', 'query must be a string', 'params must be an object'],
    ],
    [
      'a Map, whose members nobody would see',
      { query: 'a', params: new Map([['k', 1]]) },
      ['params must be an object'],
    ],
    ['no tenant', { query: 'a', tenant: '' }, ['tenant has 0 bytes, 1 to 128 are allowed']],
    ['half a tenant', { query: 'a', tenant: '\ud83d' }, ['tenant has a lone surrogate']],
    [
      'half a value',
      { params: { a: '\udc00', '\ud800': 1 } },
      ['params.a has a lone surrogate', 'params.\ud800 has a lone surrogate'],
    ],
    [
      'no number',
      { params: { a: Number.NaN, b: [1, Number.POSITIVE_INFINITY] } },
      ['params.a must be a finite number', 'params.b[1] must be a finite number'],
    ],
    [
      'a gap',
      { params: { a: Array(1) } },
      ['params.a[0] must be a string, a number, true, false, null, or an array of these'],
    ],
    [
      'too deep',
      { params: { a: { b: 1 }, c: [[1]] } },
      ['a', 'c[0]'].map(
        at => `params.${at} must be a string, a number, true, false, null, or an array of these`,
      ),
    ],
    ['a long query', { query: 'é'.repeat(2049) }, ['query has 4098 bytes, 0 to 4096 are allowed']],
    [
      'a long value',
      { params: { a: 'x'.repeat(4097), b: ['x'.repeat(4097)] } },
      ['params.a has 4097 bytes, 0 to 4096 are allowed', 'params.b[0] has 4097 bytes, 0 to 4096 are allowed'],
    ],
    ['long elements', { params: { a: Array(257).fill(1) } }, ['params.a has 257 elements, 256 are allowed']],
    [
      'many params',
      { params: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`p${at}`, 1])) },
      ['params has 65 members, 64 are allowed'],
    ],
    [
      'much of all',
      { params: Object.fromEntries(Array.from({ length: 5 }, (_, at) => [`p${at}`, 'x'.repeat(4000)])) },
      ['params are 20065 characters of key, 16384 are allowed'],
    ],
  ])('%s', (_, parts, wanted) => {
    expect(problems(parts)).toEqual(wanted);
  });

  test('but for what lies within the limits', () => {
    expect(problems({ query: 'é'.repeat(2048), tenant: 'x'.repeat(128) })).toEqual([]);
    expect(problems({ params: { a: 'x'.repeat(4096), ['n'.repeat(128)]: Array(256).fill(1) } })).toEqual([]);
    expect(
      problems({ params: Object.fromEntries(Array.from({ length: 64 }, (_, at) => [`p${at}`, 1])) }),
    ).toEqual([]);
  });
});

test('the module that makes keys needs nothing of Node.js, nor of any package', () => {
  const seen = new Set<string>();
  const visit = (url: URL) => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    for (const [, name = ''] of readFileSync(url, 'utf8').matchAll(/(?:from|import)\s*\(?'([^']+)'/g)) {
      expect(name).toMatch(/^\.\.?\//);
      visit(new URL(name, url));
    }
  };
  visit(new URL('../../src/caches/canonical-key-forms.js', import.meta.url));
  expect(seen.size).toBeGreaterThan(4);
});
