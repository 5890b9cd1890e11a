/** The options of a cache that mean something only together: what the configuration file is told of them. */
import { expect, test } from 'vitest';
import { DefinitionsFileError, definitionJson, readDefinitions } from '../../src/caches/definitions-file.js';

const ORIGIN = { url: 'http://search:8080/q?q={key}', allowHosts: ['search'] };

const read = (cache: unknown) =>
  readDefinitions(Buffer.from(JSON.stringify({ caches: { c: cache } })), 'f').caches;

/** By place, as they are told. */
function problems(cache: unknown): string[] {
  try {
    read(cache);
  } catch (error) {
    if (!(error instanceof DefinitionsFileError)) throw error;
    return error.message.split('\n').map(line => line.replace('f: caches.c.', ''));
  }
  return [];
}

test('how long an entry may be fresh, and when it is made anew, must fit its ttl and an origin', () => {
  const cache = read({ ttl: '1m', ttlMax: '1m', refreshAhead: '59s', origin: ORIGIN }).at(-1);
  expect(cache).toMatchObject({ ttlMs: 60_000, ttlMaxMs: 60_000, refreshAheadMs: 59_000 });
  expect(cache && definitionJson(cache)).toMatchObject({ ttlMax: '1m', refreshAhead: '59s' });
  expect(problems({ ttl: '1m', ttlMax: '59s', refreshAhead: '1m', origin: ORIGIN })).toEqual([
    'ttlMax is shorter than the ttl, 1m',
    'refreshAhead must be shorter than the ttl, 1m',
  ]);
  expect(problems({ ttlMax: '1h', refreshAhead: '1s' })).toEqual([
    'ttlMax is of use only to a cache that has an origin',
    'refreshAhead is of use only to a cache that has an origin',
  ]);
  expect(problems({ ttlMax: '0ms', refreshAhead: 'soon' }).map(line => line.split(' ', 1)[0])).toEqual([
    'ttlMax',
    'refreshAhead',
  ]);
});

test('a list is in a file, or the origin has it, which is asked as it may be', () => {
  const standard = { every: '5m', rate: 100, keysMax: 10_000 };
  for (const place of [{ file: '/lists/head.txt' }, { url: 'http://search:8080/popular?token=1' }]) {
    const cache = read({ origin: ORIGIN, warm: place }).at(-1);
    expect(cache && definitionJson(cache)).toMatchObject({ warm: { ...place, ...standard } });
  }
  const all = { file: 'f', every: '1s', rate: 1, keysMax: 1 };
  expect(read({ warm: all }).at(-1)?.warm).toEqual({
    ...{ file: 'f', url: undefined },
    ...{ everyMs: 1_000, rate: 1, keysMax: 1 },
  });
  for (const warm of [{}, { file: 'f', url: 'http://search' }])
    expect(problems({ warm })).toEqual(['warm needs a file or a url, and not both']);
  expect(problems({ warm: { file: '', every: '1ms', rate: 0, keysMax: 1.5, often: true } }).length).toBe(5);
  const ofUrl = (url: string, origin?: unknown) => problems({ warm: { url }, origin });
  expect(ofUrl('http://search:8080/popular')).toEqual([
    'warm.url is of use only to a cache that has an origin',
  ]);
  expect(ofUrl('http://other/popular', ORIGIN)).toEqual([
    'warm.url names the host other, which is not on the allowlist',
  ]);
  expect(ofUrl('http://search:8080/popular?k={key}', ORIGIN)).toEqual([
    'warm.url must be without {key}: it is asked for the list',
  ]);
});

test('prefetching is as it is said, within its limits', () => {
  expect(read({}).at(-1)?.prefetch).toBeUndefined();
  expect(read({ prefetch: {} }).at(-1)?.prefetch).toEqual({ rate: 50, keysMax: 8_192 });
  const cache = read({ prefetch: { rate: 1, keysMax: 64 } }).at(-1);
  expect(cache && definitionJson(cache)).toMatchObject({ prefetch: { rate: 1, keysMax: 64 } });
  expect(problems({ prefetch: { rate: 0, keysMax: 63, on: true } }).length).toBe(3);
});
