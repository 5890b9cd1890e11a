/**
 * Attempts to have a cache give out what it should not: keys that look like others, headers that change what is kept,
 * leases that were never given, floods. Each is refused or does nothing, and what is refused is counted.
 */
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SEED, Seeded } from '../base/seeded.js';
import { FRONTS } from '../front/fronts.js';
import { type Answer as RawAnswer, RawClient } from '../front/raw-client.js';
import { eventually } from '../support/redis-server.js';
import { type Answer, ApiClient } from './api-client.js';
import { expectProblem, placesOf } from './both-fronts.js';
import { LeaseClient } from './lease-client.js';
import { OriginScene } from './origin-scene.js';
import { DIFFERENT, HEADERS, NO_KEYS, SAME } from './poison.js';

/** Of clients' own entries, with leases; `results` is read through to an origin. */
const CACHE = 'popular';
const PAYLOAD_BYTES_MAX = 1_027_072;

describe.each(FRONTS)('poisoning, %s front', front => {
  let scene: OriginScene;
  let admin: ApiClient;
  const sockets: RawClient[] = [];
  beforeAll(async () => {
    scene = await OriginScene.start({
      caches: { results: { origin: {} } },
      env: { HEADRACE_FRONT: front, HEADRACE_LEASE_TIME: '5m' },
    });
    admin = new ApiClient(scene.server.adminPort);
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    admin.close();
    await scene.close();
  });

  const pathOf = (key: string, cache = CACHE) => `/v1/caches/${cache}/entries/${key}`;
  const put = (key: string, body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}) =>
    scene.api.request('PUT', pathOf(key), body, headers);
  const textOf = async (key: string) => {
    const { status, text } = await scene.api.get(pathOf(key));
    return status === 200 ? text : status;
  };
  const problems = async () => {
    const body = (await admin.get('/admin/problems')).json() as { problems: Record<string, number> };
    return body.problems;
  };
  /** How often each problem was answered meanwhile. */
  const counted = async (attempts: () => Promise<void>) => {
    const before = await problems();
    await attempts();
    const gained = Object.entries(await problems()).map(
      ([code, n]) => [code, n - (before[code] ?? 0)] as const,
    );
    return Object.fromEntries(gained.filter(([, n]) => n > 0));
  };
  const raw = async (bytes: string, then: 'waits' | 'and goes' = 'waits'): Promise<RawAnswer | undefined> => {
    const socket = await RawClient.connect(scene.server.port);
    sockets.push(socket);
    await socket.send(bytes);
    if (then === 'and goes') socket.socket.end();
    return socket.answer(/^\w+/.exec(bytes)?.[0] ?? 'GET');
  };
  const rawPut = (key: string, lines: readonly string[], body: string, then?: 'and goes') =>
    raw(
      `PUT ${pathOf(key)} HTTP/1.1\r\nHost: x\r\n${lines.map(line => `${line}\r\n`).join('')}Content-Length: ${body.length}\r\n\r\n${body}`,
      then,
    );

  test('by keys that look alike does nothing: each is an entry of its own', async () => {
    const texts = () => Promise.all(DIFFERENT.map(textOf));
    const puts = await Promise.all(DIFFERENT.map(key => put(key, `of ${key}`)));
    expect(puts.map(({ status }) => status)).toEqual(DIFFERENT.map(() => 204));
    expect(await texts()).toEqual(DIFFERENT.map(key => `of ${key}`));
    for (const [one, other] of SAME) expect([one, await textOf(one)]).toEqual([one, `of ${other}`]);
    const keys = DIFFERENT.map(decodeURIComponent);
    expect(new Set(keys).size).toBe(DIFFERENT.length);
    const batch = await scene.api.post(`/v1/caches/${CACHE}/entries:batchGet`, { keys });
    const { entries } = batch.json() as { entries: { base64: string }[] };
    const fromBatch = entries.map(({ base64 }) => Buffer.from(base64, 'base64').toString());
    expect(fromBatch).toEqual(DIFFERENT.map(key => `of ${key}`));
    // Nor do other caches have it.
    expect((await scene.api.get(pathOf('key', 'plans'))).status).toBe(404);
    await Promise.all(DIFFERENT.filter((_, at) => at % 2 === 0).map(key => scene.api.delete(pathOf(key))));
    expect(await texts()).toEqual(DIFFERENT.map((key, at) => (at % 2 === 0 ? 404 : `of ${key}`)));
  });

  test('by keys that are none, or too long, is refused and counted', async () => {
    const gained = await counted(async () => {
      for (const key of NO_KEYS)
        for (const answer of [await scene.api.get(pathOf(key)), await put(key, 'x')])
          expectProblem(answer, 400, 'bad-encoding');
      for (const key of ['', 'k'.repeat(513), '%C3%A9'.repeat(257)])
        expectProblem(await put(key, 'x'), 400, 'bad-id');
      // A query is no part of a key.
      expectProblem(await scene.api.get(pathOf('key?cachebuster=1')), 400, 'bad-query');
      expectProblem(await put('k'.repeat(9_000), 'x'), 414, 'path-too-long');
    });
    expect(gained).toEqual({
      'bad-encoding': 2 * NO_KEYS.length,
      ...{ 'bad-id': 3, 'bad-query': 1, 'path-too-long': 1 },
    });
  });

  test('by parts that make one text when they are joined does nothing: canonical keys differ', async () => {
    const parts = [
      { query: 'a', params: { k: 'b' } },
      { query: 'a,p1:k,s1:b' },
      { query: 'a', params: { k: 'b,p1:l,s1:c' } },
      { query: 'a', params: { k: 'b', l: 'c' } },
      { query: 'a', params: { k: ['b', 'c'] } },
      { query: 'a', params: { k: 'b,c' } },
      ...['10', 10, true, 'true', null, 'null', ''].map(k => ({ query: 'a', params: { k } })),
      { tenant: 'acme', query: 'a' },
      { tenant: 'acm', query: 'ea' },
      { query: 't4:acme,q1:a' },
      { query: 'a', params: { tenant: 'acme' } },
    ];
    const keys: string[] = [];
    for (const part of parts) {
      const answer = await scene.api.post(`/v1/caches/${CACHE}/key`, part);
      keys.push((answer.json() as { key: string }).key);
    }
    expect(new Set(keys).size).toBe(parts.length);
    expect(keys.filter(key => key.startsWith('t4:acme,'))).toHaveLength(1);
  });

  test('by what a request says beside its key does nothing: the origin hears of the key alone', async () => {
    scene.origin.asked.length = 0;
    scene.origin.answer = (response, { path }) => {
      const headers = {
        'content-type': 'text/plain',
        'set-cookie': 'evil=1',
        'x-evil': '1',
        connection: 'x-evil',
      };
      response.writeHead(200, headers).end(`made for ${path}`);
    };
    const seen: string[] = [];
    for (const [n, header] of HEADERS.entries()) {
      const host = header.startsWith('Host:') ? '' : 'Host: x\r\n';
      const path = pathOf(`k${n}`, 'results');
      const made = await raw(`GET ${path} HTTP/1.1\r\n${host}${header}\r\n\r\n`);
      expect([header, made?.status, made?.body]).toEqual([header, 200, `made for /v?k=k${n}`]);
      const plain = await scene.api.get(path);
      expect([header, plain.status, plain.text]).toEqual([header, 200, `made for /v?k=k${n}`]);
      expect([header, plain.headers['content-type']]).toEqual([header, 'text/plain']);
      seen.push(JSON.stringify([...(made?.headers ?? [])]), JSON.stringify(plain.headers));
    }
    expect(scene.keysAsked).toEqual(HEADERS.map((_, n) => `k${n}`));
    expect(seen.filter(headers => /evil/i.test(headers))).toEqual([]);
    expect(JSON.stringify(scene.origin.asked.map(({ headers }) => headers))).not.toMatch(/evil|"range"|if-/i);
  });

  test('by ranges and conditions of one reader does nothing to the others', async () => {
    await put('whole', 'the whole of it', { 'content-type': 'text/plain' });
    const { etag = '' } = (await scene.api.get(pathOf('whole'))).headers;
    for (const headers of [
      { range: 'bytes=4-8' },
      { range: 'bytes=4-8', 'if-range': etag },
      { 'if-none-match': '"other"' },
      { 'if-match': '"other"' },
    ])
      expect((await scene.api.get(pathOf('whole'), headers)).text).toBe('the whole of it');
    for (const ifNoneMatch of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const held = await scene.api.get(pathOf('whole'), { 'if-none-match': ifNoneMatch });
      expect([ifNoneMatch, held.status, held.text]).toEqual([ifNoneMatch, 304, '']);
      expect(await textOf('whole')).toBe('the whole of it');
    }
    expect((await scene.api.head(pathOf('whole'))).status).toBe(200);
    expect(await textOf('whole')).toBe('the whole of it');
  });

  test('by a header that comes twice is refused and counted', async () => {
    await put('twice', 'good');
    const gained = await counted(async () => {
      const twice = async (lines: readonly string[]) => (await rawPut('twice', lines, 'evil'))?.status;
      expect(await twice(['Content-Type: text/plain', 'Content-Type: text/html'])).toBe(400);
      expect(await twice(['Cache-Control: max-age=1', 'Cache-Control: max-age=9'])).toBe(400);
      expect(await twice(['Content-Length: 1'])).toBe(400);
      expect(await twice(['Transfer-Encoding: chunked'])).toBe(400);
      expect(await twice(['Content-Encoding: identity', 'Content-Encoding: gzip'])).toBe(400);
    });
    // Of framing, uWebSockets.js refuses some by itself, before it is a request.
    expect(gained['bad-header']).toBe(3);
    if (front === 'node') expect(gained['bad-request']).toBe(2);
    const leases = new LeaseClient(scene.api, CACHE);
    const token = await leases.lease('leased');
    const forged = await counted(async () => {
      const lines = [`Headrace-Lease: ${token}`, 'Headrace-Lease: evil'];
      for (const some of [lines, lines.toReversed()])
        expect((await rawPut('leased', some, 'evil'))?.status).toBe(409);
    });
    expect(forged).toEqual({ 'lease-lost': 2 });
    expect(await textOf('twice')).toBe('good');
    expect(await textOf('leased')).toBe(404);
  });

  test('by line breaks makes no header of them', async () => {
    const key = 'k%0D%0ASet-Cookie:%20evil=1%0D%0A%0D%0Aevil';
    const answers = [
      await raw(`GET ${pathOf(key)} HTTP/1.1\r\nHost: x\r\n\r\n`),
      await rawPut(key, ['Cache-Tags: a%0D%0ASet-Cookie: evil'], 'x'),
      await rawPut(key, ['Cache-Tags: a%0D%0AX-Evil:1'], 'x'),
      await raw(`GET ${pathOf(key)} HTTP/1.1\r\nHost: x\r\n\r\n`),
      await raw(`GET ${pathOf('k', 'no%0D%0AX-Evil:1')} HTTP/1.1\r\nHost: x\r\n\r\n`),
    ];
    expect(answers.map(answer => answer?.status)).toEqual([404, 204, 204, 200, 404]);
    for (const answer of answers)
      for (const [name, value] of answer?.headers ?? [])
        expect(`${name}: ${value}`).not.toMatch(/evil|cookie/i);
    // On the wire itself, a break makes it no request. (Of a lone CR uWebSockets.js waits for what is to follow.)
    for (const line of [
      'Content-Type: text/plain\rX: evil',
      'Content-Type: text/\nhtml',
      'Cache-Tags: a\0b',
      '\nX: 1',
    ]) {
      const answer = await rawPut('broken', [line], 'evil', 'and goes');
      expect([line, [undefined, 400]]).toEqual([line, expect.arrayContaining([answer?.status])]);
      expect(await textOf('broken')).toBe(404);
    }
  });

  test('by requests within requests is refused: nothing behind the first is served', async () => {
    await put('victim', 'good');
    const inner = `DELETE ${pathOf('victim')} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const framings = [
      ['Transfer-Encoding: chunked', `Content-Length: ${inner.length + 5}`],
      ['Transfer-Encoding: xchunked'],
      ['Content-Length: 0', `Content-Length: ${inner.length}`],
      ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
    ];
    for (const lines of framings) {
      const head = `PUT ${pathOf('outer')} HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`;
      const answer = await raw(`${head}0\r\n\r\n${inner}`);
      expect([lines, [undefined, 400]]).toEqual([lines, expect.arrayContaining([answer?.status])]);
      expect([await textOf('victim'), await textOf('outer')]).toEqual(['good', 404]);
    }
  });

  test('by content types that are none is refused and counted, and what is kept comes back as it was put', async () => {
    const wrong = [
      ...['text', 'text/', '/html', 'text/html, text/plain', 'text/html; charset', 'text/html;', 'text html'],
      ...['text/html; x="\\', '<script>', 'text/h(t)ml', 't/'.repeat(50), `text/${'x'.repeat(256)}`],
    ];
    await put('typed', 'good', { 'content-type': 'text/html; charset=utf-8' });
    const gained = await counted(async () => {
      for (const type of wrong) {
        const problem = expectProblem(
          await put('typed', 'evil', { 'content-type': type }),
          400,
          'bad-header',
        );
        expect([type, placesOf(problem)]).toEqual([type, ['content-type']]);
      }
      for (const encoding of ['gzip', 'br', 'identity, gzip'])
        expectProblem(await put('typed', 'evil', { 'content-encoding': encoding }), 400, 'bad-header');
    });
    expect(gained).toEqual({ 'bad-header': wrong.length + 3 });
    const { text, headers } = await scene.api.get(pathOf('typed'), { accept: 'image/png' });
    expect([text, headers['content-type']]).toEqual(['good', 'text/html; charset=utf-8']);
  });

  test(`by leases that were forged or used is refused and counted (seed ${SEED})`, async () => {
    const random = new Seeded(SEED);
    const leases = new LeaseClient(scene.api, CACHE);
    const [token, others] = [await leases.lease('mine'), await leases.lease('another')];
    const elsewhere = await new LeaseClient(scene.api, 'plans').lease('mine');
    const changed = () => {
      const at = random.below(token.length);
      return token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
    };
    const forged = [
      ...[
        others,
        elsewhere,
        '0',
        '*',
        'null',
        token.slice(0, -1),
        `${token}=`,
        token.repeat(2),
        'A'.repeat(22),
      ],
      ...Array.from({ length: 100 }, changed),
    ];
    const { refused = 0 } = await leases.figures();
    const gained = await counted(async () => {
      for (const lease of forged) await leases.expectRefused('mine', 'evil', lease);
    });
    expect(gained).toEqual({ 'lease-lost': forged.length });
    expect((await leases.read('mine')).status).toBe(404);
    await leases.fill('mine', 'good', token);
    const replayed = await counted(async () => {
      await leases.expectRefused('mine', 'evil', token);
      await leases.remove('mine');
      await leases.expectRefused('mine', 'evil', token);
      await leases.fill('another', 'good', others);
      await leases.expectRefused('another', 'evil', others);
    });
    expect(replayed).toEqual({ 'lease-lost': 3 });
    expect((await leases.figures()).refused).toBe(refused + forged.length + 3);
    expect([await textOf('mine'), await textOf('another')]).toEqual([404, 'good']);
  });

  test('by values that are too large is refused and counted, and what was there stays', async () => {
    expect((await put('large', new Uint8Array(PAYLOAD_BYTES_MAX).fill(65))).status).toBe(204);
    const gained = await counted(async () => {
      const tooLarge = new Uint8Array(PAYLOAD_BYTES_MAX + 1);
      expectProblem(await put('large', tooLarge), 413, 'body-too-large');
      const chunks = Readable.from([tooLarge.subarray(1), 'x']);
      const answer: Answer = await scene.api.request('PUT', pathOf('large'), chunks);
      expectProblem(answer, 413, 'body-too-large');
      const keys = Array.from({ length: 1_001 }, (_, n) => `k${n}`);
      const batch = await scene.api.post(`/v1/caches/${CACHE}/entries:batchGet`, { keys });
      expectProblem(batch, 413, 'too-many-ids');
    });
    expect(gained).toEqual({ 'body-too-large': 2, 'too-many-ids': 1 });
    expect(await textOf('large')).toBe('A'.repeat(PAYLOAD_BYTES_MAX));
  });

  test('by floods of tags is refused and counted, or takes its own entries alone', async () => {
    const tags = (count: number, of = '') => Array.from({ length: count }, (_, n) => `tag-${of}${n}`);
    await put('tagged', 'good', { 'cache-tags': 'good' });
    const gained = await counted(async () => {
      for (const list of [tags(65).join(), ','.repeat(64), 'a,,b', 'x'.repeat(257), '%ff', 'a,\xe9'])
        expectProblem(await put('tagged', 'evil', { 'cache-tags': list }), 400, 'bad-header');
      const invalidate = (body: unknown) => scene.api.post(`/v1/caches/${CACHE}/invalidate`, body);
      expectProblem(await invalidate({ tags: tags(65) }), 422, 'invalid-invalidation');
      expectProblem(await invalidate({ tags: ['x'.repeat(257)] }), 422, 'invalid-invalidation');
      expectProblem(await invalidate({ pattern: '*'.repeat(1_025) }), 422, 'invalid-invalidation');
    });
    expect(gained).toEqual({ 'bad-header': 6, 'invalid-invalidation': 3 });
    // More tags than there may be invalidations under way: further ones wait, and are refused when that takes too long.
    const floods = Array.from({ length: 20 }, (_, n) => tags(64, `${n}-`));
    await Promise.all(floods.map((list, n) => put(`flood-${n}`, 'x', { 'cache-tags': list.join() })));
    const invalidated = await Promise.all(
      floods.map(list => scene.api.post(`/v1/caches/${CACHE}/invalidate`, { tags: list })),
    );
    for (const { status } of invalidated) expect([200, 503]).toContain(status);
    const { status } = await scene.api.post(`/v1/caches/${CACHE}/invalidate`, { prefix: 'flood-' });
    expect(status).toBe(200);
    expect(await textOf('tagged')).toBe('good');
    const leases = new LeaseClient(scene.api, CACHE);
    await eventually(async () => (await leases.invalidating()) === 0, 'all of it is erased');
    expect(await textOf('flood-19')).toBe(404);
    expect(await textOf('tagged')).toBe('good');
  });
});
