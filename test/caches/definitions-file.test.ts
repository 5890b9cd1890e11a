/** The configuration file's caches: what comes configured, what a file changes, and what it is told when it is wrong. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  CACHE_LIMITS,
  CACHE_STANDARD,
  CACHES_STANDARD,
  type CacheDefinition,
} from '../../src/caches/definition.js';
import {
  DEFINITIONS_FILE_BYTES_MAX,
  DefinitionsFileError,
  definitionJson,
  readDefinitions,
  readDefinitionsFile,
} from '../../src/caches/definitions-file.js';

const directory = mkdtempSync(join(tmpdir(), 'headrace-test-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const read = (text: string) => readDefinitions(Buffer.from(text), 'f').caches;
const readCaches = (caches: unknown) => read(JSON.stringify({ caches }));
const named = (definitions: readonly CacheDefinition[], name: string) =>
  definitions.find(definition => definition.name === name);

function problems(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof DefinitionsFileError) return error.message.split('\n');
    throw error;
  }
  return [];
}

describe('the caches that come configured', () => {
  test('are those of the contract', () => {
    const ttls = readDefinitionsFile('').caches.map(({ name, ttlMs }) => [name, ttlMs / 60_000]);
    expect(ttls).toEqual([
      ['results', 5],
      ['recommendations', 5],
      ['predictions', 5],
      ['anomalies', 5],
      ['popular', 5],
      ['fingerprints', 10],
      ['plans', 30],
      ['rankingConfig', 1440],
      ['embeddings', 10_080],
    ]);
  });

  test('are what a file that shows them makes of them', () => {
    const shown = Object.fromEntries(CACHES_STANDARD.map(cache => [cache.name, definitionJson(cache)]));
    expect(readCaches(shown)).toEqual(CACHES_STANDARD);
    const others = Object.fromEntries(CACHES_STANDARD.map(({ name }) => [name, null]));
    const [first] = CACHES_STANDARD;
    expect(readCaches({ ...others, mine: first && definitionJson(first) })).toEqual([
      { ...first, name: 'mine' },
    ]);
  });
});

describe('a file', () => {
  test('that says nothing changes nothing', () => {
    for (const text of [
      '{}',
      '{"caches":{}}',
      '{"caches":{"results":{}}}',
      ' {"caches":{"plans":{"l1":{}}}}\n',
    ])
      expect(read(text)).toEqual(CACHES_STANDARD);
  });

  test('changes a cache where it says so, removes, and adds', () => {
    const caches = readCaches({
      results: { ttl: '90s', l1: { bytes: '64MiB' }, tagsMax: 0, prefix: 'r/', enabled: false },
      plans: null,
      suggest: {
        staleWhileRevalidate: '0ms',
        l1: { eviction: 'lru' },
        compressAbove: 4096,
        negativeTtl: '1h',
        leaseTime: '0ms',
      },
    });
    expect(named(caches, 'results')).toEqual({
      ...named(CACHES_STANDARD, 'results'),
      ttlMs: 90_000,
      l1Bytes: 64 * 2 ** 20,
      tagsMax: 0,
      prefix: 'r/',
      enabled: false,
    });
    expect(named(caches, 'plans')).toBeUndefined();
    expect(named(caches, 'suggest')).toEqual({
      ...CACHE_STANDARD,
      name: 'suggest',
      staleWhileRevalidateMs: 0,
      eviction: 'lru',
      compressAbove: 4096,
      negativeTtlMs: 3_600_000,
      leaseMs: 0,
    });
    // One fewer, one more.
    expect(caches.length).toBe(CACHES_STANDARD.length);
  });

  test('makes a cache one of embeddings', () => {
    const caches = readCaches({
      embeddings: { embedding: { dimensions: 384 } },
      small: { embedding: { dimensions: 1, storage: 'int8', metric: 'l2' } },
    });
    expect(named(caches, 'embeddings')).toEqual({
      ...named(CACHES_STANDARD, 'embeddings'),
      embedding: { dimensions: 384, packing: 'float32', metric: 'cosine' },
    });
    const small = named(caches, 'small');
    expect(small?.embedding).toEqual({ dimensions: 1, packing: 'int8', metric: 'l2' });
    const shown = Object.fromEntries(caches.map(cache => [cache.name, definitionJson(cache)]));
    expect(readCaches(shown)).toEqual(caches);
  });

  test('is told what is wrong with an embedding', () => {
    const found = (embedding: unknown) =>
      problems(() => readCaches({ mine: { embedding } })).map(line => line.split(' ', 2).join(' '));
    expect(found({})).toEqual(['f: caches.mine.embedding.dimensions']);
    for (const dimensions of [0, 1.5, -1, 8193, '384', null])
      expect(found({ dimensions })).toEqual(['f: caches.mine.embedding.dimensions']);
    expect(found({ dimensions: 8192, storage: 'int4', metric: 'euclid', k: 1 })).toEqual([
      'f: caches.mine.embedding.storage',
      'f: caches.mine.embedding.metric',
      'f: caches.mine.embedding.k',
    ]);
  });

  test('may name a cache like what every object has', () => {
    const caches = read('{"caches":{"__proto__":{"ttl":"1s"},"constructor":{}}}');
    expect(named(caches, '__proto__')).toEqual({ ...CACHE_STANDARD, name: '__proto__', ttlMs: 1000 });
    expect(named(caches, 'constructor')).toEqual({ ...CACHE_STANDARD, name: 'constructor' });
  });

  test('is told every problem with its path', () => {
    const found = problems(() =>
      read(`{"cashes":{},"caches":{
        "results":{"ttl":"5","l1":{"bytes":"1KiB","evicton":"lru"},"tagsMax":65},
        "plans":{"staleIfError":300,"compressAbove":"1B","prefix":"${'é'.repeat(33)}","enabled":"yes"},
        "popular":7,
        "embeddings":{"l1":{"eviction":"random"},"negativeTtl":"2h","ttl":"0ms","prefix":"a*","leaseTime":"11m"}}}`),
    );
    expect(found.map(line => line.replace(/^f: /, '').split(' ')[0]).sort()).toEqual([
      'caches.embeddings.l1.eviction',
      'caches.embeddings.leaseTime',
      'caches.embeddings.negativeTtl',
      'caches.embeddings.prefix',
      'caches.embeddings.ttl',
      'caches.plans.compressAbove',
      'caches.plans.enabled',
      'caches.plans.prefix',
      'caches.plans.staleIfError',
      'caches.popular',
      'caches.results.l1.bytes',
      'caches.results.l1.evicton',
      'caches.results.tagsMax',
      'caches.results.ttl',
      'cashes',
    ]);
    expect(found).toContain(
      'f: caches.results.ttl must be a whole number with a unit: 250ms, 30s, 15m, 24h, 7d',
    );
    expect(found).toContain('f: caches.plans.prefix has 66 bytes, 64 are allowed');
    expect(found).toContain('f: caches.embeddings.prefix has a *, which is not allowed');
    expect(found).toContain('f: caches.results.l1.evicton is not known here');
  });

  test('is told of names that no cache can have, and of nothing to remove', () => {
    expect(problems(() => readCaches({ '@results': {}, ['x'.repeat(64)]: {}, '': {}, plan: null }))).toEqual([
      'f: caches.@results has a name that must start with a letter or _, then have letters, digits, _ . or - only',
      `f: caches.${'x'.repeat(64)} has a name of 64 characters, 63 are allowed`,
      'f: caches. has a name that must start with a letter or _, then have letters, digits, _ . or - only',
      'f: caches.plan is null, but no cache that comes configured',
    ]);
    expect(readCaches({ ['x'.repeat(63)]: {} }).length).toBe(CACHES_STANDARD.length + 1);
  });

  test('has room for so many caches', () => {
    const caches = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`c${at}`, {}]));
    const most = CACHE_LIMITS.caches - CACHES_STANDARD.length;
    expect(readCaches(caches(most)).length).toBe(CACHE_LIMITS.caches);
    expect(problems(() => readCaches(caches(most + 1)))).toEqual([
      'f: caches makes 65 caches, 64 are allowed',
    ]);
  });

  const ORIGIN = { url: 'http://search:8080/q?q={key}', allowHosts: ['search'] };

  test('may name an origin, of which it shows all', () => {
    const origin = named(readCaches({ results: { origin: ORIGIN } }), 'results')?.origin;
    expect(origin).toEqual({
      ...ORIGIN,
      batchUrl: undefined,
      allowPrivate: [],
      timeoutMs: 5_000,
      retries: 3,
      connections: 10,
      connectTimeoutMs: 30_000,
      keepAliveMs: 90_000,
      bytesMax: 1_027_072,
      batchWaitMs: 2,
      batchMax: 100,
      waitingMax: 10_000,
    });
    const given = {
      ...ORIGIN,
      batchUrl: 'https://models/embed',
      allowHosts: ['search:8080', 'models'],
      allowPrivate: ['10.1.0.0/16'],
      ...{ timeout: '1s', retries: 0, connections: 1, connectTimeout: '1s', keepAlive: '1s', bytesMax: 7 },
      ...{ batchWait: '0ms', batchMax: 7, waitingMax: 7 },
    };
    const [cache] = readCaches({
      ...Object.fromEntries(CACHES_STANDARD.map(({ name }) => [name, null])),
      c: { origin: given },
    });
    expect(cache && definitionJson(cache)).toMatchObject({ origin: { ...given, bytesMax: '7B' } });
    expect(cache && named(readCaches({ c: definitionJson(cache) }), 'c')).toEqual(cache);
  });

  test('is told what is wrong with an origin, where it is', () => {
    const wrong = (origin: unknown) =>
      problems(() => readCaches({ c: { origin } })).map(line => line.replace('f: caches.c.origin', ''));
    expect(wrong({ allowHosts: [] })).toEqual([' needs a url or a batchUrl']);
    expect(wrong({ ...ORIGIN, url: 'http://search/q' })).toEqual(['.url must have {key} where the key goes']);
    expect(wrong({ ...ORIGIN, batchUrl: 'http://search/{key}' })).toEqual([
      '.batchUrl must be without {key}: the keys are in the body',
    ]);
    expect(wrong({ ...ORIGIN, allowHosts: ['other'] })).toEqual([
      '.url names the host search:8080, which is not on the allowlist',
    ]);
    expect(wrong({ ...ORIGIN, allowPrivate: ['10.0.0.0/33'] })).toEqual([
      '.allowPrivate allows the address 10.0.0.0/33, which is none and no range like 10.1.0.0/16',
    ]);
    expect(wrong({ url: 'http://169.254.169.254/{key}', allowHosts: ['169.254.169.254'] })).toEqual([
      '.url names the address 169.254.169.254, which is neither public nor allowed',
    ]);
    const places = wrong({
      ...ORIGIN,
      retries: 4,
      timeout: '0ms',
      bytesMax: '2MiB',
      batchMax: 1_001,
      ttl: '1s',
    });
    expect(places.map(line => line.split(' ')[0]).sort()).toEqual([
      '.batchMax',
      '.bytesMax',
      '.retries',
      '.timeout',
      '.ttl',
    ]);
    expect(wrong({ url: ORIGIN.url })[0]).toMatch(/^\.allowHosts/);
  });

  test('is strict JSON, an object', () => {
    expect(problems(() => read('{"caches":{"a":{},"a":{}}}'))).toEqual([
      'f: the key "a" is there twice (line 1, column 19, caches.a)',
    ]);
    expect(problems(() => read('{"caches":\n{,}}'))[0]).toMatch(/^f: .*line 2, column 2/);
    for (const text of ['[]', '1', 'null', '{"caches":[]}', '{"caches":null}'])
      expect(problems(() => read(text)).length).toBe(1);
  });

  test('must be there, readable, and not larger than it may be', () => {
    const path = join(directory, 'caches.json');
    expect(problems(() => readDefinitionsFile(path))[0]).toMatch(
      /caches\.json: the file cannot be read: ENOENT/,
    );
    expect(problems(() => readDefinitionsFile(directory))[0]).toMatch(/cannot be read/);
    writeFileSync(path, '{"caches":{"plans":null}}');
    expect(readDefinitionsFile(path).caches.length).toBe(CACHES_STANDARD.length - 1);
    writeFileSync(path, '{}'.padEnd(DEFINITIONS_FILE_BYTES_MAX));
    expect(readDefinitionsFile(path).caches).toEqual(CACHES_STANDARD);
    truncateSync(path, DEFINITIONS_FILE_BYTES_MAX + 1);
    expect(problems(() => readDefinitionsFile(path))[0]).toMatch(/has 1048577 bytes, 1048576 are allowed/);
  });
});
