import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import type { FeatureType } from '../../src/views/schema.js';
import { VIEW_LIMITS, viewOf } from '../../src/views/schema.js';
import { featureNameProblem, nameProblem, readViewDefinition, viewJson } from '../../src/views/view-json.js';

const read = (text: string) => readViewDefinition(Buffer.from(text));

function problems(text: string): string[] {
  try {
    read(text);
    return [];
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    if (error.code === 'bad-json') return [`bad-json: ${error.message}`];
    expect(error.code).toBe('invalid-view');
    return (error.errors ?? []).map(({ at, detail }) => `${at} ${detail}`);
  }
}

const body = (more: string) => `{"entity":"doc","features":{"a":"bool"}${more}}`;

test('a definition is read, with its defaults', () => {
  const features = '"features":{"hostrank":"float32","title":"string","embedding":"float32[384]"}';
  expect(read(`{"entity":"doc",${features}}`)).toEqual({
    entity: 'doc',
    ttlMs: 3_600_000,
    features: new Map([
      ['hostrank', 'float32'],
      ['title', 'string'],
      ['embedding', 'float32[384]'],
    ]),
    l1Bytes: undefined,
    eviction: 's3-fifo',
  });
  for (const entity of ['user', 'users']) {
    expect(read(`{"entity":"${entity}",${features}}`).ttlMs).toBe(86_400_000);
  }
  const full = read(`{"l1":{"eviction":"lru","bytes":"64MiB"},"ttl":"15m","entity":"user",${features}}`);
  expect(full).toMatchObject({ ttlMs: 900_000, l1Bytes: 2 ** 26, eviction: 'lru' });
  expect(read(body(',"l1":{"bytes":1048576}')).l1Bytes).toBe(2 ** 20);
  expect(read(body(',"l1":{}')).l1Bytes).toBeUndefined();
});

test('features keep the order they are declared in, also when they are named by numbers', () => {
  const names = ['2', 'b', '10', '1', 'a', '0'];
  const definition = read(`{"entity":"doc","features":{${names.map(name => `"${name}":"float32"`).join()}}}`);
  expect([...definition.features.keys()]).toEqual(names);
  const view = viewOf({
    ...definition,
    name: 'docs',
    uid: 1,
    slot: 0,
    schema: 3,
    features: [...definition.features],
  });
  expect(viewJson(view)).toBe(
    '{"view":"docs","entity":"doc","ttl":"1h","features":{"2":"float32","b":"float32","10":"float32","1":"float32","a":"float32","0":"float32"},"schema":3,"l1":{"eviction":"s3-fifo"}}',
  );
});

test.each([
  ['[]', ['the body Invalid input: expected object, received array']],
  [
    '{}',
    [
      'entity Invalid input: expected string, received undefined',
      'features Invalid input: expected map, received undefined',
    ],
  ],
  ['{"entity":"doc","features":{}}', ['features has no feature, at least one is wanted']],
  [body(',"extra":1,"__proto__":2'), ['extra is not known here', '__proto__ is not known here']],
  [body(',"l1":{"byte":1}'), ['l1.byte is not known here']],
  [
    body(',"l1":{"eviction":"random"}'),
    ['l1.eviction Invalid option: expected one of "s3-fifo"|"fifo"|"lru"|"lfu"|"ttl"'],
  ],
  [
    body(',"l1":{"bytes":"lots"}'),
    ['l1.bytes must be a whole number of bytes, or one with a unit: 512KiB, 64MiB, 2GiB'],
  ],
  [body(',"l1":{"bytes":65535}'), ['l1.bytes must be between 64KiB and 1TiB']],
  [
    body(',"l1":{"bytes":-0.5}'),
    ['l1.bytes must be a whole number of bytes, or one with a unit: 512KiB, 64MiB, 2GiB'],
  ],
  [body(',"ttl":"0s"'), ['ttl must be between 1ms and 3650d']],
  [body(',"ttl":"3651d"'), ['ttl must be between 1ms and 3650d']],
  [body(',"ttl":3600'), ['ttl Invalid input: expected string, received number']],
  [
    '{"entity":"a b","features":{"x y":"float32","b":"float","c":"float32[0]","d":"float32[8193]","e":1,"é":null}}',
    [
      'entity must start with a letter or _, then have letters, digits, _ . or - only',
      'features.x y must start with a letter, a digit or _, then have letters, digits, _ . or - only',
      'features.b must be bool, int64, float32, float64, string, bytes or float32[1] to [8192]',
      'features.c must be bool, int64, float32, float64, string, bytes or float32[1] to [8192]',
      'features.d must be bool, int64, float32, float64, string, bytes or float32[1] to [8192]',
      'features.e must be bool, int64, float32, float64, string, bytes or float32[1] to [8192]',
      'features.é must start with a letter, a digit or _, then have letters, digits, _ . or - only',
      'features.é must be bool, int64, float32, float64, string, bytes or float32[1] to [8192]',
    ],
  ],
  [
    '{"entity":"doc","entity":"doc"}',
    ['bad-json: the key "entity" is there twice (line 1, column 17, entity)'],
  ],
  [
    '{"entity":"doc","features":{"a":"bool","a":"bool"}}',
    ['bad-json: the key "a" is there twice (line 1, column 40, features.a)'],
  ],
])('%s: %j', (text, wanted) => {
  expect(problems(text)).toEqual(wanted);
});

test('limits, met and passed by one', () => {
  const many = (count: number) =>
    `{"entity":"doc","features":{${Array.from({ length: count }, (_, i) => `"f${i}":"bool"`).join()}}}`;
  expect(read(many(VIEW_LIMITS.features)).features.size).toBe(4096);
  expect(problems(many(4097))).toEqual(['features has 4097 features, 4096 are allowed']);
  expect(read('{"entity":"doc","features":{"a":"float32[8192]"}}').features.get('a')).toBe('float32[8192]');
  const vectors = (count: number) =>
    `{"entity":"doc","features":{${Array.from({ length: count }, (_, i) => `"f${i}":"float32[8192]"`).join()}}}`;
  expect(read(vectors(8)).features.size).toBe(8);
  expect(problems(vectors(9))).toEqual(['features has embeddings of 73728 numbers, 65536 are allowed']);
  expect(problems(body(`,"${'x'.repeat(1000)}":1`))[0]).toHaveLength(128 + '… is not known here'.length);
  const name = 'n'.repeat(64);
  expect([nameProblem(name), nameProblem(`${name}n`)]).toEqual([
    undefined,
    'has 65 characters, 64 are allowed',
  ]);
  expect(featureNameProblem('f'.repeat(128))).toBeUndefined();
  expect(featureNameProblem('f'.repeat(129))).toBe('has 129 characters, 128 are allowed');
  for (const bad of ['', '1a', '-a', '.', 'a/b', 'a\n', 'é'])
    expect(nameProblem(bad)).toMatch('must start with');
});

test('what a view shows is what declared it', () => {
  const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}$/);
  const type = fc.constantFrom<FeatureType>('bool', 'int64', 'float32', 'string', 'float32[7]');
  const definitions = fc.record({
    features: fc.uniqueArray(fc.tuple(name, type), { minLength: 1, selector: ([key]) => key }),
    ttlMs: fc.integer({ min: 1, max: 3650 * 86_400_000 }),
    l1Bytes: fc.option(fc.integer({ min: 65_536, max: 2 ** 40 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(definitions, definition => {
      const rest = { name: 'v', uid: 1, slot: 0, schema: 1, entity: 'doc', eviction: 'lfu' } as const;
      const json = viewJson(viewOf({ ...rest, ...definition }));
      const shown = read(json.replace('"view":"v",', '').replace('"schema":1,', ''));
      expect([...shown.features]).toEqual(definition.features);
      const { ttlMs, l1Bytes } = definition;
      expect(shown).toMatchObject({ entity: 'doc', eviction: 'lfu', ttlMs, l1Bytes });
    }),
  );
});
