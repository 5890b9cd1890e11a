/** The rules of events in the configuration file, and what they make of events. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { HeadraceError } from '../../../src/base/errors.js';
import { JsonReader } from '../../../src/base/json.js';
import { DefinitionsFileError, readDefinitions } from '../../../src/caches/definitions-file.js';
import { invalidationsOf, planEvents } from '../../../src/caches/events/event-plan.js';
import { readEvents } from '../../../src/caches/events/event-reader.js';
import {
  EVENT_LIMITS,
  type EventRules,
  eventRulesJson,
  neededMembers,
} from '../../../src/caches/events/event-rules.js';

const RULES = {
  'product.updated': [
    { cache: 'results', tags: ['product:{id}', 'category:{categories}'] },
    { view: 'docs', ids: ['{id}'] },
  ],
  'popularity.changed': [
    { cache: 'popular', prefix: 'popular:{category|encoded}:' },
    { cache: 'popular', prefix: 'popular:global:' },
  ],
  'weights.changed': [
    { cache: 'rankingConfig', ids: ['ranking:weights:{category}', 'ranking:config:global'] },
  ],
  'user.deleted': [{ cache: 'results', pattern: 'search:*:{user}:*' }],
  'model.trained': [{ cache: 'embeddings', all: true }],
  'product.viewed': [],
};

function rulesOf(events: unknown, caches: unknown = {}): EventRules {
  return readDefinitions(Buffer.from(JSON.stringify({ caches, events })), 'f').events;
}

function wrong(events: unknown, caches: unknown = {}): string[] {
  try {
    rulesOf(events, caches);
    return [];
  } catch (error) {
    if (error instanceof DefinitionsFileError) return error.message.replaceAll('f: events.', '').split('\n');
    throw error;
  }
}

const rules = rulesOf(RULES);
const needed = neededMembers(rules);
const planned = (body: string, of = rules) =>
  planEvents(of, readEvents(new JsonReader(), Buffer.from(body), neededMembers(of)));
/** What each rule does, in short. */
const steps = (body: unknown) =>
  planned(JSON.stringify(body)).map(one => [one.type, one.rule.target.name, ...invalidationsOf(one)]);

function refusal(body: string, of = rules): readonly string[] {
  try {
    planned(body, of);
    return ['none'];
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    return [error.code, ...(error.errors ?? []).map(({ at, detail }) => `${at} ${detail}`)];
  }
}

describe('rules in the file', () => {
  test('are read as they are written, and shown so', () => {
    expect([...rules].map(([type, ofType]) => [type, eventRulesJson(ofType)])).toEqual(Object.entries(RULES));
    expect([...needed].sort()).toEqual(['categories', 'category', 'id', 'user']);
    expect(readDefinitions(Buffer.from('{}'), 'f').events.size).toBe(0);
  });

  test('of docs/api.md are rules, and make of its event what it says', () => {
    const documentation = readFileSync(new URL('../../../../docs/api.md', import.meta.url), 'utf8');
    const section = documentation.slice(documentation.indexOf('\n## Events\n'));
    const [, example = ''] = /```json\n(.*?)```/s.exec(section) ?? [];
    const [, event = ''] = /`POST \/v1\/events` `(.*?)`/s.exec(section) ?? [];
    const documented = readDefinitions(Buffer.from(example), 'api.md').events;
    expect([...documented.keys()]).toEqual(Object.keys(RULES).filter(type => documented.has(type)));
    expect(documented.size).toBe(5);
    expect(planned(event, documented).map(({ texts }) => [...texts])).toEqual([
      ['product:7', 'category:a', 'category:b'],
      ['7'],
    ]);
  });

  test('are told every problem with its place', () => {
    expect(
      wrong({
        a: [
          { cache: 'none', ids: ['{id}'] },
          { cache: 'results', view: 'docs', ids: ['x'] },
          { ids: ['x'] },
          { cache: 'results' },
          { cache: 'results', ids: ['x'], all: true },
          { cache: 'results', ids: [] },
          { view: '@results', all: true },
          { cache: 'results', tags: 'x' },
          { cache: 'results', prefix: '' },
          { cache: 'results', all: false },
          { cache: 'results', ids: ['{id'] },
          { cache: 'results', tag: ['x'], all: true },
        ],
      }).map(line => line.split(' ')[0]),
    ).toEqual(
      ['1', '2', '3', '4', '5.ids', '6.view', '7.tags', '8.prefix', '9.all', '10.ids.0', '11.tag'].map(
        at => `a.${at}`,
      ),
    );
    expect(wrong({ a: [{ cache: 'none', ids: ['{id}'] }] })).toEqual([
      "a.0.cache is 'none', and there is no such cache",
    ]);
    expect(wrong({ a: [{ cache: 'plans', all: true }] }, { plans: null })).toHaveLength(1);
    expect(wrong({ a: [{ cache: 'mine', all: true }] }, { mine: {} })).toEqual([]);
    expect(wrong({ 'a b': [], '': [], ['x'.repeat(129)]: [], 'com.example/a:b-c_D9': [] })).toHaveLength(3);
  });

  test('have their limits', () => {
    const types = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`t${n}`, []]));
    expect(wrong(types(EVENT_LIMITS.types))).toEqual([]);
    expect(wrong(types(EVENT_LIMITS.types + 1))).toEqual(['f: events has 257 types, 256 are allowed']);
    const many = (count: number) => ({ a: Array(count).fill({ cache: 'results', all: true }) });
    expect([wrong(many(16)).length, wrong(many(17)).length]).toEqual([0, 1]);
    expect(wrong({ a: [{ cache: 'results', tags: Array(17).fill('x') }] })).toHaveLength(1);
    expect(wrong({ a: [{ cache: 'results', tags: [`${'x'.repeat(256)}{id}`] }] })).toEqual([]);
    expect(wrong({ a: [{ cache: 'results', tags: ['x'.repeat(257)] }] })[0]).toMatch(
      /of 257 bytes, 256 are allowed/,
    );
    const prefixed = { results: { prefix: 'p'.repeat(64) } };
    expect(wrong({ a: [{ cache: 'results', ids: ['x'.repeat(448)] }] }, prefixed)).toEqual([]);
    expect(wrong({ a: [{ cache: 'results', ids: ['x'.repeat(449)] }] }, prefixed)).toHaveLength(1);
  });
});

describe('events', () => {
  test('are planned by the rules of their type', () => {
    expect(steps({ type: 'product.updated', id: 7, categories: ['a', 'b', 'a'] })).toEqual([
      ['product.updated', 'results', { kind: 'tags', tags: ['product:7', 'category:a', 'category:b'] }],
      ['product.updated', 'docs', { kind: 'ids', ids: ['7'] }],
    ]);
    expect(steps({ type: 'popularity.changed', category: 'a:*' })).toEqual([
      ['popularity.changed', 'popular', { kind: 'prefix', prefix: 'popular:a%3A%2A:' }],
      ['popularity.changed', 'popular', { kind: 'prefix', prefix: 'popular:global:' }],
    ]);
    expect(steps({ type: 'weights.changed', category: 'books' })).toEqual([
      [
        'weights.changed',
        'rankingConfig',
        { kind: 'ids', ids: ['ranking:weights:books', 'ranking:config:global'] },
      ],
    ]);
    expect(steps({ type: 'user.deleted', user: ['u1', 'u2'] })).toEqual([
      [
        'user.deleted',
        'results',
        { kind: 'pattern', pattern: 'search:*:u1:*' },
        { kind: 'pattern', pattern: 'search:*:u2:*' },
      ],
    ]);
    expect(steps({ type: 'model.trained' })).toEqual([['model.trained', 'embeddings', { kind: 'all' }]]);
    expect(steps({ type: 'product.viewed', id: null })).toEqual([]);
    expect(steps({ type: 'product.updated', id: [], categories: [] })).toEqual([
      ['product.updated', 'results'],
      ['product.updated', 'docs'],
    ]);
  });

  test('in one request are planned together, each text once, tags as many as an invalidation has', () => {
    const ids = Array.from({ length: 100 }, (_, n) => `${n % 70}`);
    const body = ids.map(id => ({ type: 'product.updated', id, categories: [] }));
    const [[, , ...tags] = [], docs] = steps([...body, { type: 'product.viewed' }]);
    const each = ids.slice(0, 70);
    expect(tags).toEqual([
      { kind: 'tags', tags: each.slice(0, 64).map(id => `product:${id}`) },
      { kind: 'tags', tags: each.slice(64).map(id => `product:${id}`) },
    ]);
    expect(docs).toEqual(['product.updated', 'docs', { kind: 'ids', ids: each }]);
  });

  test('keep integers of any size as they are written, and do not look at other members', () => {
    const body =
      '{"price":1e999,"id":12345678901234567890,"type":"product.updated","categories":[-0,"é"],"x":[{}]}';
    expect([...(planned(body)[0]?.texts ?? [])]).toEqual([
      'product:12345678901234567890',
      'category:-0',
      'category:é',
    ]);
  });

  test('are refused, each with what is wrong and where, and none of them is planned', () => {
    const of = (...events: readonly string[]) =>
      refusal(`[${events.map(members => `{"type":"product.updated"${members}}`).join()}]`);
    expect(of(',"id":"1","categories":[]', ',"categories":"a"', ',"id":"","categories":"a"')).toEqual([
      'bad-event',
      '[1].id is missing: "product:{id}" needs it',
      '[1].id is missing: "{id}" needs it',
      '[2].id is empty: "product:{id}" needs it',
      '[2].id is empty: "{id}" needs it',
    ]);
    for (const [value, detail] of [
      ['null', 'is of type null'],
      ['true', 'is of type boolean'],
      ['{}', 'is of type object'],
      ['1.5', 'is no integer'],
      ['1e2', 'is no integer'],
      ['["a",null]', 'has elements that are neither'],
      ['["a",["b"]]', 'has elements that are neither'],
      ['["a",""]', 'is empty'],
    ])
      expect(refusal(`{"type":"weights.changed","category":${value}}`)[1]).toContain(`category ${detail}`);
    const long = refusal(JSON.stringify({ type: 'weights.changed', category: 'x'.repeat(497) }));
    expect(long).toEqual(['bad-event', 'category makes more than 512 bytes of "ranking:weights:{category}"']);
    expect(refusal('{"type":"user.deleted","user":"*"}')).toEqual([
      'bad-event',
      'user has a *, which would be a wildcard in "search:*:{user}:*"',
    ]);
  });

  test('of no known type are refused as such', () => {
    expect(refusal('[{"type":"model.trained"},{"type":"product.lost"}]')).toEqual([
      'unknown-event',
      "[1].type is 'product.lost', for which the configuration file has no rules",
    ]);
    expect(refusal('[{"type":"__proto__"},{"type":7},{}]')).toEqual([
      'bad-event',
      "[0].type is '__proto__', for which the configuration file has no rules",
      '[1].type must be there, and a string',
      '[2].type must be there, and a string',
    ]);
    for (const body of ['[]', '7', '"product.updated"', '[[]]', '[{"type":"model.trained"},1]'])
      expect(refusal(body)[0]).toBe('bad-event');
    for (const body of ['', '{"type":"a","type":"b"}', '{"type":"model.trained"} x', '{"id":"\\ud800"}'])
      expect(refusal(body)[0]).toBe('bad-json');
  });

  test('have their limits', () => {
    const events = (count: number, of: object) => JSON.stringify(Array(count).fill(of));
    expect(planned(events(1_000, { type: 'model.trained' }))).toHaveLength(1);
    expect(refusal(events(1_000, { type: 'weights.changed' }))).toHaveLength(101);
    expect(refusal(events(1_001, { type: 'model.trained' }))).toEqual([
      'bad-event',
      'the body has more than 1000 events; split it',
    ]);
    const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);
    const ofUsers = (count: number) => JSON.stringify({ type: 'user.deleted', user: numbers(count) });
    expect(planned(ofUsers(1_000))[0]?.texts.size).toBe(1_000);
    expect(refusal(ofUsers(1_001))).toEqual(['bad-event']);
    const pairs = rulesOf({ pair: [{ view: 'docs', ids: ['{a}:{b}'] }] });
    const body = (count: number) => JSON.stringify({ type: 'pair', a: numbers(count), b: numbers(100) });
    expect(planned(body(100), pairs)[0]?.texts.size).toBe(10_000);
    expect(refusal(body(101), pairs)[1]).toBe('b makes more than 10000 texts of "{a}:{b}"');
    expect(refusal(`[${body(100)},{"type":"pair","a":1,"b":1}]`, pairs)).toEqual(['bad-event']);
  });
});
