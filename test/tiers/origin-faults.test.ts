/** Origins that fail, hang, lie or move: what is asked again, and what never becomes a value. */
import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TierRefusal } from '../../src/base/tier.js';
import { Origin } from '../../src/tiers/origin.js';
import { eventually, freePort } from '../support/redis-server.js';
import { expectRefusal, failureOf, OriginServer, raw, reset, targetOf, textOf } from './origin-fixture.js';

const later = (ms: number) => Date.now() + ms;
const QUICK = { pauseMs: 1 };

describe('an origin that fails', () => {
  let server: OriginServer;
  beforeEach(async () => {
    server = await OriginServer.start();
  });
  afterEach(() => server.close());

  async function expectPassing(call: Promise<unknown>, message?: RegExp): Promise<void> {
    const error = await failureOf(call);
    expect(error).toMatchObject({ code: 'unavailable' });
    expect(error).not.toBeInstanceOf(TierRefusal);
    if (message !== undefined) expect(String(error)).toMatch(message);
  }

  it('is asked three times again, after pauses that double', async () => {
    server.answer = response => response.writeHead(503).end('busy');
    const origin = server.origin();
    await expectPassing(origin.fetch('a'), /the status 503/);
    const times = server.asked.map(({ atMs }) => atMs);
    const pauses = times.slice(1).map((at, i) => at - (times[i] ?? 0));
    expect(pauses).toHaveLength(3);
    // A timer may be a millisecond early.
    for (const [i, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(100 * 2 ** i - 2);
    expect(origin.figures()).toMatchObject({ attempts: 4, retries: 3 });
  });

  it('is asked again only if the pause ends before the deadline', async () => {
    server.answer = response => response.writeHead(500).end();
    await expectPassing(server.origin({ pauseMs: 10_000 }).fetch('a', later(9_000)), /the status 500/);
    expect(server.asked).toHaveLength(1);
  });

  it.each([500, 502, 503, 504])('is believed when it answers after %i', async status => {
    server.answer = response => response.writeHead(server.asked.length < 4 ? status : 200).end('x');
    expect(textOf(await server.origin(QUICK).fetch('a'))).toBe('x');
    expect(server.asked).toHaveLength(4);
  });

  const head = (headers: string) => `HTTP/1.1 200 OK\r\n${headers}\r\n`;
  const FAULTS: [name: string, fault: Parameters<typeof setAnswer>[0]][] = [
    ['resets the connection', response => reset(response)],
    ['closes it without an answer', response => response.socket?.end()],
    ['stops within the head', response => response.socket?.end('HTTP/1.1 200 OK\r\nconte')],
    [
      'stops before the length it gave',
      response => response.socket?.end(`${head('content-length: 10\r\n')}12345`),
    ],
    [
      'stops before the length it gave, on a connection of one answer',
      response => response.socket?.end(`${head('content-length: 10\r\nconnection: close\r\n')}12345`),
    ],
    [
      'stops between chunks',
      response => response.socket?.end(`${head('transfer-encoding: chunked\r\n')}5\r\n12345\r\n`),
    ],
    [
      'stops between chunks, on a connection of one answer',
      response =>
        response.socket?.end(`${head('transfer-encoding: chunked\r\nconnection: close\r\n')}5\r\n12345\r\n`),
    ],
    [
      'resets the connection half-way',
      response => {
        raw(response, `${head('content-length: 10\r\n')}12345`);
        setImmediate(() => reset(response));
      },
    ],
  ];
  function setAnswer(answer: OriginServer['answer']): void {
    server.answer = answer;
  }

  it.each(FAULTS)('gives no part of a value, and is asked again, where it %s', async (_name, fault) => {
    setAnswer((response, asked) => {
      if (server.asked.length < 3) fault(response, asked);
      else response.end('whole');
    });
    expect(textOf(await server.origin(QUICK).fetch('a'))).toBe('whole');
    expect(server.asked).toHaveLength(3);
    setAnswer(fault);
    await expectPassing(server.origin(QUICK).fetch('a'));
    expect(server.asked).toHaveLength(7);
  });

  it('gives none to the next question with what it sends beyond the length it gave', async () => {
    server.answer = (response, { path }) => {
      if (path.endsWith('first'))
        raw(response, `${head('content-length: 1\r\n')}a${head('content-length: 4\r\n')}evil`);
      else response.end('good');
    };
    const origin = server.origin({ connections: 1, ...QUICK });
    const [first, second] = await Promise.all([origin.fetch('first'), origin.fetch('second')]);
    expect([textOf(first), textOf(second)]).toEqual(['a', 'good']);
    expect(textOf(await origin.fetch('third'))).toBe('good');
  });

  it.each([
    ['no HTTP at all', 'SSH-2.0-x\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\na'],
    ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}`],
  ])('is unavailable where it sends %s', async (_name, text) => {
    server.answer = response => raw(response, text);
    await expectPassing(server.origin(QUICK).fetch('a', later(5_000)));
  });

  it('is given up at the deadline, however slowly it drips, and its connection closed', async () => {
    let closed = 0;
    server.answer = response => {
      response.writeHead(200, { 'content-length': '1000' });
      const drip = setInterval(() => response.write('x'), 10);
      response.on('close', () => {
        clearInterval(drip);
        closed++;
      });
    };
    const began = performance.now();
    expect(await failureOf(server.origin().fetch('a', later(150)))).toMatchObject({ code: 'deadline' });
    expect(performance.now() - began).toBeLessThan(1_500);
    await eventually(() => closed === 1, 'the connection is closed');
    expect(server.asked).toHaveLength(1);
  });

  it('is asked again after an attempt that took too long', async () => {
    server.answer = response => {
      if (server.asked.length > 1) response.end('x');
    };
    expect(textOf(await server.origin({ timeoutMs: 300, ...QUICK }).fetch('a'))).toBe('x');
    expect(server.asked).toHaveLength(2);
  });

  it('is not asked when the deadline has passed', async () => {
    expect(await failureOf(server.origin().fetch('a', later(-1)))).toMatchObject({ code: 'deadline' });
    expect(server.connections).toBe(0);
  });

  it('is not asked again where nothing listens', async () => {
    const origin = new Origin(targetOf(`http://127.0.0.1:${await freePort()}/{key}`));
    await expectPassing(origin.fetch('a'), /ECONNREFUSED/);
    expect(origin.figures().attempts).toBe(1);
    await origin.close();
  });

  it('fails what is under way when it is closed', async () => {
    server.answer = () => undefined;
    const origin = server.origin();
    const failure = failureOf(origin.fetch('a'));
    await eventually(() => server.asked.length === 1, 'it is asked');
    await origin.close();
    expect(await failure).toMatchObject({ code: 'unavailable' });
    expect(await failureOf(origin.fetch('b'))).toMatchObject({ code: 'unavailable' });
  });

  describe('by name', () => {
    /** Each lookup gives the next addresses. */
    function lookupOf(...turns: string[][]): { lookup: LookupFunction; names: string[] } {
      const names: string[] = [];
      const lookup: LookupFunction = (name, _options, callback) => {
        const turn = turns[Math.min(names.length, turns.length - 1)] ?? [];
        names.push(name);
        const found = turn.map(
          (address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }),
        );
        setImmediate(() => callback(null, found));
      };
      return { lookup, names };
    }

    it('is not connected to where the name has come to mean another address', async () => {
      const { lookup, names } = lookupOf(['127.0.0.1'], ['127.0.0.2']);
      const origin = server.origin({ host: 'rebind.test', lookup });
      server.answer = response => response.writeHead(200, { connection: 'close' }).end('x');
      expect(textOf(await origin.fetch('a'))).toBe('x');
      await expectRefusal(origin.fetch('a'), /at no address that is public or allowed/);
      expect(names).toEqual(['rebind.test', 'rebind.test']);
      expect(server.connections).toBe(1);
    });

    it.each(['127.0.0.2', '0.0.0.0', '::1', '::ffff:127.0.0.2', '::ffff:7f00:2'])(
      'is refused at %s',
      async address => {
        const { lookup } = lookupOf([address]);
        const origin = server.origin({ host: 'inside.test', lookup });
        await expectRefusal(origin.fetch('a'), /at no address that is public or allowed/);
        expect(server.connections).toBe(0);
      },
    );

    it('is asked at those of its addresses that are allowed', async () => {
      const { lookup } = lookupOf(['127.0.0.2', '::1', '127.0.0.1']);
      server.answer = response => response.end('x');
      const origin = server.origin({ host: 'many.test', lookup });
      expect(textOf(await origin.fetch('a'))).toBe('x');
      expect(server.asked[0]?.headers.host).toBe(`many.test:${server.port}`);
    });

    it('is unavailable where the name is not found', async () => {
      const lookup: LookupFunction = (_name, _options, callback) =>
        callback(Object.assign(new Error('gone'), { code: 'ENOTFOUND' }), []);
      await expectPassing(server.origin({ host: 'gone.test', lookup }).fetch('a'), /gone/);
    });
  });
});
