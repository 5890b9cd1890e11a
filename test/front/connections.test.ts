import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/front/front.js';
import { openFront } from '../../src/front/open-front.js';
import { FRONTS, LIMITS, start, until } from './fronts.js';
import { RawClient } from './raw-client.js';

const { HEADRACE_TEST_FULL } = process.env;
const hello = (exchange: Exchange) => exchange.respond(200, [], 'hello');

describe.each(FRONTS)('%s front: connections', kind => {
  test('says which port it got, on IPv4 and IPv6', async () => {
    for (const host of ['127.0.0.1', '::1', 'localhost']) {
      const { front, client } = await start(kind, hello, {}, host);
      expect(front.port).toBeGreaterThan(0);
      expect(front.kind).toBe(kind);
      const raw = await client();
      await raw.request('/');
      expect((await raw.answer())?.body).toBe('hello');
    }
  });

  test('fails with the reason when the address cannot be had', async () => {
    const { front } = await start(kind, hello);
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise(resolve => taken.once('listening', resolve));
    const address = taken.address();
    const other = typeof address === 'object' && address !== null ? address.port : 0;
    const options = { limits: LIMITS, handler: hello, onError: () => {} };
    for (const port of [front.port, other]) {
      const opening = openFront(kind, { ...options, host: '127.0.0.1', port }, () => {});
      await expect(opening).rejects.toMatchObject({ code: 'EADDRINUSE' });
    }
    const elsewhere = openFront(kind, { ...options, host: '203.0.113.1', port: 0 }, () => {});
    await expect(elsewhere).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
    taken.close();
  });

  test('closes connections over the limit at once, and takes new ones when others have gone', async () => {
    const { client } = await start(kind, hello, { connectionsMax: 3 });
    const open = [await client(), await client(), await client()];
    for (const raw of open) {
      await raw.request('/');
      expect((await raw.answer())?.body).toBe('hello');
    }
    for (let n = 0; n < 5; n += 1) await (await client()).whenClosed();
    await open[0]?.request('/', 'GET', 'Connection: close\r\n');
    await open[0]?.whenClosed();
    // The server may learn of the close a little later than the client.
    let answer: unknown;
    while (answer === undefined) {
      const raw = await client();
      await raw.request('/');
      answer = await raw.answer();
    }
    expect(open[1]?.closed).toBe(false);
  });

  test(`survives thousands of connections that come, ask, and go in every way`, async () => {
    const kept: Exchange[] = [];
    const { client, front, errors } = await start(kind, exchange => {
      if (exchange.path === '/later') kept.push(exchange.later());
      else hello(exchange);
    });
    const rounds = HEADRACE_TEST_FULL === '1' ? 200 : 30;
    for (let round = 0; round < rounds; round += 1) {
      await Promise.all(
        Array.from({ length: 100 }, async (_, n) => {
          const raw = await client();
          if (n % 4 === 1) await raw.send('GET / HT');
          if (n % 4 === 2) await raw.request('/later');
          if (n % 4 === 3) {
            await raw.request('/');
            expect((await raw.answer())?.body).toBe('hello');
          }
          if (n % 8 < 4) raw.socket.resetAndDestroy();
          else raw.destroy();
        }),
      );
      await until(() => front.pending === 0);
      for (const exchange of kept.splice(0)) exchange.respond(200, [], 'too late');
    }
    expect(errors).toEqual([]);
    const raw = await client();
    await raw.request('/');
    expect((await raw.answer())?.body).toBe('hello');
  });

  test('serves others while readers of 50 MB stall, holding one copy for each', async () => {
    const body = new Uint8Array(50_000_000).fill(65);
    const { client, front } = await start(kind, exchange => {
      if (exchange.path === '/large') {
        if (exchange.query === 'later') exchange.later();
        exchange.respond(200, [], body);
      } else hello(exchange);
    });
    const other = await client();
    const before = process.memoryUsage().rss;
    const stalled = await Promise.all(Array.from({ length: 4 }, client));
    for (const [n, raw] of stalled.entries()) {
      raw.socket.pause();
      await raw.request(n % 2 === 0 ? '/large' : '/large?later');
    }
    await until(() => front.pending === stalled.length);
    for (let n = 0; n < 500; n += 1) {
      await other.request('/');
      expect((await other.answer())?.body).toBe('hello');
    }
    expect(front.pending).toBe(stalled.length);
    expect(process.memoryUsage().rss - before).toBeLessThan(1.5 * stalled.length * body.length);
    stalled[0]?.socket.resetAndDestroy();
    stalled[1]?.socket.resetAndDestroy();
    await until(() => front.pending === stalled.length - 2);
    // One that reads on after all gets every byte, and its connection serves again.
    const slow = await client();
    let bytes = 0;
    slow.socket.removeAllListeners('data');
    let last = '';
    slow.socket.on('data', chunk => {
      bytes += chunk.length;
      last = chunk.toString('latin1').slice(-5);
    });
    await slow.request('/large');
    await until(() => bytes > body.length);
    await slow.request('/');
    await until(() => last === 'hello');
  });
});

describe.each(FRONTS)('%s front: the body of an answer', kind => {
  const size = 20_000_000;
  const bodies: Readonly<Record<string, () => Uint8Array>> = {
    'an array': () => new Uint8Array(size),
    'a Buffer': () => Buffer.alloc(size),
    'a Buffer over shared memory': () => Buffer.from(new SharedArrayBuffer(size + 8), 8, size),
  };
  test.each(Object.keys(bodies))('is the handler’s again at once, as %s too', async name => {
    const body = bodies[name]?.() ?? new Uint8Array(0);
    const { client, front } = await start(kind, exchange => {
      body.fill(65);
      exchange.respond(200, [], body);
      body.fill(66);
    });
    const raw = await client();
    raw.socket.pause();
    await raw.request('/');
    await until(() => front.pending === 1);
    raw.socket.resume();
    expect((await raw.answer())?.body).toBe('A'.repeat(size));
  });
});

describe.each(FRONTS)('%s front: shutdown', kind => {
  test('stops accepting, finishes what is in flight, then closes', async () => {
    const kept: Exchange[] = [];
    const { client, front } = await start(kind, exchange => {
      if (exchange.path === '/later') kept.push(exchange.later());
      else hello(exchange);
    });
    const [busy, open, late] = [await client(), await client(), await client()];
    await busy.request('/later');
    await open.request('/later', 'HEAD');
    await until(() => kept.length === 2);
    // A request that has begun to arrive keeps its connection from being idle.
    await late.send('GET / HTTP/1.1\r\nHos');
    front.stopAccepting();
    front.stopAccepting();
    const refused = await RawClient.connect(front.port);
    await refused.whenClosed();
    expect(front.pending).toBe(2);
    for (const exchange of kept) exchange.respond(200, [], 'late');
    const answer = await busy.answer();
    expect([answer?.body, answer?.headers.get('connection')]).toEqual(['late', 'close']);
    await busy.whenClosed();
    expect((await open.answer())?.headers.get('connection')).toBe('close');
    await until(() => front.pending === 0);
    await front.close();
    await Promise.all([open, late].map(raw => raw.whenClosed()));
    await front.close();
  });

  test('answers on idle connections that are still open with connection: close', async () => {
    const { client, front } = await start(kind, hello);
    const raw = await client();
    await raw.request('/');
    expect((await raw.answer())?.headers.get('connection')).not.toBe('close');
    front.stopAccepting();
    await raw.request('/');
    const answer = await raw.answer();
    expect([answer?.body, answer?.headers.get('connection')]).toEqual(['hello', 'close']);
    await raw.whenClosed();
  });

  test('counts a large answer as pending until the system has it, so that waiting does not cut it', async () => {
    const body = new Uint8Array(20_000_000).fill(65);
    const { client, front } = await start(kind, exchange => exchange.respond(200, [], body));
    const raw = await client();
    raw.socket.pause();
    await raw.request('/');
    await until(() => front.pending === 1);
    front.stopAccepting();
    raw.socket.resume();
    const answering = raw.answer();
    await until(() => front.pending === 0);
    await front.close();
    expect((await answering)?.body.length).toBe(body.length);
  });

  test('closes with everything open, and tells those who wait', async () => {
    let aborts = 0;
    const { client, front } = await start(kind, exchange => {
      exchange.later(() => {
        aborts += 1;
      });
    });
    const clients = await Promise.all(Array.from({ length: 20 }, client));
    for (const raw of clients) await raw.request('/');
    await until(() => front.pending === 20);
    await front.close();
    await Promise.all(clients.map(raw => raw.whenClosed()));
    expect([aborts, front.pending]).toEqual([20, 0]);
  });

  test('may be closed from within a handler', async () => {
    let closing: Promise<void> | undefined;
    const { client, front } = await start(kind, exchange => {
      closing = front.close();
      hello(exchange);
    });
    const raw = await client();
    await raw.request('/');
    await raw.whenClosed();
    await closing;
  });
});
