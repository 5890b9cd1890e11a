/** Rivals answer what headrace answered, byte for byte, or their own records. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { documentId, RecordMaker } from '../../native-free-bench/data/records.js';
import { headerPairs, type RivalName, startRival } from '../../native-free-bench/rivals/rival.js';
import { lookupPath } from '../../native-free-bench/servers/filling.js';
import { call } from '../../native-free-bench/servers/http-call.js';
import { findRedis, type RedisForBench } from '../../native-free-bench/servers/redis.js';

const maker = new RecordMaker(50, 1);
const answer = {
  status: 200,
  rawHeaders: [
    'Content-Type',
    'application/vnd.headrace.flatbuffers',
    'Cache-Status',
    'headrace; hit',
    'Content-Length',
    '4',
  ],
  body: Buffer.from([0, 255, 128, 7]),
};

let redis: RedisForBench | string;
beforeAll(async () => {
  redis = await findRedis();
});
afterAll(async () => {
  if (typeof redis !== 'string') await redis.stop();
});

async function withRival(name: RivalName, use: (address: { host: string; port: number }) => Promise<void>) {
  const redisUrl = typeof redis === 'string' ? '' : redis.url;
  const rival = await startRival(name, {
    documents: 600,
    keyPrefix: '',
    answer,
    featureTexts: maker.featureTexts,
    redisUrl,
  });
  try {
    await use(rival);
  } finally {
    await rival.stop();
  }
}

function headerOf(rawHeaders: readonly string[], wanted: string): string[] {
  return headerPairs(rawHeaders).flatMap(([name, value]) => (name.toLowerCase() === wanted ? [value] : []));
}

test.each([
  'bare-uws',
  'bare-uws-params',
  'fastify-bentocache',
  'fastify-lru-cache',
  'fastify-ioredis',
] as const)('%s repeats headrace byte for byte', async (name: RivalName) => {
  if (name === 'fastify-ioredis' && typeof redis === 'string') return expect(redis).toMatch(/redis/);
  await withRival(name, async address => {
    const entries = name === 'fastify-ioredis' ? [] : [`/v1/caches/results/entries/${documentId(7)}`];
    for (const path of [maker.path(0), maker.path(599), ...entries]) {
      const got = await call(address, 'GET', path);
      expect(got.body).toEqual(answer.body);
      expect(headerOf(got.rawHeaders, 'content-type')).toEqual(['application/vnd.headrace.flatbuffers']);
      expect(headerOf(got.rawHeaders, 'cache-status')).toEqual(['headrace; hit']);
      expect(headerOf(got.rawHeaders, 'content-length')).toEqual(['4']);
    }
  });
});

test('bentocache with objects sends the record', async () => {
  await withRival('fastify-bentocache-objects', async address => {
    const got: unknown = JSON.parse((await call(address, 'GET', maker.path(300))).body.toString());
    expect(got).toMatchObject({ id: 'doc-300', features: JSON.parse(maker.featuresOf(300)) });
  });
});

test('ioredis answers a batch with the records in order', async context => {
  if (typeof redis === 'string') return context.skip(redis);
  await withRival('fastify-ioredis', async address => {
    const body = JSON.stringify({ ids: [599, 0, 10_000].map(documentId), features: [] });
    const headers = { 'content-type': 'application/json' };
    const got = await call(address, 'POST', lookupPath(maker), { headers, body });
    const records = [JSON.parse(maker.featuresOf(599)), JSON.parse(maker.featuresOf(0)), null];
    expect(JSON.parse(got.body.toString())).toEqual({ records });
  });
});

test('ioredis answers a batch as columns, as headrace does', async context => {
  if (typeof redis === 'string') return context.skip(redis);
  await withRival('fastify-ioredis-columns', async address => {
    const features = [maker.featureNames[3], maker.featureNames[0]];
    const body = JSON.stringify({ ids: [599, 10_000].map(documentId), features });
    const headers = { 'content-type': 'application/json' };
    const got = await call(address, 'POST', lookupPath(maker), { headers, body });
    const record: Record<string, number> = JSON.parse(maker.featuresOf(599));
    expect(JSON.parse(got.body.toString())).toMatchObject({
      statuses: ['PRESENT', 'NOT_FOUND'],
      columns: features.map(name => [record[name ?? ''], null]),
    });
  });
});

test('a rival that cannot start is told with its own words', async () => {
  const wrong = { documents: 1, keyPrefix: '', answer, featureTexts: ['not JSON'], redisUrl: '' };
  await expect(startRival('fastify-bentocache', wrong)).rejects.toThrow(/exit code 1.*\n(.|\n)*SyntaxError/);
});
