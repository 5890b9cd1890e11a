import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { REQUEST_LIMITS, readInvalidation, readLookup } from '../../src/lookup/request-json.js';
import { viewOf } from '../../src/views/schema.js';

const VIEW = viewOf({
  name: 'docs',
  uid: 1,
  slot: 0,
  schema: 1,
  entity: 'doc',
  ttlMs: 1,
  features: [
    ['hostrank', 'float32'],
    ['title', 'string'],
  ],
  l1Bytes: undefined,
  eviction: 's3-fifo',
});

const lookup = (text: string) => readLookup(Buffer.from(text), VIEW);
const invalidate = (text: string) => readInvalidation(Buffer.from(text));

function problems(read: () => unknown): string[] {
  try {
    read();
    return [];
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    if (error.errors === undefined || error.code === 'bad-json') return [`${error.code}: ${error.message}`];
    return error.errors.map(({ at, detail }) => `${at} ${detail}`);
  }
}

test('ids and features come as asked, in order and with duplicates', () => {
  const { ids, features } = lookup(
    '{"features":["title","hostrank","title"],"ids":["b","a","b","é/%\\u0000"]}',
  );
  expect(ids).toEqual(['b', 'a', 'b', 'é/%\u0000']);
  expect(features.map(({ name }) => name)).toEqual(['title', 'hostrank', 'title']);
  expect(lookup('{"ids":["a"]}').features).toBe(VIEW.columns);
  expect(lookup('{"ids":["a"],"features":[]}').features).toEqual([]);
});

test('any ids are read as they were written', () => {
  const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 100 });
  fc.assert(
    fc.property(fc.array(id, { minLength: 1 }), ids => {
      expect(lookup(JSON.stringify({ ids })).ids).toEqual(ids);
    }),
  );
});

test.each([
  ['[]', ['the body is of type array; an object is wanted']],
  ['{}', ['ids is missing']],
  ['{"ids":[]}', ['ids is empty']],
  ['{"ids":null}', ['ids is of type null; an array of strings is wanted']],
  ['{"ids":"a"}', ['ids is of type string; an array of strings is wanted']],
  [
    '{"ids":["a",7,"",null]}',
    [
      'ids[1] is of type number; a string is wanted',
      'ids[2] the id is empty',
      'ids[3] is of type null; a string is wanted',
    ],
  ],
  [`{"ids":["${'x'.repeat(512)}","${'x'.repeat(513)}"]}`, ['ids[1] the id has 513 bytes, 512 are allowed']],
  [
    '{"ids":["a"],"features":["title","nope","__proto__"]}',
    [
      'features[1] "nope" is not a feature of the view docs',
      'features[2] "__proto__" is not a feature of the view docs',
    ],
  ],
  ['{"ids":["a"],"features":{}}', ['features is of type object; an array of strings is wanted']],
  ['{"ids":["a"],"feature":["title"]}', ['feature is not known here; ids, features are']],
  ['{"ids":["a"],"ids":["b"]}', ['bad-json: the key "ids" is there twice (line 1, column 14, ids)']],
  ['{"ids":["a"]', ['bad-json: , or } is wanted, not the end of the text (line 1, column 13, ids)']],
  ['{"ids":["\\udc00"]}', ['bad-json: the escape is half of a surrogate pair (line 1, column 10, ids[0])']],
])('the lookup %j: %j', (text, wanted) => {
  expect(problems(() => lookup(text))).toEqual(wanted);
});

test('limits of a lookup, met and passed by one', () => {
  const ids = (count: number) => JSON.stringify({ ids: Array.from({ length: count }, (_, i) => `doc-${i}`) });
  expect(lookup(ids(REQUEST_LIMITS.ids)).ids).toHaveLength(10_000);
  expect(problems(() => lookup(ids(10_001)))).toEqual([
    'too-many-ids: more than 10000 ids in one request; split it',
  ]);
  const features = (count: number) =>
    JSON.stringify({ ids: ['a'], features: new Array<string>(count).fill('title') });
  expect(lookup(features(REQUEST_LIMITS.features)).features).toHaveLength(4096);
  expect(problems(() => lookup(features(4097)))).toEqual(['features has 4097 names, 4096 are allowed']);
});

test.each([
  ['{"ids":["a","b"]}', { kind: 'ids', ids: ['a', 'b'] }],
  ['{"prefix":"user:"}', { kind: 'prefix', prefix: 'user:' }],
  ['{"tags":["t","u"]}', { kind: 'tags', tags: ['t', 'u'] }],
  ['{"pattern":"user:*:42"}', { kind: 'pattern', pattern: 'user:*:42' }],
  ['{"all":true}', { kind: 'all' }],
])('the invalidation %s is read', (text, wanted) => {
  expect(invalidate(text)).toEqual(wanted);
});

test.each([
  ['{}', ['the body must have exactly one of ids, prefix, tags, pattern, all']],
  ['{"all":true,"prefix":"a"}', ['the body must have exactly one of ids, prefix, tags, pattern, all']],
  ['{"all":false}', ['all must be true']],
  ['{"all":1}', ['all is of type number; true is wanted']],
  ['{"prefix":""}', ['prefix has 0 bytes, 1 to 512 are allowed']],
  [`{"prefix":"${'p'.repeat(513)}"}`, ['prefix has 513 bytes, 1 to 512 are allowed']],
  [`{"pattern":"${'*'.repeat(1025)}"}`, ['pattern has 1025 bytes, 1 to 1024 are allowed']],
  ['{"tags":[]}', ['tags is empty']],
  [`{"tags":["${'t'.repeat(257)}"]}`, ['tags[0] has 257 bytes, 1 to 256 are allowed']],
  [
    JSON.stringify({ tags: Array.from({ length: 65 }, (_, i) => `t${i}`) }),
    ['tags has more than 64 entries'],
  ],
  ['{"ids":[]}', ['ids is empty']],
  ['true', ['the body is of type boolean; an object is wanted']],
  [
    '{"al":true}',
    [
      'al is not known here; ids, prefix, tags, pattern, all are',
      'the body must have exactly one of ids, prefix, tags, pattern, all',
    ],
  ],
  ['', ['bad-json: a value is wanted, not the end of the text (line 1, column 1)']],
])('the invalidation %j: %j', (text, wanted) => {
  expect(problems(() => invalidate(text))).toEqual(wanted);
});
