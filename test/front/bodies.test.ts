import { describe, expect, test } from 'vitest';
import type { BodySource, Exchange } from '../../src/front/front.js';
import { FRONTS, start, until } from './fronts.js';
import type { RawClient } from './raw-client.js';

const LIMIT = 100_000;

function post(path: string, headers: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
}

function chunked(...chunks: string[]): string {
  return [...chunks, ''].map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('');
}

/** Each byte its own, so that a lost, repeated or moved one shows. */
function pattern(bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) body.writeUInt32LE(at, at);
  return body;
}

async function expectNext(raw: RawClient): Promise<void> {
  await raw.request('/next');
  expect((await raw.answer())?.body).toBe('next');
  expect(raw.rest).toBe('');
}

describe.each(FRONTS)('%s front: whole bodies', kind => {
  async function reading() {
    const bodies: Uint8Array[] = [];
    const begun = await start(kind, exchange => {
      if (exchange.path === '/next') return exchange.respond(200, [], 'next');
      exchange.readBody(LIMIT, (body, asked) => {
        bodies.push(body);
        asked.respond(200, [], `${asked.method} ${asked.path} ${body.byteLength}`);
      });
    });
    return { ...begun, bodies };
  }

  test('collects a body of one packet, of many, and of many HTTP chunks', async () => {
    const { client, bodies } = await reading();
    const raw = await client();
    const body = pattern(LIMIT);
    const text = body.toString('latin1');
    await raw.send(post('/one', `Content-Length: ${LIMIT}\r\n`) + text);
    expect((await raw.answer())?.body).toBe(`POST /one ${LIMIT}`);
    await raw.send(post('/many', `Content-Length: ${LIMIT}\r\n`));
    for (let at = 0; at < LIMIT; at += 1000) await raw.send(body.subarray(at, at + 1000));
    expect((await raw.answer())?.body).toBe(`POST /many ${LIMIT}`);
    await raw.send(post('/chunked', 'Transfer-Encoding: chunked\r\n'));
    await raw.send(chunked(text.slice(0, 1), text.slice(1, 70_000), text.slice(70_000)));
    expect((await raw.answer())?.body).toBe(`POST /chunked ${LIMIT}`);
    await raw.send(post('/tiny', 'Transfer-Encoding: chunked\r\n') + chunked(...text.slice(0, 5000)));
    expect((await raw.answer())?.body).toBe('POST /tiny 5000');
    await expectNext(raw);
    // The arrays are the receiver's: nothing that came later has changed them.
    for (const kept of bodies.slice(0, 3)) expect(Buffer.compare(kept, body)).toBe(0);
    expect(Buffer.compare(bodies[3] ?? Buffer.alloc(0), body.subarray(0, 5000))).toBe(0);
  });

  test('hands on an empty body', async () => {
    const { client } = await reading();
    const raw = await client();
    for (const headers of ['Content-Length: 0\r\n', '']) {
      await raw.send(post('/empty', headers));
      expect((await raw.answer())?.body).toBe('POST /empty 0');
    }
    await raw.send(post('/empty', 'Transfer-Encoding: chunked\r\n') + chunked());
    expect((await raw.answer())?.body).toBe('POST /empty 0');
    await raw.request('/get');
    expect((await raw.answer())?.body).toBe('GET /get 0');
  });

  test('answers 413 for one byte too many, reads past the rest, and goes on', async () => {
    const { client, bodies, errors, front } = await reading();
    const raw = await client();
    const text = 'x'.repeat(LIMIT);
    await raw.send(`${post('/length', `Content-Length: ${LIMIT + 1}\r\n`) + text}y`);
    const answer = await raw.answer();
    expect(answer?.status).toBe(413);
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ type: 'urn:headrace:problem:body-too-large' });
    await expectNext(raw);
    await raw.send(post('/chunked', 'Transfer-Encoding: chunked\r\n') + chunked(text, 'y', 'GET / HTTP/1.1'));
    expect((await raw.answer())?.status).toBe(413);
    await expectNext(raw);
    expect(bodies).toEqual([]);
    expect(errors).toEqual([]);
    expect(front.pending).toBe(0);
  });

  test('reads past a body that nobody asked for, also one that looks like a request', async () => {
    const { client } = await reading();
    const raw = await client();
    const trap = 'GET /trap HTTP/1.1\r\nHost: x\r\n\r\n';
    await raw.send(post('/next', `Content-Length: ${trap.length}\r\n`) + trap.slice(0, 10));
    expect((await raw.answer())?.body).toBe('next');
    await raw.send(trap.slice(10));
    await expectNext(raw);
  });

  test('drops a body that is cut off', async () => {
    const { client, bodies, front, errors } = await reading();
    for (const headers of ['Content-Length: 10\r\n', 'Transfer-Encoding: chunked\r\n']) {
      const raw = await client();
      await raw.send(`${post('/cut', headers)}5\r\nhel`);
      await until(() => front.pending === 1);
      raw.destroy();
      await until(() => front.pending === 0);
    }
    expect(bodies).toEqual([]);
    expect(errors).toEqual([]);
  });

  test('tells a client that waits for it to continue', async () => {
    const { client } = await reading();
    const raw = await client();
    await raw.send(post('/expect', 'Content-Length: 5\r\nExpect: 100-continue\r\n'));
    await raw.whenReceived(25);
    expect(raw.rest).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    await raw.send('hello');
    expect((await raw.answer())?.body).toBe('POST /expect 5');
    await expectNext(raw);
  });

  test('makes a 500 of a receiver that throws', async () => {
    const { client, errors, front } = await start(kind, exchange => {
      if (exchange.path === '/next') exchange.respond(200, [], 'next');
      else {
        exchange.readBody(LIMIT, () => {
          throw new Error('bug');
        });
      }
    });
    const raw = await client();
    await raw.send(`${post('/', 'Content-Length: 5\r\n')}hello`);
    expect((await raw.answer())?.status).toBe(500);
    expect(errors).toHaveLength(1);
    expect(front.pending).toBe(0);
    await expectNext(raw);
  });
});

describe.each(FRONTS)('%s front: streamed bodies', kind => {
  interface Streamed {
    exchange: Exchange;
    source: BodySource;
    bytes: number;
    ended: number;
    aborted: number;
  }

  async function streaming(onChunk: (streamed: Streamed) => void = () => {}) {
    const streams: Streamed[] = [];
    const begun = await start(kind, exchange => {
      if (exchange.path === '/next') return exchange.respond(200, [], 'next');
      const streamed = { exchange, bytes: 0, ended: 0, aborted: 0 } as Streamed;
      streamed.source = exchange.streamBody({
        chunk(bytes) {
          streamed.bytes += bytes.byteLength;
          onChunk(streamed);
        },
        end(asked) {
          streamed.ended += 1;
          asked.respond(200, [], String(streamed.bytes));
        },
        abort() {
          streamed.aborted += 1;
        },
      });
      streams.push(streamed);
    });
    return { ...begun, streams };
  }

  test('stops a client that sends 200 MB while paused, and takes it all when resumed', async () => {
    const total = 200_000_000;
    const { client, streams } = await streaming(streamed => {
      if (streamed.bytes === 0 || streamed.ended > 0) return;
      if (!paused) streamed.source.pause();
      paused = true;
    });
    let paused = false;
    const raw = await client();
    await raw.send(post('/', `Content-Length: ${total}\r\n`));
    const block = Buffer.alloc(1_000_000);
    let taken = 0;
    const sending = (async () => {
      for (let sent = 0; sent < total; sent += block.length) {
        await raw.send(block);
        taken += block.length;
      }
    })();
    await until(() => paused);
    // Stalled: the other connection's requests pass through the loop, and nothing more is taken meanwhile.
    const other = await client();
    let before = -1;
    while (taken !== before) {
      before = taken;
      for (let n = 0; n < 200; n += 1) {
        await other.request('/next');
        expect((await other.answer())?.body).toBe('next');
      }
    }
    expect(taken).toBeLessThan(40_000_000);
    expect(streams[0]?.bytes).toBeLessThan(20_000_000);
    streams[0]?.source.resume();
    await sending;
    expect((await raw.answer())?.body).toBe(String(total));
    expect(streams[0]).toMatchObject({ ended: 1, aborted: 0 });
    await expectNext(raw);
  });

  test('goes on when it is paused and resumed at every chunk, also after the last', async () => {
    const { client } = await streaming(streamed => {
      streamed.source.pause();
      setImmediate(() => streamed.source.resume());
    });
    const raw = await client();
    for (let n = 0; n < 20; n += 1) {
      await raw.send(post('/', 'Content-Length: 1000000\r\n'));
      await raw.send(Buffer.alloc(1_000_000));
      expect((await raw.answer())?.body).toBe('1000000');
    }
    await expectNext(raw);
  });

  test('reads on when the answer is given while paused', async () => {
    const { client, streams } = await streaming(streamed => {
      streamed.source.pause();
      streamed.exchange.respond(422, [], 'no');
      streamed.source.pause();
    });
    const raw = await client();
    await raw.send(post('/', 'Content-Length: 10000000\r\n'));
    await raw.send(Buffer.alloc(10_000_000));
    expect((await raw.answer())?.status).toBe(422);
    await expectNext(raw);
    expect(streams[0]).toMatchObject({ ended: 0, aborted: 0 });
  });

  test('tells the sink once when the client goes away in mid-body', async () => {
    const { client, streams, front } = await streaming();
    const raw = await client();
    await raw.send(`${post('/', 'Content-Length: 10\r\n')}hello`);
    await until(() => streams[0]?.bytes === 5);
    raw.destroy();
    await until(() => front.pending === 0);
    expect(streams[0]).toMatchObject({ ended: 0, aborted: 1 });
    expect(streams[0]?.exchange.aborted).toBe(true);
    streams[0]?.exchange.respond(200, [], 'dropped');
    streams[0]?.source.pause();
    streams[0]?.source.resume();
  });

  test('makes a 500 of a sink that throws', async () => {
    const { client, errors } = await streaming(() => {
      throw new Error('bug');
    });
    const raw = await client();
    await raw.send(`${post('/', 'Content-Length: 10\r\n')}hello`);
    expect((await raw.answer())?.status).toBe(500);
    await raw.send('world');
    await expectNext(raw);
    expect(errors).toHaveLength(1);
  });
});

describe.each(FRONTS)('%s front: clients that go away', kind => {
  test('tells a waiting exchange once, and drops its answer', async () => {
    const kept: Exchange[] = [];
    let aborts = 0;
    const { client, front, errors } = await start(kind, exchange => {
      kept.push(
        exchange.later(() => {
          aborts += 1;
        }),
      );
    });
    const clients = await Promise.all(Array.from({ length: 50 }, client));
    for (const raw of clients) await raw.request('/');
    await until(() => kept.length === 50);
    for (const raw of clients) raw.destroy();
    await until(() => front.pending === 0);
    expect(aborts).toBe(50);
    for (const exchange of kept) {
      expect(exchange.aborted).toBe(true);
      exchange.respond(200, [], 'dropped');
    }
    expect([aborts, front.pending, errors]).toEqual([50, 0, []]);
  });

  test('does not tell an exchange that was answered', async () => {
    let aborts = 0;
    const { client, front } = await start(kind, exchange => {
      const kept = exchange.later(() => {
        aborts += 1;
      });
      kept.respond(200, [], 'x');
    });
    const raw = await client();
    await raw.request('/');
    await raw.answer();
    raw.destroy();
    await front.close();
    expect(aborts).toBe(0);
  });
});
