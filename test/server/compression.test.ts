/** Entries that are stored compressed: the answers are the same, and less is stored. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openLmdb } from '../../src/tiers/lmdb-environment.js';
import { resultOf } from '../caches/compression/entry-record.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { ApiClient } from './api-client.js';
import { makeDataDir, type ServerProcess, startServerProcess } from './server-process.js';

const RESULT = resultOf(20_000);
/** As a client may compress itself. */
const RANDOM = randomBytes(20_000);
const HEADERS = { 'content-type': 'application/json', 'cache-tags': 'tag:a', 'cache-control': 'max-age=60' };
const pathOf = (key: string, cache = 'results') => `/v1/caches/${cache}/entries/${key}`;

async function expectServed(api: ApiClient, key: string, body: Uint8Array): Promise<void> {
  const answer = await api.get(pathOf(key));
  expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/json']);
  expect(answer.headers).not.toHaveProperty('content-encoding');
  expect(Buffer.compare(answer.bytes, body)).toBe(0);
  const etag = String(answer.headers.etag);
  expect((await api.get(pathOf(key), { 'if-none-match': etag })).status).toBe(304);
}

const put = async (api: ApiClient, path: string, body: Uint8Array) =>
  expect((await api.request('PUT', path, body, HEADERS)).status).toBe(204);

describe('in the embedded store', () => {
  test('an entry takes less room on disk, and is served the same from there', async () => {
    const dataDir = makeDataDir();
    const sizes = async () => {
      const environment = openLmdb(dataDir);
      const lengths = [...environment.records.getRange()].map(({ value }) => value.length);
      await environment.close();
      return lengths.sort((a, b) => a - b);
    };
    const first = await startServerProcess({ dataDir });
    const api = new ApiClient(first.port);
    await put(api, pathOf('json'), RESULT);
    await put(api, pathOf('random'), RANDOM);
    await expectServed(api, 'json', RESULT);
    api.close();
    await first.stop();
    const [json = 0, random = 0, ...others] = await sizes();
    expect(others).toEqual([]);
    expect(json).toBeLessThan(RESULT.length / 2);
    expect(random).toBeGreaterThan(RANDOM.length);

    const second = await startServerProcess({ dataDir, env: { HEADRACE_WARM_RATE: '0' } });
    const again = new ApiClient(second.port);
    await expectServed(again, 'json', RESULT);
    await expectServed(again, 'random', RANDOM);
    again.close();
    expect(await second.stop()).toEqual({ code: 0, signal: null });
    expect(second.errorOutput).toBe('');
  }, 60_000);
});

describeWithRedis('in a Redis that two servers share', () => {
  let redis: RedisServer;
  let client: Redis;
  /** The first compresses what is above 1 KiB, the second nothing. */
  let servers: ServerProcess[];
  let apis: [ApiClient, ApiClient];

  beforeAll(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes']);
    client = new Redis(redis.url);
    const dataDir = makeDataDir();
    const file = join(dataDir, 'headrace.json');
    writeFileSync(file, '{"caches":{"results":{"compressAbove":"64MiB"}}}');
    const env = {
      HEADRACE_REDIS_URL: redis.url,
      HEADRACE_REDIS_TIMEOUT: '2s',
      HEADRACE_LOCAL_COPY_BYTES: '0',
    };
    servers = await Promise.all([
      startServerProcess({ env }),
      startServerProcess({ env: { ...env, HEADRACE_CONFIG_FILE: file } }),
    ]);
    apis = servers.map(({ port }) => new ApiClient(port)) as [ApiClient, ApiClient];
  }, 60_000);

  afterAll(async () => {
    for (const api of apis) api.close();
    for (const server of servers) {
      expect(await server.stop()).toEqual({ code: 0, signal: null });
      expect(server.errorOutput).toBe('');
    }
    client.disconnect();
    await redis.close();
  });

  const keyOf = async (key: string) => {
    const keys = await client.keysBuffer('*');
    const found = keys.find(name => name.toString('latin1').endsWith(key));
    if (found === undefined) throw new Error(`${key} is not in Redis`);
    return found;
  };
  const storedBytes = async (key: string) => client.strlen(await keyOf(key));

  test('each reads what the other has written, with thresholds of their own', async () => {
    const [compressing, other] = apis;
    await put(compressing, pathOf('of-one'), RESULT);
    await put(other, pathOf('of-two'), RESULT);
    expect(await storedBytes('of-one')).toBeLessThan(RESULT.length / 2);
    expect(await storedBytes('of-two')).toBeGreaterThan(RESULT.length);
    for (const api of apis) {
      await expectServed(api, 'of-one', RESULT);
      await expectServed(api, 'of-two', RESULT);
    }
  });

  test('a tag finds them', async () => {
    const [compressing, other] = apis;
    await put(compressing, pathOf('tagged'), RESULT);
    await expectServed(other, 'tagged', RESULT);
    expect((await other.post('/v1/caches/results/invalidate', { tags: ['tag:a'] })).status).toBe(200);
    await eventually(async () => (await storedBytes('tagged')) < 100, 'a tombstone is in its place');
    for (const api of apis)
      await eventually(async () => (await api.get(pathOf('tagged'))).status === 404, 'it is gone');
  });

  test('a lease on a stale one leaves it as it is', async () => {
    const [compressing, other] = apis;
    const stale = { ...HEADERS, 'cache-control': 'max-age=0, stale-while-revalidate=60' };
    expect((await compressing.request('PUT', pathOf('stale'), RESULT, stale)).status).toBe(204);
    const answer = await compressing.get(pathOf('stale'));
    const lease = String(answer.headers['headrace-lease']);
    expect([answer.status, lease.length > 20, Buffer.compare(answer.bytes, RESULT)]).toEqual([200, true, 0]);
    expect(await storedBytes('stale')).toBeLessThan(RESULT.length / 2);
    expect(Buffer.compare((await other.get(pathOf('stale'))).bytes, RESULT)).toBe(0);
    const filled = await compressing.request('PUT', pathOf('stale'), RESULT.subarray(9), {
      ...HEADERS,
      'headrace-lease': lease,
    });
    expect(filled.status).toBe(204);
    await eventually(
      async () => Buffer.compare((await other.get(pathOf('stale'))).bytes, RESULT.subarray(9)) === 0,
      'the other serves what was made anew',
    );
    expect(await storedBytes('stale')).toBeLessThan(RESULT.length / 2);
  });

  test('what is damaged is not served', async () => {
    const [compressing, other] = apis;
    await put(compressing, pathOf('damaged'), RESULT);
    const key = await keyOf('damaged');
    await client.setrange(key, 4_000, '\xff\xff\x00\xff');
    await eventually(async () => (await other.get(pathOf('damaged'))).status === 503, 'nobody knows it');
    await put(other, pathOf('damaged'), RESULT);
    await expectServed(other, 'damaged', RESULT);
  });
});
