import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import {
  type IdFrom,
  RECORD_LIMITS,
  type RecordForm,
  RecordJsonReader,
} from '../../src/views/record-json.js';
import { type Feature, type FeatureType, type View, viewOf } from '../../src/views/schema.js';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from '../base/seeded.js';

function view(features: Record<string, FeatureType> | [string, FeatureType][]): View {
  const entries = Array.isArray(features) ? features : Object.entries(features);
  const rest = { ttlMs: 1, l1Bytes: undefined, eviction: 's3-fifo' } as const;
  return viewOf({ name: 'docs', uid: 1, slot: 0, schema: 1, entity: 'doc', features: entries, ...rest });
}

const ALL = view({
  hostrank: 'float32',
  spamness: 'float64',
  count: 'int64',
  adult: 'bool',
  title: 'string',
  hash: 'bytes',
  vector: 'float32[3]',
});

function read(
  text: string,
  form: RecordForm = 'nested',
  idFrom: IdFrom = 'body',
  of: View = ALL,
): RecordDraft {
  const draft = new RecordDraft(of);
  const bytes = Buffer.from(text);
  new RecordJsonReader(of, form).read(draft, bytes, 0, bytes.length, idFrom);
  return draft;
}

function problems(text: string, form: RecordForm = 'nested', idFrom: IdFrom = 'body'): string[] {
  try {
    read(text, form, idFrom);
    return [];
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    if (error.code === 'bad-json') return [`bad-json: ${error.message}`];
    expect(error.code).toBe('invalid-record');
    return (error.errors ?? []).map(({ at, detail }) => `${at} ${detail}`);
  }
}

/** A feature's value as the draft holds it. */
function valueIn(draft: RecordDraft, { kind, index, length, position }: Feature): unknown {
  if (draft.isNull(position)) return null;
  switch (kind) {
    case 'bool':
      return draft.bools[index] === 1;
    case 'int64':
      return draft.int64s[index];
    case 'float32':
      return draft.float32s[index];
    case 'float64':
      return draft.float64s[index];
    case 'string':
      return draft.strings[index];
    case 'bytes':
      return draft.bytes[index];
    case 'embedding':
      return [...draft.embeddings.subarray(index, index + length)];
  }
}

const valuesIn = (draft: RecordDraft) => draft.view.columns.map(feature => valueIn(draft, feature));
const feature = (json: string) => `{"id":"a","features":{${json}}}`;

test('a record with everything is read', () => {
  const draft = read(`{"id":"doc/1%😀","version":7,"ttl":"1h","tags":["batch:7","é","batch:7"],
    "metadata":{"a":[1, 2],"big":12345678901234567890},"features":{"vector":[1,-2.5,3e-1],"title":"Zl\\u0069b",
    "hostrank":0.1,"spamness":0.1,"count":-9007199254740991,"adult":true,"hash":"AP8="}}`);
  expect(draft).toMatchObject({ id: 'doc/1%😀', version: 7, ttlMs: 3_600_000, tags: ['batch:7', 'é'] });
  expect(draft.metadata).toBe('{"a":[1, 2],"big":12345678901234567890}');
  expect(valuesIn(draft)).toEqual([
    Math.fround(0.1),
    0.1,
    -9007199254740991,
    true,
    'Zlib',
    Buffer.from([0, 255]),
    [1, -2.5, Math.fround(0.3)],
  ]);
});

test('features that are missing or null are null, optional parts that are null are absent', () => {
  const draft = read(
    '{"id":"a","version":null,"ttl":null,"tags":null,"metadata":null,"features":{"title":null,"adult":false}}',
  );
  expect(valuesIn(draft)).toEqual([null, null, null, false, null, null, null]);
  expect(draft).toMatchObject({ version: undefined, ttlMs: undefined, tags: [], metadata: undefined });
});

describe('against a model', () => {
  const TYPES: FeatureType[] = ['bool', 'int64', 'float32', 'float64', 'string', 'bytes', 'float32[3]'];

  function makeValue(type: FeatureType, random: Seeded): { json: string; value: unknown } {
    if (random.below(5) === 0) return { json: 'null', value: null };
    const number = (random.below(2 ** 32) - 2 ** 31) / random.pick([1, 10, 1024, 1e9, 3]);
    switch (type) {
      case 'bool':
        return random.below(2) === 0 ? { json: 'true', value: true } : { json: 'false', value: false };
      case 'int64': {
        const value = Math.trunc(number) * random.pick([1, 2 ** 21]) + 0;
        return { json: random.pick([`${value}`, `${value}.0`, `${value}.00e+0`]), value };
      }
      case 'float32':
        return { json: `${number}`, value: Math.fround(number) };
      case 'float64':
        return { json: `${number}`, value: number };
      case 'string': {
        const value = random.pick(['', 'a', '__proto__', 'Zlib "x"', '\u0000\n', 'é😀', 'x'.repeat(300)]);
        return { json: JSON.stringify(value), value };
      }
      case 'bytes': {
        const value = Buffer.from(Array.from({ length: random.below(9) }, () => random.below(256)));
        return { json: `"${value.toString('base64')}"`, value };
      }
      default: {
        const value = [number, 0, -number].map(Math.fround);
        return { json: `[${number}, 0,${-number}]`, value };
      }
    }
  }

  /** Features in the view's order, in a steady other order, or in any. */
  function order(columns: readonly Feature[], random: Seeded): Feature[] {
    const how = random.below(3);
    const kept = columns.filter(() => random.below(4) > 0);
    if (how === 0) return kept;
    if (how === 1) return kept.reverse();
    return kept.sort(() => random.below(3) - 1);
  }

  test.each(['nested', 'flat'] as const)(
    '%s records give their values, one after the other',
    FULL_TIMEOUT,
    form => {
      fc.assert(
        fc.property(fc.nat(), seed => {
          const random = new Seeded(seed);
          const count = 1 + random.below(20);
          const of = view(Array.from({ length: count }, (_, i) => [`f${i}`, random.pick(TYPES)]));
          const reader = new RecordJsonReader(of, form);
          const draft = new RecordDraft(of);
          for (let round = 0; round < 8; round++) {
            const wanted: unknown[] = new Array(count).fill(null);
            const members = order(of.columns, random).map(({ name, type, position }) => {
              const { json, value } = makeValue(type, random);
              wanted[position] = value;
              return `"${name}"${random.pick([':', ' : '])}${json}`;
            });
            if (form === 'flat')
              members.splice(random.below(members.length + 1), 0, '"id":"x"', '"other":[{}]');
            const text =
              form === 'flat' ? `{${members.join()}}` : `{"id":"x","features":{${members.join(', ')}}}`;
            const bytes = Buffer.from(`#${text}#`);
            reader.read(draft, bytes, 1, bytes.length - 1, 'body');
            expect(draft.id).toBe('x');
            expect(valuesIn(draft), text).toEqual(wanted);
          }
        }),
        { numRuns: FULL ? 20_000 : 500, seed: SEED },
      );
    },
  );
});

test.each([
  ['"hostrank":"0.5"', 'features.hostrank is a string; float32 is wanted'],
  ['"hostrank":true', 'features.hostrank is a boolean; float32 is wanted'],
  ['"hostrank":1e39', 'features.hostrank 1e39 is beyond the range of float32'],
  ['"hostrank":-3.4028236e38', 'features.hostrank -3.4028236e38 is beyond the range of float32'],
  ['"spamness":1e999', 'features.spamness 1e999 is beyond the range of float64'],
  ['"spamness":[]', 'features.spamness is an array; float64 is wanted'],
  ['"count":1.5', 'features.count 1.5 is not an integer; int64 is wanted'],
  [
    '"count":9007199254740992',
    'features.count 9007199254740992 is beyond ±(2^53 - 1), the range of int64 here',
  ],
  [
    '"count":-9007199254740992',
    'features.count -9007199254740992 is beyond ±(2^53 - 1), the range of int64 here',
  ],
  ['"count":1e999', 'features.count 1e999 is beyond ±(2^53 - 1), the range of int64 here'],
  ['"count":"1"', 'features.count is a string; int64 is wanted'],
  ['"adult":1', 'features.adult is a number; bool is wanted'],
  ['"title":1', 'features.title is a number; string is wanted'],
  ['"title":{"a":"b"}', 'features.title is an object; string is wanted'],
  ['"hash":"AP8"', 'features.hash is not base64 (standard alphabet, padded)'],
  ['"hash":"AP9="', 'features.hash is not base64 (standard alphabet, padded)'],
  ['"hash":"_-8="', 'features.hash is not base64 (standard alphabet, padded)'],
  ['"hash":"AP8=\\n"', 'features.hash is not base64 (standard alphabet, padded)'],
  ['"hash":[0]', 'features.hash is an array; bytes is wanted'],
  ['"vector":[1,2]', 'features.vector has 2 numbers; float32[3] wants 3'],
  ['"vector":[1,2,3,4]', 'features.vector has 4 numbers; float32[3] wants 3'],
  ['"vector":[1,null,3]', 'features.vector[1] is null; a number is wanted'],
  ['"vector":[1,2,1e39]', 'features.vector[2] 1e39 is beyond the range of float32'],
  ['"vector":1', 'features.vector is a number; float32[3] is wanted'],
  ['"__proto__":1', 'features.__proto__ is not a feature of the view docs'],
  ['"HostRank":1', 'features.HostRank is not a feature of the view docs'],
])('the feature %s is refused by name', (json, problem) => {
  expect(problems(feature(json))).toEqual([problem]);
});

test('every problem is named at once, in order', () => {
  expect(
    problems(`{"id":"","features":{"hostrank":"x","nope":{"a":[1]},"adult":0,"title":"fine"},"version":0,
      "ttl":"soon","tags":["",1,"ok"],"metadata":[],"extra":{"x":1}}`),
  ).toEqual([
    'id the id is empty',
    'features.hostrank is a string; float32 is wanted',
    'features.nope is not a feature of the view docs',
    'features.adult is a number; bool is wanted',
    'version must be an integer from 1 to 2^53 - 2',
    'ttl must be a whole number with a unit: 250ms, 30s, 15m, 24h, 7d',
    'tags[0] has 0 bytes, 1 to 256 are allowed',
    'tags[1] is a number; a string is wanted',
    'metadata is an array; an object is wanted',
    'extra is not a part of a record; those are id, features, version, ttl, tags, metadata',
  ]);
});

test('a hundred problems are named, and the rest counted', () => {
  const text = feature(Array.from({ length: 150 }, (_, i) => `"x${i}":1`).join());
  expect(problems(text)).toHaveLength(100);
  expect(() => read(text)).toThrow('features.x0 is not a feature of the view docs, and 149 more');
});

test.each([
  ['{}', ['id is missing', 'features is missing']],
  ['[]', ['the record is an array; an object is wanted']],
  ['7', ['the record is a number; an object is wanted']],
  ['{"id":7,"features":{}}', ['id is a number; a string is wanted']],
  [
    '{"id":null,"features":null}',
    ['id is null; a string is wanted', 'features is null; an object is wanted'],
  ],
  [`{"id":"${'x'.repeat(512)}","features":{}}`, []],
  [`{"id":"${'x'.repeat(513)}","features":{}}`, ['id the id has 513 bytes, 512 are allowed']],
  [`{"id":"${'é'.repeat(257)}","features":{}}`, ['id the id has 514 bytes, 512 are allowed']],
  ['{"id":"a\\u0000/%😀","features":{}}', []],
  ['{"id":"a","features":{},"version":1}', []],
  ['{"id":"a","features":{},"version":9007199254740990}', []],
  ['{"id":"a","features":{},"version":9007199254740991}', ['version must be an integer from 1 to 2^53 - 2']],
  ['{"id":"a","features":{},"version":1.5}', ['version must be an integer from 1 to 2^53 - 2']],
  ['{"id":"a","features":{},"version":-1}', ['version must be an integer from 1 to 2^53 - 2']],
  ['{"id":"a","features":{},"version":"7"}', ['version is a string; an integer is wanted']],
  ['{"id":"a","features":{},"ttl":"1ms"}', []],
  ['{"id":"a","features":{},"ttl":"3650d"}', []],
  ['{"id":"a","features":{},"ttl":"0ms"}', ['ttl must be between 1ms and 3650d']],
  ['{"id":"a","features":{},"ttl":"3651d"}', ['ttl must be between 1ms and 3650d']],
  ['{"id":"a","features":{},"ttl":60}', ['ttl is a number; a string such as "1h" is wanted']],
  [`{"id":"a","features":{},"tags":["${'t'.repeat(256)}"]}`, []],
  [`{"id":"a","features":{},"tags":["${'t'.repeat(257)}"]}`, ['tags[0] has 257 bytes, 1 to 256 are allowed']],
  ['{"id":"a","features":{},"tags":"x"}', ['tags is a string; an array of strings is wanted']],
])('%j: %j', (text, wanted) => {
  expect(problems(text)).toEqual(wanted);
});

test('limits of tags and metadata, met and passed by one', () => {
  const tags = (count: number) =>
    `{"id":"a","features":{},"tags":${JSON.stringify(Array.from({ length: count }, (_, i) => `t${i}`))}}`;
  expect(read(tags(RECORD_LIMITS.tags)).tags).toHaveLength(64);
  expect(problems(tags(65))).toEqual(['tags has 65 tags, 64 are allowed']);
  const metadata = (bytes: number) => `{"id":"a","features":{},"metadata":{"a":"${'m'.repeat(bytes - 8)}"}}`;
  expect(read(metadata(65_536)).metadata).toHaveLength(65_536);
  expect(problems(metadata(65_537))).toEqual(['metadata has 65537 bytes, 65536 are allowed']);
});

test.each([
  ['{"id":"a","id":"a","features":{}}', 'the key "id" is there twice (line 1, column 11, id)'],
  [
    '{"id":"a","features":{},"features":{}}',
    'the key "features" is there twice (line 1, column 25, features)',
  ],
  [
    feature('"adult":true,"adult":true'),
    'the key "adult" is there twice (line 1, column 36, features.adult)',
  ],
  [
    feature('"adult":true,"\\u0061dult":true'),
    'the key "adult" is there twice (line 1, column 36, features.adult)',
  ],
  [feature('"x":1,"x":2'), 'the key "x" is there twice (line 1, column 29, features.x)'],
  [feature('"title":{"a":1,"a":2}'), 'the key "a" is there twice (line 1, column 38, features.title.a)'],
  [
    '{"id":"a","metadata":{"m":[{"k":1,"k":2}]}}',
    'the key "k" is there twice (line 1, column 35, metadata.m[0].k)',
  ],
  [feature('"hostrank":NaN'), 'a value is wanted, not N (line 1, column 34, features.hostrank)'],
  [feature('"vector":[1,2'), ', or ] is wanted, not } (line 1, column 36, features.vector[1])'],
  [`${feature('')} x`, 'nothing may follow the value, x does (line 1, column 26)'],
  ['{"id":"a\\ud800","features":{}}', 'the escape is half of a surrogate pair (line 1, column 9, id)'],
  [`{"metadata":${'{"a":'.repeat(31)}1${'}'.repeat(31)},"id":"a","features":{}}`, undefined],
  [`{"metadata":${'{"a":'.repeat(32)}1`, 'values are nested deeper than 32 (line 1, column 168'],
])('%s fails at its place', (text, message) => {
  const [problem] = problems(text);
  if (message === undefined) expect(problem).toBeUndefined();
  else expect(problem).toContain(`bad-json: ${message}`);
});

test('with the id from the path, the body must not have one', () => {
  expect(read('{"features":{"adult":true}}', 'nested', 'path').id).toBe('');
  expect(problems(feature(''), 'nested', 'path')).toEqual([
    'id is given by the path; leave it out of the body',
  ]);
  expect(problems('{"features":{}', 'nested', 'path')[0]).toMatch('bad-json');
});

test('the flat form takes what it knows, ignores the rest and still refuses duplicates', () => {
  const draft = read(
    '{"section":"libs","title":"Zlib","id":"zlib1g","tags":[1],"version":"1.2","depends":[{"a":{}}],"count":3}',
    'flat',
  );
  expect([draft.id, draft.version, draft.tags]).toEqual(['zlib1g', undefined, []]);
  expect(valuesIn(draft)).toEqual([null, null, 3, null, 'Zlib', null, null]);
  expect(problems('{"title":1}', 'flat')).toEqual(['title is a number; string is wanted', 'id is missing']);
  expect(problems('{"id":"a","x":1,"x":1}', 'flat')[0]).toMatch('the key "x" is there twice');
  const odd = read('{"x":0,"id":"a","y":1}', 'flat', 'body', view({ x: 'int64', id: 'string', y: 'int64' }));
  expect([odd.id, ...valuesIn(odd)]).toEqual(['a', 0, null, 1]);
});

test('after an error the draft is empty and the reader good', () => {
  const draft = new RecordDraft(ALL);
  const empty = structuredClone({ ...new RecordDraft(ALL) });
  const reader = new RecordJsonReader(ALL);
  const full = '"hostrank":1,"spamness":2,"count":3,"adult":true,"title":"t","hash":"AP8=","vector":[1,2,3]';
  for (const text of [
    `{"id":"a","version":7,"ttl":"1h","tags":["x"],"metadata":{},"features":{${full},"nope":1}}`,
    `{"id":"a","version":7,"ttl":"1h","tags":["x"],"metadata":{},"features":{${full}}`,
  ]) {
    const bytes = Buffer.from(text);
    expect(() => reader.read(draft, bytes, 0, bytes.length, 'body')).toThrow(HeadraceError);
    expect(structuredClone({ ...draft })).toEqual(empty);
    const good = Buffer.from(feature('"count":5'));
    reader.read(draft, good, 0, good.length, 'body');
    expect(valuesIn(draft)).toEqual([null, null, 5, null, null, null, null]);
  }
});

test('the line is named as the caller counts', () => {
  const bytes = Buffer.from('{"id":"a"');
  const read = () => new RecordJsonReader(ALL).read(new RecordDraft(ALL), bytes, 0, bytes.length, 'body', 17);
  expect(read).toThrow('(line 17, column 10, id)');
});
