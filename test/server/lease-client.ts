/** Reads and writes of entries with their leases, as a client makes them. */
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Answer, ApiClient } from './api-client.js';
import { expectProblem } from './both-fronts.js';
import { makeDataDir } from './server-process.js';

export interface Read {
  readonly status: number;
  readonly text: string;
  readonly lease: string | undefined;
  readonly retryAfter: string | undefined;
}

export interface LeaseFigures {
  readonly held: number;
  readonly waiting: number;
  readonly granted: number;
  readonly refused: number;
  readonly expired: number;
}

export class LeaseClient {
  readonly #api: ApiClient;
  readonly #cache: string;

  constructor(api: ApiClient, cache = 'results') {
    this.#api = api;
    this.#cache = cache;
  }

  pathOf(key: string): string {
    return `/v1/caches/${this.#cache}/entries/${encodeURIComponent(key)}`;
  }

  async read(key: string, wait = ''): Promise<Read> {
    const { status, text, headers } = await this.#api.get(
      `${this.pathOf(key)}${wait === '' ? '' : `?wait=${wait}`}`,
    );
    return {
      status,
      text: status === 200 ? text : '',
      lease: headers['headrace-lease'] as string | undefined,
      retryAfter: headers['retry-after'],
    };
  }

  /** The lease on a key that is missing. */
  async lease(key: string): Promise<string> {
    const { status, lease } = await this.read(key);
    expect([status, lease]).toEqual([404, expect.stringMatching(/^[\w.-]{22,100}$/)]);
    return lease ?? '';
  }

  put(
    key: string,
    body: string,
    lease = '',
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const leased = lease === '' ? {} : { 'headrace-lease': lease };
    return this.#api.request('PUT', this.pathOf(key), body, { ...leased, ...headers });
  }

  async fill(key: string, body: string, lease: string): Promise<void> {
    expect((await this.put(key, body, lease)).status).toBe(204);
  }

  async expectRefused(key: string, body: string, lease: string): Promise<void> {
    expectProblem(await this.put(key, body, lease), 409, 'lease-lost');
  }

  async remove(key: string): Promise<void> {
    expect((await this.#api.delete(this.pathOf(key))).status).toBe(204);
  }

  async invalidate(what: unknown): Promise<void> {
    expect((await this.#api.post(`/v1/caches/${this.#cache}/invalidate`, what)).status).toBe(200);
  }

  async figures(): Promise<LeaseFigures> {
    return (await this.#figures()).leases;
  }

  /** Invalidations that the server knows of and that are not erased yet. */
  async invalidating(): Promise<number> {
    return (await this.#figures()).invalidating;
  }

  async #figures(): Promise<{ readonly leases: LeaseFigures; readonly invalidating: number }> {
    const answer = await this.#api.get(`/v1/caches/${this.#cache}`);
    return (answer.json() as { figures: { leases: LeaseFigures; invalidating: number } }).figures;
  }
}

/** Of the leases of `SHORT`; all others last longer than a test. */
export const LEASE_MS = 1_500;
export const SHORT = 'plans';

/** The environment of a server that gives such leases. @param more caches of its own. */
export function leaseEnvironment(more: Readonly<Record<string, unknown>> = {}): Record<string, string> {
  const path = join(makeDataDir(), 'headrace.json');
  writeFileSync(path, JSON.stringify({ caches: { [SHORT]: { leaseTime: `${LEASE_MS}ms` }, ...more } }));
  return { HEADRACE_LEASE_TIME: '5m', HEADRACE_CONFIG_FILE: path };
}

/** Asks on a connection of its own, and goes away without waiting for the answer. */
export function askAndGo(port: number, path: string): Promise<() => Promise<void>> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`, () =>
        resolve(
          () =>
            new Promise(gone => {
              socket.on('close', () => gone());
              socket.destroy();
            }),
        ),
      );
    });
    socket.on('error', reject);
  });
}
