/** What an origin answers, and what is made of it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/redis-server.js';
import { expectRefusal, failureOf, OriginServer, textOf } from './origin-fixture.js';

const later = (ms: number) => Date.now() + ms;

describe('an origin', () => {
  let server: OriginServer;
  beforeEach(async () => {
    server = await OriginServer.start();
  });
  afterEach(() => server.close());

  it('answers with bytes, their type, and what says how long they may be kept', async () => {
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      etag: 'W/"7"',
      'cache-control': 'max-age=60',
      age: '5',
    };
    server.answer = (response, { path }) => response.writeHead(200, headers).end(`for ${path}`);
    const value = await server.origin().fetch('Café & co');
    expect(textOf(value)).toBe('for /q?q=Caf%C3%A9%20%26%20co');
    expect(value).toMatchObject({
      contentType: 'text/plain; charset=utf-8',
      etag: 'W/"7"',
      cacheControl: 'max-age=60',
      ageMs: 5_000,
    });
  });

  it('takes over no header that is not of its form', async () => {
    const headers: [string, string][][] = [
      [],
      [
        ['content-type', 'text'],
        ['etag', 'unquoted'],
        ['age', '-1'],
      ],
      [
        ['content-type', 'text/html; x="\u00e9"'],
        ['etag', '"a" "b"'],
        ['age', '1.5'],
      ],
      [
        ['content-type', `text/${'x'.repeat(300)}`],
        ['etag', `"${'x'.repeat(300)}"`],
        ['age', '9'.repeat(20)],
      ],
    ];
    const origin = server.origin();
    for (const given of headers) {
      server.answer = response => {
        for (const [name, value] of given) response.appendHeader(name, value);
        response.end('x');
      };
      expect(await origin.fetch('a')).toMatchObject({
        contentType: 'application/octet-stream',
        etag: '',
        ageMs: 0,
      });
    }
  });

  it('joins Cache-Control that comes in parts, so that none of it is lost', async () => {
    server.answer = response => response.setHeader('cache-control', ['max-age=60', 'no-store']).end('x');
    expect(await server.origin().fetch('a')).toMatchObject({ cacheControl: 'max-age=60, no-store' });
  });

  it('may answer with no bytes, and says with 404 and 410 that it has none', async () => {
    const origin = server.origin({ connections: 1 });
    for (const [status, text] of [
      [204, ''],
      [200, ''],
      [404, undefined],
      [410, undefined],
    ] as const) {
      // The body comes after the head, so that there is one to be read or left.
      server.answer = response => {
        response.writeHead(status).flushHeaders();
        setTimeout(() => response.end(status === 404 ? 'not here' : ''), 20);
      };
      expect(textOf(await origin.fetch('a'))).toBe(text);
    }
    expect(server.connections).toBe(1);
    expect(server.asked).toHaveLength(4);
  });

  it.each([300, 301, 302, 303, 304, 307, 308])('is not followed where it redirects with %i', async status => {
    server.answer = response =>
      response.writeHead(status, { location: `http://127.0.0.1:${server.port}/other` }).end();
    await expectRefusal(
      server.origin().fetch('a'),
      new RegExp(`status ${status}; redirects are not followed`),
    );
    expect(server.asked).toHaveLength(1);
  });

  it.each([202, 206, 400, 401, 403, 408, 429])('is not asked again after the status %i', async status => {
    server.answer = response => response.writeHead(status).end('no');
    await expectRefusal(server.origin().fetch('a'), new RegExp(`the status ${status}$`));
    expect(server.asked).toHaveLength(1);
  });

  it('is asked for nothing compressed, and refused when it compresses', async () => {
    const origin = server.origin();
    server.answer = response => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x');
    await expectRefusal(origin.fetch('a'), /compressed/);
    expect(server.asked[0]?.headers['accept-encoding']).toBe('identity');
    server.answer = response => response.writeHead(200, { 'content-encoding': 'identity' }).end('x');
    expect(textOf(await origin.fetch('a'))).toBe('x');
  });

  it('is refused beyond the limit of a response, whether it says the size or not', async () => {
    const origin = server.origin({ responseBytesMax: 1_000 });
    server.answer = response => response.end('x'.repeat(1_000));
    expect(textOf(await origin.fetch('a'))).toHaveLength(1_000);
    server.answer = response => response.end('x'.repeat(1_001));
    await expectRefusal(origin.fetch('a'), /more than 1000 bytes/);
    let closed = false;
    server.answer = response => {
      response.on('close', () => {
        closed = true;
      });
      const more = () => {
        while (response.write('x'.repeat(500)));
        response.once('drain', more);
      };
      more();
    };
    await expectRefusal(origin.fetch('a'), /more than 1000 bytes/);
    await eventually(() => closed, 'the endless answer is broken off');
    expect(server.asked).toHaveLength(3);
  });

  it('is refused at once for the size that it says', async () => {
    server.answer = response => response.writeHead(200, { 'content-length': 1_001 }).flushHeaders();
    await expectRefusal(
      server.origin({ responseBytesMax: 1_000 }).fetch('a', later(5_000)),
      /more than 1000 bytes/,
    );
  });

  it('keeps nobody waiting with a body that is of no use, and no connection', async () => {
    let closed = false;
    server.answer = response => {
      response.on('close', () => {
        closed = true;
      });
      response.writeHead(404).flushHeaders();
    };
    expect(await server.origin().fetch('a', later(5_000))).toBeUndefined();
    await eventually(() => closed, 'the connection is closed');
  });

  it('is told how long an answer is waited for', async () => {
    const origin = server.origin({ timeoutMs: 2_000 });
    await origin.fetch('a', later(1_000));
    await origin.fetch('a');
    const [first, second] = server.asked.map(({ headers }) => String(headers['headrace-deadline']));
    expect(first).toMatch(/^[0-9]{1,4}ms$/);
    expect(Number.parseInt(first ?? '', 10)).toBeLessThanOrEqual(1_000);
    expect(second).toBe('2000ms');
  });

  it('is asked over so many connections at most, kept for the next questions', async () => {
    let open = 0;
    let openMax = 0;
    server.answer = response => {
      openMax = Math.max(openMax, ++open);
      setTimeout(() => {
        open--;
        response.end('x');
      }, 5);
    };
    const origin = server.origin({ connections: 3 });
    await Promise.all(Array.from({ length: 30 }, (_, i) => origin.fetch(`key ${i}`)));
    expect(openMax).toBe(3);
    expect(server.connections).toBe(3);
  });

  it('is asked for so many keys at one time', async () => {
    const origin = server.origin({ waitingMax: 2 });
    const held: (() => void)[] = [];
    server.answer = response => held.push(() => response.end('x'));
    const two = [origin.fetch('a'), origin.fetch('b')];
    expect(await failureOf(origin.fetch('c'))).toMatchObject({ code: 'overloaded' });
    await eventually(() => held.length === 2, 'both are asked');
    expect(origin.figures()).toMatchObject({ waiting: 2, attempts: 2 });
    for (const answer of held) answer();
    await Promise.all(two);
    server.answer = response => response.end('x');
    expect(textOf(await origin.fetch('c'))).toBe('x');
  });
});
