/** What is sent again and what is not, hedging, deadlines, signals, bounds: against a server that fails to order. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type ClientError,
  type ClientOptions,
  connect,
  type HeadraceClient,
} from '../../src/client/index.js';
import { eventually } from '../support/redis-server.js';
import { problem } from './lease-server.js';

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const opened: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** A server that gives these answers one after the other, and the last one from then on; and a client of it. */
async function scripted(
  answers: readonly Answer[],
  options: Partial<ClientOptions> = {},
): Promise<{ readonly client: HeadraceClient; readonly requests: string[]; readonly bodies: string[] }> {
  const requests: string[] = [];
  const bodies: string[] = [];
  const server: Server = createServer(async (request, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push(`${request.method} ${request.url}`);
    // Half of a request that is given up is not awaited.
    if (request.method !== 'GET') bodies.push(await text(request).catch(() => ''));
    answer?.(response, request);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // A loaded machine is no slow server.
  const client = connect({ url, timeoutMs: 20_000, ...options });
  opened.push(async () => {
    server.closeAllConnections();
    server.close();
    await client.close();
  });
  return { client, requests, bodies };
}

const fine: Answer = response => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end('{"views":[],"version":1,"applied":true,"invalidated":3}');
};
const noContent: Answer = response => void response.writeHead(204).end();
const drop: Answer = response => void response.destroy();
/** As a load balancer says that it has no server. */
const gone: Answer = response => void response.writeHead(502).end('<html>');
const silent: Answer = () => undefined;
const fails =
  (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer =>
  response =>
    problem(response, status, code, headers);

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const [result] = await Promise.allSettled([promise]);
  return result?.status === 'rejected' ? (result.reason as ClientError).code : 'none';
}

describe('sent again', () => {
  it('is a read, after all that may pass, until it has been tried often enough', async () => {
    const passing = [drop, fails(503, 'unavailable'), fails(504, 'deadline'), gone, fine];
    const { client, requests } = await scripted(passing, { retriesMax: 4 });
    expect(await client.views()).toEqual([]);
    expect(requests.length).toBe(5);
    const { client: second, requests: tried } = await scripted([fails(503, 'unavailable')]);
    expect([await codeOf(second.views()), tried.length]).toEqual(['unavailable', 3]);
    const { client: third, requests: once_ } = await scripted([fails(422, 'invalid-lookup')]);
    expect([await codeOf(third.view('v').lookup(['a'])), once_.length]).toEqual(['invalid-lookup', 1]);
  });

  it('is a record with a version, and an invalidation', async () => {
    const { client, requests, bodies } = await scripted([drop, fine, drop, fine]);
    expect(await client.view('v').put('a', { x: 1 }, { version: 1 })).toMatchObject({ applied: true });
    expect(bodies[1]).toBe('{"features":{"x":1},"version":1}');
    expect(bodies[0]).toBe(bodies[1]);
    expect(await client.view('v').invalidate({ all: true })).toBe(3);
    expect(requests.length).toBe(4);
  });

  it.each([
    ['a record without a version', (client: HeadraceClient) => client.view('v').put('a', {})],
    ['a deletion of a record', (client: HeadraceClient) => client.view('v').delete('a')],
    ['an entry', (client: HeadraceClient) => client.cache('c').put('a', 'x')],
    ['a load', (client: HeadraceClient) => client.view('v').load([{ id: 'a', features: {} }])],
  ] as const)('is not %s that may have happened', async (_what, call) => {
    for (const [answer, code] of [
      [drop, 'connection'],
      [fails(503, 'unavailable'), 'unavailable'],
      [fails(504, 'deadline'), 'deadline'],
      [fails(503, 'draining'), 'draining'],
    ] as const) {
      const { client, requests } = await scripted([answer, fine]);
      expect([await codeOf(call(client)), requests.length]).toEqual([code, 1]);
    }
  });

  it('is an entry that surely was not stored', async () => {
    const { client, requests } = await scripted([fails(503, 'overloaded'), noContent]);
    expect(await client.cache('c').put('a', 'x')).toBe('stored');
    expect(requests.length).toBe(2);
  });

  it('is nothing that the server wants to be asked for later than there is time', async () => {
    const { client, requests } = await scripted([fails(503, 'overloaded', { 'retry-after': '30' }), fine]);
    const began = performance.now();
    expect([await codeOf(client.views()), requests.length]).toEqual(['overloaded', 1]);
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});

describe('a call', () => {
  it('ends with its time, retries and all', async () => {
    const { client } = await scripted([drop], { retriesMax: 10, timeoutMs: 200 });
    const began = performance.now();
    expect(['connection', 'timeout']).toContain(await codeOf(client.views()));
    // Eleven attempts would take more than a minute.
    expect(performance.now() - began).toBeLessThan(10_000);
    const { client: second } = await scripted([silent]);
    expect(await codeOf(second.views({ timeoutMs: 50 }))).toBe('timeout');
  });

  it('ends when its caller gives up, before it begins and while it runs', async () => {
    const { client, requests } = await scripted([silent]);
    expect(await codeOf(client.views({ signal: AbortSignal.abort() }))).toBe('aborted');
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [
      client.views({ signal }),
      client.view('v').get('a', { signal }),
      client.cache('c').get('a', { signal }),
      client.view('v').load([], { signal }),
    ];
    const codes = Promise.all(calls.map(codeOf));
    await eventually(() => requests.length >= 4, 'they are under way');
    controller.abort();
    expect(await codes).toEqual(['aborted', 'aborted', 'aborted', 'aborted']);
  });

  it('takes no redirection for an answer', async () => {
    const moved: Answer = response => void response.writeHead(302, { location: '/login' }).end();
    const { client, requests } = await scripted([moved]);
    expect(await codeOf(client.cache('c').put('a', 'x'))).toBe('bad-answer');
    expect(await codeOf(client.cache('c').delete('a'))).toBe('bad-answer');
    expect(await codeOf(client.view('v').drop())).toBe('bad-answer');
    expect(requests.length).toBe(3);
  });

  it('that removes ends with its own time, whatever it waits for', async () => {
    const { client, requests } = await scripted([silent]);
    const cache = client.cache('c');
    const put = codeOf(cache.put('a', 'x', { timeoutMs: 2_000 }));
    expect(await codeOf(cache.delete('a', { timeoutMs: 50 }))).toBe('timeout');
    expect(await codeOf(cache.delete('a', { signal: AbortSignal.timeout(50) }))).toBe('aborted');
    expect(await codeOf(cache.invalidate({ all: true }, { timeoutMs: 50 }))).toBe('timeout');
    expect(requests).toEqual(['PUT /v1/caches/c/entries/a']);
    await client.close();
    expect(await put).toBe('timeout');
  });

  it('is not tried again when no request can be made of it', async () => {
    const { client, requests } = await scripted([fine], { headers: { 'x-team': 'a\nb' } });
    expect(await codeOf(client.views())).toBe('bad-header');
    const { client: second } = await scripted([noContent]);
    expect(await codeOf(second.cache('c').put('a', 'x', { contentType: 'text/plain\n' }))).toBe('bad-header');
    expect(requests).toEqual([]);
  });

  it('is refused when too many wait', async () => {
    const { client } = await scripted([silent], { pendingMax: 3, timeoutMs: 1_000 });
    const calls = Array.from({ length: 5 }, () => codeOf(client.views()));
    expect(await Promise.all(calls)).toEqual(['timeout', 'timeout', 'timeout', 'busy', 'busy']);
  });

  it('takes no answer that is too large, or none of the contract', async () => {
    const large: Answer = response => void response.end('x'.repeat(2_000));
    const { client } = await scripted([large], { answerBytesMax: 1_024 });
    expect(await codeOf(client.views())).toBe('bad-answer');
    const page: Answer = response => void response.writeHead(200).end('<html>');
    const { client: second } = await scripted([page]);
    expect(await codeOf(second.views())).toBe('bad-answer');
    expect(await codeOf(second.view('v').get('a'))).toBe('bad-answer');
    expect(await codeOf(second.cache('c').get('a'))).toBe('bad-answer');
    const { client: third } = await scripted([response => void response.writeHead(418).end('tea')]);
    expect(await codeOf(third.views())).toBe('bad-answer');
    const { client: fourth } = await scripted([fails(400, 'of-tomorrow')]);
    expect(await codeOf(fourth.views())).toBe('unknown-problem');
  });

  it('is sent a second time when it is slow, within a budget, and the first answer counts', async () => {
    const { client, requests } = await scripted([silent, fine], { hedgeAfterMs: 30, timeoutMs: 20_000 });
    expect(await client.views()).toEqual([]);
    expect(requests.length).toBe(2);
    const { client: second, requests: writes } = await scripted([silent], {
      hedgeAfterMs: 10,
      timeoutMs: 200,
    });
    expect(await codeOf(second.view('v').put('a', {}))).toBe('timeout');
    expect(writes.length).toBe(1);
    const { client: third, requests: many } = await scripted([silent], {
      hedgeAfterMs: 10,
      timeoutMs: 3_000,
      connections: 100,
    });
    await Promise.all(Array.from({ length: 50 }, () => codeOf(third.views())));
    expect(many.length).toBe(50 + 10);
  });
});
