/** The options of a cache that mean something only together: what the configuration file is told of them. */
import { expect, test } from 'vitest';
import { DefinitionsFileError, definitionJson, readDefinitions } from '../../src/caches/definitions-file.js';

const ORIGIN = { url: 'http://search:8080/q?q={key}', allowHosts: ['search'] };

const read = (cache: unknown) => readDefinitions(Buffer.from(JSON.stringify({ caches: { c: cache } })), 'f');

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
