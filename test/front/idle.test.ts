import { describe, expect, test } from 'vitest';
import type { BodySource, Exchange } from '../../src/front/front.js';
import { FRONTS, start, until } from './fronts.js';

/** uWebSockets.js has 10 seconds built in and looks every 4: too long for the regular run. */
const { HEADRACE_TEST_FULL } = process.env;
const IDLE_MS = 250;

describe.each(FRONTS.filter(kind => kind === 'node' || HEADRACE_TEST_FULL === '1'))(
  '%s front: idle connections',
  kind => {
    async function serving() {
      const kept: Exchange[] = [];
      let source: BodySource | undefined;
      let received = 0;
      const begun = await start(
        kind,
        exchange => {
          if (exchange.path === '/later') kept.push(exchange.later());
          else if (exchange.path === '/large') exchange.respond(200, [], new Uint8Array(30_000_000));
          else if (exchange.path === '/413') exchange.readBody(10, (_, asked) => asked.respond(200, [], ''));
          else {
            source = exchange.streamBody({
              chunk({ byteLength }) {
                received += byteLength;
              },
              end: asked => asked.respond(200, [], String(received)),
              abort() {},
            });
          }
        },
        { idleTimeoutMs: IDLE_MS },
      );
      return { ...begun, kept, source: () => source, received: () => received };
    }

    test('are closed: silent, in the middle of headers, of a body, or stalled in reading', async () => {
      const { client, front } = await serving();
      const [silent, headers, body, stalled] = [
        await client(),
        await client(),
        await client(),
        await client(),
      ];
      await headers.send('GET / HTTP/1.1\r\nHos');
      await body.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello');
      stalled.socket.pause();
      await stalled.request('/large');
      await until(() => front.pending === 2);
      await Promise.all([silent, headers, body].map(raw => raw.whenClosed()));
      await until(() => front.pending === 0);
    });

    test('are closed when headers come byte by byte for ever', async () => {
      const { client } = await serving();
      const raw = await client();
      await raw.send('GET / HTTP/1.1\r\nHost: x\r\n');
      const trickle = setInterval(() => void raw.send('A'), IDLE_MS / 5);
      await raw.whenClosed();
      clearInterval(trickle);
    });

    // On uWebSockets.js it is read past for as long as it comes, as an accepted one would be.
    test.runIf(kind === 'node')('are closed when a refused body goes on for ever', async () => {
      const { client } = await serving();
      const raw = await client();
      await raw.send('POST /413 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
      const block = `10000\r\n${'x'.repeat(65_536)}\r\n`;
      let sent = 0;
      while (!raw.closed) {
        await raw.send(block);
        await new Promise(setImmediate);
        sent += 1;
      }
      expect(sent).toBeGreaterThan(1);
      expect(raw.rest).toContain(' 413 ');
    });

    test('are kept while the server is waited for, or the body is paused, or comes slowly', async () => {
      const { client, front, kept, source, received } = await serving();
      const [witness, waiting, loading] = [await client(), await client(), await client()];
      await waiting.request('/later');
      await loading.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n');
      await until(() => front.pending === 2 && source() !== undefined);
      let sent = 0;
      const trickle = setInterval(
        () => {
          if (sent < 9) void loading.send('x');
          sent += 1;
        },
        (kind === 'node' ? IDLE_MS : 15_000) / 5,
      );
      // Closed when it was silent for the whole of the time.
      await witness.whenClosed();
      await until(() => received() === 9);
      clearInterval(trickle);
      source()?.pause();
      const second = await client();
      await second.whenClosed();
      expect([waiting.closed, loading.closed]).toEqual([false, false]);
      source()?.resume();
      await loading.send('x');
      expect((await loading.answer())?.body).toBe('10');
      kept[0]?.respond(200, [], 'late');
      expect((await waiting.answer())?.body).toBe('late');
    });
  },
);
