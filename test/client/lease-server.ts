/**
 * A named cache that gives leases, over real HTTP: the contract's protocol and no more, with faults to order. One
 * process, one cache; nothing is ever evicted.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { parseDuration } from '../../src/base/duration.js';

interface Held {
  readonly body: Buffer;
  readonly contentType: string;
  isStale: boolean;
}

/** Answers a request itself by returning true. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

const ENTRY = /^\/v1\/caches\/[^/]+\/entries\/([^?]+)(?:\?wait=(\w+))?$/;

export class LeaseServer {
  readonly entries = new Map<string, Held>();
  /** Of each key that is being made: its token. */
  readonly leases = new Map<string, string>();
  /** Methods and paths, as they came. */
  readonly requests: string[] = [];
  fault: Fault | undefined;
  readonly #server: Server;
  #waiting: (() => void)[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(error => response.destroy(error));
    });
  }

  async open(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  count(method: string): number {
    return this.requests.filter(request => request.startsWith(`${method} `)).length;
  }

  makeStale(): void {
    for (const held of this.entries.values()) held.isStale = true;
  }

  /** As an invalidation by somebody else. */
  invalidate(): void {
    this.entries.clear();
    this.leases.clear();
    this.#wake();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request;
    this.requests.push(`${method} ${url}`);
    if ((await this.fault?.(request, response)) === true) return;
    const [, key, wait] = ENTRY.exec(url) ?? [];
    if (key === undefined) return problem(response, 404, 'not-found');
    if (method === 'GET') return this.#read(key, Number(parseDuration(wait ?? '0ms')), response);
    if (method === 'PUT') return this.#write(key, request, response);
    this.entries.delete(key);
    this.leases.delete(key);
    this.#wake();
    response.writeHead(204, STATUS).end();
  }

  async #read(key: string, waitMs: number, response: ServerResponse): Promise<void> {
    const until = performance.now() + waitMs;
    while (!this.entries.has(key) && this.leases.has(key) && performance.now() < until)
      await this.#changed(until - performance.now());
    const held = this.entries.get(key);
    const isFree = (held === undefined || held.isStale) && !this.leases.has(key);
    const lease = isFree ? { 'headrace-lease': this.#grant(key) } : {};
    if (held !== undefined) {
      const status = { 'cache-status': `headrace; hit; ttl=${held.isStale ? -2 : 60}; detail=L1` };
      response.writeHead(200, { ...status, ...lease, age: '1', 'content-type': held.contentType });
      response.end(held.body);
    } else problem(response, 404, 'entry-not-found', isFree ? lease : { 'retry-after': '1' });
  }

  async #write(key: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const given = request.headers['headrace-lease'];
    if (given !== undefined && this.leases.get(key) !== given) return problem(response, 409, 'lease-lost');
    this.leases.delete(key);
    this.entries.set(key, { body, contentType: request.headers['content-type'] ?? '', isStale: false });
    this.#wake();
    response.writeHead(204, { 'cache-status': 'headrace; fwd=method; stored' }).end();
  }

  #grant(key: string): string {
    const token = randomUUID();
    this.leases.set(key, token);
    return token;
  }

  #wake(): void {
    for (const tell of this.#waiting.splice(0)) tell();
  }

  #changed(withinMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, withinMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

const STATUS = { 'cache-status': 'headrace; fwd=method' };

export function problem(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = JSON.stringify({
    type: `urn:headrace:problem:${code}`,
    title: code,
    status,
    detail: `it is ${code}`,
  });
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(body);
}
