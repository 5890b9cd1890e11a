import { describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/front/front.js';
import { FRONTS, LIMITS, start, until } from './fronts.js';

const echo = (exchange: Exchange) => exchange.respond(200, [], `${exchange.method} ${exchange.path}`);

/** Each must be answered with one of these and the connection closed, or be closed at once (0). */
const REFUSED: readonly (readonly [name: string, bytes: string, statuses: readonly number[]])[] = [
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', [400, 505]],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400, 505]],
  ['an unknown version', 'GET / HTTP/3.7\r\nHost: x\r\n\r\n', [400, 505]],
  ['no host', 'GET / HTTP/1.1\r\n\r\n', [400]],
  ['a header without a colon', 'GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n', [400]],
  ['a NUL in the path', 'GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n', [400, 505]],
  ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\nA: a\0b\r\n\r\n', [400]],
  ['a space before the colon', 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n', [400]],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\nhello', [400]],
  [
    'two lengths of a GET',
    'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\nhello',
    [400],
  ],
  ['a list of lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello', [400]],
  ['a negative length', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello', [400]],
  ['a signed length', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello', [400]],
  [
    'a huge length',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\nhello',
    [400],
  ],
  ['an empty length', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n', [400]],
  [
    'length and coding',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    [400],
  ],
  ['another coding', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n', [400]],
  ['two codings', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', [400]],
  [
    'a coding twice',
    'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    [400],
  ],
  [
    'a chunk size of letters',
    'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n',
    [400],
  ],
  [
    'a chunk size past all bounds',
    `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${'f'.repeat(20)}\r\nhello\r\n`,
    [400],
  ],
  ['lines that end with LF', 'GET / HTTP/1.1\nHost: x\n\n', [400, 505]],
  ['a tunnel', 'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n', [0, 400, 505]],
];

describe.each(FRONTS)('%s front: hostile requests', kind => {
  test.each(REFUSED)('refuses %s', async (_name, bytes, statuses) => {
    const paths: string[] = [];
    const { client, front } = await start(kind, exchange => {
      paths.push(exchange.path);
      exchange.readBody(1000, (_, asked) => echo(asked));
    });
    const [raw, other] = [await client(), await client()];
    await raw.send(`${bytes}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await raw.answer();
    // With more bytes behind it, a refused request may also be cut off without an answer.
    expect([0, ...statuses]).toContain(answer?.status ?? 0);
    await raw.whenClosed();
    expect(raw.rest).toBe('');
    await other.request('/alive');
    expect((await other.answer())?.status).toBe(200);
    expect(paths).not.toContain('/smuggled');
    await until(() => front.pending === 0);
    const alone = await client();
    await alone.send(bytes);
    expect(statuses).toContain((await alone.answer())?.status ?? 0);
    await alone.whenClosed();
  });

  test('refuses or passes an unknown method, and lives', async () => {
    const { client } = await start(kind, echo);
    for (const method of ['FOO', 'get', 'PROPFIND', 'X'.repeat(200)]) {
      const raw = await client();
      await raw.request('/', method);
      const answer = await raw.answer();
      if (answer?.status === 200) expect(answer.body).toBe(`${method} /`);
      else expect(answer?.status).toBe(400);
    }
  });

  test('answers 431 when the headers are too large, in one packet or in many', async () => {
    const { client } = await start(kind, echo);
    const line = `A: ${'a'.repeat(1000)}\r\n`;
    const fits = `GET /fits HTTP/1.1\r\nHost: x\r\n${line.repeat(7)}\r\n`;
    const large = `GET /large HTTP/1.1\r\nHost: x\r\n${line.repeat(9)}\r\n`;
    expect([fits.length < LIMITS.headerBytesMax, large.length > LIMITS.headerBytesMax]).toEqual([true, true]);
    const one = await client();
    await one.send(fits);
    expect((await one.answer())?.body).toBe('GET /fits');
    await one.send(large);
    expect((await one.answer())?.status).toBe(431);
    await one.whenClosed();
    const many = await client();
    for (let at = 0; at < large.length; at += 100) await many.send(large.slice(at, at + 100));
    expect((await many.answer())?.status).toBe(431);
    await many.whenClosed();
  });

  test('answers 431 to endless headers', async () => {
    const { client } = await start(kind, echo);
    const raw = await client();
    await raw.send('GET / HTTP/1.1\r\nHost: x\r\n');
    while (!raw.closed) {
      await raw.send(`A: ${'a'.repeat(100)}\r\n`);
      await new Promise(setImmediate);
    }
    expect(raw.rest === '' || raw.rest.startsWith('HTTP/1.1 431 ')).toBe(true);
  });

  test('answers 414 for a path and query one byte too long', async () => {
    const { client } = await start(kind, echo);
    const raw = await client();
    const path = `/${'p'.repeat(LIMITS.pathBytesMax - 11)}`;
    await raw.request(`${path}?${'q'.repeat(10)}`);
    expect((await raw.answer())?.status).toBe(200);
    await raw.request(`${path}?${'q'.repeat(11)}`);
    const answer = await raw.answer();
    expect(answer?.status).toBe(414);
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ type: 'urn:headrace:problem:path-too-long' });
    await raw.request('/next');
    expect((await raw.answer())?.body).toBe('GET /next');
  });

  test('answers 400 for a path or query that is not ASCII', async () => {
    const { client } = await start(kind, echo);
    for (const target of ['/\xc3\xa9', '/a?\xc3\xa9', '/\xff\xfe']) {
      const raw = await client();
      await raw.request(target);
      expect((await raw.answer())?.status).toBe(400);
    }
  });

  test('finds the next request behind chunks, however the coding is spelled', async () => {
    const { client } = await start(kind, exchange => {
      exchange.readBody(1000, (body, asked) => asked.respond(200, [], `${asked.path} ${body.byteLength}`));
    });
    const raw = await client();
    await raw.send(
      'POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    );
    expect((await raw.answer())?.body).toBe('/a 5');
    await raw.request('/b');
    expect((await raw.answer())?.body).toBe('/b 0');
  });

  test('closes the connection for an answer that cannot be written', async () => {
    const { client, errors, front } = await start(kind, exchange => {
      if (exchange.path === '/later') exchange.later();
      exchange.respond(200, [], 7 as unknown as string);
    });
    for (const path of ['/now', '/later']) {
      const raw = await client();
      await raw.request(path);
      expect(await raw.answer()).toBeUndefined();
      expect(raw.closed).toBe(true);
    }
    expect(errors).toHaveLength(2);
    await until(() => front.pending === 0);
  });
});
