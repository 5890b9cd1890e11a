/** An HTTP server on loopback that answers as a test says, and an origin that may ask it. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, LookupFunction } from 'node:net';
import { expect } from 'vitest';
import { type OriginTarget, parseOriginPlace } from '../../src/base/origin-url.js';
import { TierRefusal } from '../../src/base/tier.js';
import { Origin } from '../../src/tiers/origin.js';
import { BATCH_DEFAULTS, type BatchOptions } from '../../src/tiers/origin-batch.js';
import { EXCHANGE_DEFAULTS, type ExchangeOptions } from '../../src/tiers/origin-exchange.js';

export interface Asked {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly atMs: number;
}

type Answer = (response: ServerResponse, asked: Asked) => void;

export interface OriginSetup extends Partial<ExchangeOptions> {
  /** Behind the host and the port. */
  readonly path?: string;
  readonly host?: string;
  readonly batch?: Partial<BatchOptions>;
  readonly waitingMax?: number;
  readonly lookup?: LookupFunction;
  readonly random?: () => number;
}

export class OriginServer {
  readonly port: number;
  /** What came so far. */
  readonly asked: Asked[] = [];
  answer: Answer = response => response.end();
  readonly #server: ReturnType<typeof createServer>;
  readonly #origins: Origin[] = [];
  connections = 0;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', () => this.connections++);
    server.on('request', async (request: IncomingMessage, response: ServerResponse) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const asked = { path: request.url ?? '', headers: request.headers, body, atMs: performance.now() };
      this.asked.push(asked);
      this.answer(response, asked);
    });
  }

  static async start(): Promise<OriginServer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new OriginServer(server);
  }

  /** Pauses before retries are as long as they may be, unless the setup says otherwise. */
  origin(setup: OriginSetup = {}): Origin {
    const { path = '/q?q={key}', host = '127.0.0.1', batch, waitingMax = 1_000, lookup, random } = setup;
    const options = {
      exchange: { ...EXCHANGE_DEFAULTS, ...setup },
      batch: { ...BATCH_DEFAULTS, ...batch },
      waitingMax,
    };
    const target = targetOf(`http://${host}:${this.port}${path}`);
    const parts = { random: random ?? (() => 1), ...(lookup && { lookup }) };
    const origin = new Origin(target, options, parts);
    this.#origins.push(origin);
    return origin;
  }

  async close(): Promise<void> {
    await Promise.all(this.#origins.map(origin => origin.close()));
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Its host is on the allowlist, and of addresses that are not public 127.0.0.1 alone may be connected to. */
export function targetOf(url: string): OriginTarget {
  const target = parseOriginPlace({ url, hosts: [new URL(url).hostname], addresses: ['127.0.0.1'] });
  if (typeof target === 'string') throw new Error(target);
  return target;
}

/** The bytes go out as they are, and the connection stays open. */
export function raw(response: ServerResponse, text: string): void {
  response.socket?.write(text);
}

export function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy();
}

export function textOf(value: { readonly payload: Uint8Array } | undefined): string | undefined {
  return value && Buffer.from(value.payload).toString();
}

/** What the call failed with. */
export function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    value => expect.fail(`it did not fail: ${JSON.stringify(value)}`),
    error => error,
  );
}

/** The origin was there and answered with what is no value; asking again would not help. */
export async function expectRefusal(call: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await failureOf(call);
  expect(error).toBeInstanceOf(TierRefusal);
  expect(String(error)).toMatch(message);
}
