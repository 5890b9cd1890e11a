import { describe, expect, test } from 'vitest';
import { problemOf } from '../../src/base/errors.js';
import type { Exchange } from '../../src/front/front.js';
import { ACCEPT } from '../../src/front/header-names.js';
import { FRONTS, start, until } from './fronts.js';

const echo = (exchange: Exchange) =>
  exchange.respond(
    200,
    ['content-type', 'text/plain'],
    [exchange.method, exchange.path, exchange.query, exchange.header(ACCEPT)].join(' '),
  );

describe.each(FRONTS)('%s front: requests', kind => {
  test('passes method, path, query and headers as they are on the wire', async () => {
    const { client } = await start(kind, echo);
    const raw = await client();
    await raw.request('/a%2Fb/%C3%A9%00?q=%20x&y', 'PUT', 'Accept: text/x\r\nContent-Length: 0\r\n');
    const answer = await raw.answer();
    expect(answer?.status).toBe(200);
    expect(answer?.headers.get('content-type')).toBe('text/plain');
    expect(answer?.headers.get('date')).toMatch(/GMT$/);
    expect(answer?.body).toBe('PUT /a%2Fb/%C3%A9%00 q=%20x&y text/x');
  });

  test('reads a missing query and header as empty', async () => {
    const { client } = await start(kind, echo);
    const raw = await client();
    await raw.request('/');
    expect((await raw.answer())?.body).toBe('GET /  ');
    await raw.request('/?');
    expect((await raw.answer())?.body).toBe('GET /  ');
  });

  test('keeps a connection for many requests', async () => {
    const { client, front } = await start(kind, echo);
    const raw = await client();
    for (let n = 0; n < 100; n += 1) {
      await raw.request(`/${n}`);
      expect((await raw.answer())?.body).toBe(`GET /${n}  `);
    }
    expect(front.pending).toBe(0);
  });

  test('closes the connection when the client asks for it', async () => {
    const { client } = await start(kind, echo);
    const raw = await client();
    await raw.request('/', 'GET', 'Connection: close\r\n');
    expect((await raw.answer())?.status).toBe(200);
    await raw.whenClosed();
  });

  test('answers 20 pipelined requests in order', async () => {
    const { client } = await start(kind, echo);
    const raw = await client();
    await raw.send(Array.from({ length: 20 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
    const bodies = (await raw.answers(20)).map(answer => answer?.body);
    expect(bodies).toEqual(Array.from({ length: 20 }, (_, n) => `GET /${n}  `));
  });

  test('answers HEAD with the length of the body and no body', async () => {
    const { client } = await start(kind, exchange => {
      if (exchange.path === '/fail') exchange.fail(problemOf('not-found', 'gone'));
      else exchange.respond(200, [], exchange.path === '/bytes' ? new Uint8Array(284) : 'é');
    });
    const raw = await client();
    for (const [path, length] of Object.entries({ '/bytes': '284', '/text': '2' })) {
      await raw.request(path, 'HEAD');
      const answer = await raw.answer();
      expect([answer?.headers.get('content-length'), answer?.body]).toEqual([length, '']);
    }
    await raw.request('/fail', 'HEAD');
    expect((await raw.answer())?.status).toBe(404);
    await raw.request('/text');
    expect((await raw.answer())?.body).toBe('é');
    expect(raw.rest).toBe('');
  });

  test('sends neither length nor body with 204 and 304', async () => {
    const { client } = await start(kind, exchange =>
      exchange.respond(Number(exchange.path.slice(1)), [], ''),
    );
    const raw = await client();
    for (const status of [204, 304]) {
      await raw.request(`/${status}`);
      const answer = await raw.answer();
      expect([answer?.status, answer?.headers.has('content-length')]).toEqual([status, false]);
    }
    await raw.request('/204', 'HEAD');
    expect((await raw.answer())?.headers.has('content-length')).toBe(false);
    await raw.request('/200');
    expect((await raw.answer())?.headers.get('content-length')).toBe('0');
  });

  test('fails with a problem and the headers given', async () => {
    const problem = problemOf('method-not-allowed', 'only GET', [{ at: 'method', detail: 'é' }]);
    const { client } = await start(kind, exchange => exchange.fail(problem, ['allow', 'GET']));
    const raw = await client();
    await raw.request('/', 'DELETE');
    const answer = await raw.answer();
    expect(answer?.status).toBe(405);
    expect(answer?.headers.get('allow')).toBe('GET');
    expect(answer?.headers.get('content-type')).toBe('application/problem+json');
    expect(answer?.headers.get('content-length')).toBe(String(Buffer.byteLength(answer?.body ?? '')));
    expect(JSON.parse(answer?.body ?? '')).toEqual(problem);
  });

  test('makes a 500 of a handler that throws, or that does not answer', async () => {
    const bug = new Error('bug');
    const { client, errors, front } = await start(kind, exchange => {
      if (exchange.path === '/throw') throw bug;
      if (exchange.path === '/kept-throw') {
        exchange.later();
        throw bug;
      }
      if (exchange.path === '/answered-throw') {
        exchange.respond(200, [], 'first');
        throw bug;
      }
    });
    const raw = await client();
    for (const [path, status] of [
      ['/throw', 500],
      ['/silent', 500],
      ['/kept-throw', 500],
      ['/answered-throw', 200],
    ] as const) {
      await raw.request(path);
      expect([path, (await raw.answer())?.status]).toEqual([path, status]);
    }
    expect(errors.filter(error => error === bug)).toHaveLength(3);
    expect(errors).toHaveLength(4);
    expect(front.pending).toBe(0);
  });

  test('ignores a second answer', async () => {
    const { client, errors, front } = await start(kind, exchange => {
      if (exchange.path === '/later') {
        const kept = exchange.later();
        setImmediate(() => {
          kept.respond(200, [], 'first');
          kept.respond(200, [], 'second');
        });
      } else {
        exchange.respond(200, [], 'first');
        exchange.respond(200, [], 'second');
        exchange.later();
        exchange.fail(problemOf('internal', 'third'));
      }
    });
    const raw = await client();
    for (const path of ['/', '/later', '/', '/later']) {
      await raw.request(path);
      expect((await raw.answer())?.body).toBe('first');
    }
    expect(raw.rest).toBe('');
    expect(errors).toEqual([]);
    await until(() => front.pending === 0);
  });

  test('drops an answer that comes after its exchange was given back', async () => {
    let stale: Exchange | undefined;
    const { client } = await start(kind, exchange => {
      if (stale !== undefined) return exchange.respond(200, [], 'second');
      stale = exchange;
      exchange.respond(200, [], 'first');
    });
    const raw = await client();
    await raw.request('/1');
    expect((await raw.answer())?.body).toBe('first');
    stale?.respond(200, [], 'stale');
    expect(() => stale?.header(ACCEPT)).toThrow('until the handler returns');
    await raw.request('/2');
    expect((await raw.answer())?.body).toBe('second');
    expect(raw.rest).toBe('');
  });

  test('keeps what was asked readable in a later answer', async () => {
    const kept: Exchange[] = [];
    const { client, front } = await start(kind, exchange => void kept.push(exchange.later()));
    const [one, two] = [await client(), await client()];
    await one.request('/one?a', 'PUT', 'Content-Length: 0\r\n');
    await two.request('/two?b', 'HEAD');
    await until(() => kept.length === 2);
    expect(front.pending).toBe(2);
    for (const { method, path, query, respond } of kept) expect([method, path, query, respond]).toBeDefined();
    for (const exchange of kept) {
      exchange.respond(200, [], `${exchange.method} ${exchange.path} ${exchange.query}`);
    }
    expect((await one.answer())?.body).toBe('PUT /one a');
    expect((await two.answer())?.headers.get('content-length')).toBe('11');
    await until(() => front.pending === 0);
  });

  test('sends views of an array that is overwritten at once, small and large', async () => {
    const scratch = new Uint8Array(4_000_000);
    const sizes = [0, 1, 284, 16_000, 40_000, 3_999_000];
    const { client } = await start(kind, exchange => {
      const size = Number(exchange.query);
      scratch.fill(65, 500, 500 + size);
      const answer = () => {
        exchange.respond(200, [], scratch.subarray(500, 500 + size));
        scratch.fill(0);
      };
      if (exchange.path === '/now') return answer();
      exchange.later();
      answer();
    });
    const raw = await client();
    for (const path of ['/now', '/later']) {
      for (const size of sizes) {
        await raw.request(`${path}?${size}`);
        expect((await raw.answer())?.body === 'A'.repeat(size)).toBe(true);
      }
    }
  });
});

describe('node front: requests', () => {
  test('answers pipelined requests in order when the first is ready last', async () => {
    const kept: Exchange[] = [];
    const { client } = await start('node', exchange => void kept.push(exchange.later()));
    const raw = await client();
    await raw.send(Array.from({ length: 20 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
    await until(() => kept.length === 20);
    for (const exchange of kept.reverse()) exchange.respond(200, [], exchange.path);
    const bodies = (await raw.answers(20)).map(answer => answer?.body);
    expect(bodies).toEqual(Array.from({ length: 20 }, (_, n) => `/${n}`));
  });

  test('takes the path out of a target in absolute form', async () => {
    const { client } = await start('node', echo);
    const raw = await client();
    await raw.request('http://x:80/path?q');
    expect((await raw.answer())?.body).toBe('GET /path q ');
    await raw.request('http://x?q');
    expect((await raw.answer())?.body).toBe('GET / q ');
  });
});

describe('uws front: requests', () => {
  test('closes the connection when a request is pipelined behind one that is not answered', async () => {
    let aborts = 0;
    const { client, front } = await start('uws', exchange => {
      if (exchange.path === '/now') exchange.respond(200, [], 'now');
      else {
        exchange.later(() => {
          aborts += 1;
        });
      }
    });
    const [raw, other] = [await client(), await client()];
    await raw.send('GET /now HTTP/1.1\r\nHost: x\r\n\r\nGET /later HTTP/1.1\r\nHost: x\r\n\r\n');
    await raw.send('GET /now HTTP/1.1\r\nHost: x\r\n\r\n');
    await raw.whenClosed();
    expect(aborts).toBe(1);
    expect(front.pending).toBe(0);
    await other.request('/now');
    expect((await other.answer())?.body).toBe('now');
  });
});
