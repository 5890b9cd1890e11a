/** A server whose caches have an origin: an HTTP server of the test's own, which answers as it is told. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { OriginServer } from '../tiers/origin-fixture.js';
import { type Answer, ApiClient } from './api-client.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

const directory = mkdtempSync(join(tmpdir(), 'headrace-origins-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

export type Options = Readonly<Record<string, unknown>>;

export interface SceneOptions {
  /** By name; `origin`, if there is one, is completed with where the origin is and that it may be there. */
  readonly caches: Readonly<Record<string, Options & { readonly origin?: Options }>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly dataDir?: string;
  /** Of the server's process. */
  readonly nodeArgs?: readonly string[];
  /** Default: one of its own, which ends with the scene. */
  readonly origin?: OriginServer;
}

/** Loopback may be connected to, and nothing else that is not public. */
export const ALLOWED = { allowHosts: ['127.0.0.1'], allowPrivate: ['127.0.0.1'] };

/** The name of a configuration file with these caches. */
export function cachesFile(caches: unknown): string {
  const file = join(directory, `caches-${files++}.json`);
  writeFileSync(file, JSON.stringify({ caches }));
  return file;
}

export class OriginScene {
  readonly origin: OriginServer;
  readonly server: ServerProcess;
  readonly api: ApiClient;
  readonly #ownsOrigin: boolean;

  private constructor(origin: OriginServer, server: ServerProcess, ownsOrigin: boolean) {
    this.origin = origin;
    this.server = server;
    this.api = new ApiClient(server.port);
    this.#ownsOrigin = ownsOrigin;
  }

  static async start({
    caches,
    env = {},
    dataDir,
    nodeArgs = [],
    origin: given,
  }: SceneOptions): Promise<OriginScene> {
    const origin = given ?? (await OriginServer.start());
    const url = `http://127.0.0.1:${origin.port}/v?k={key}`;
    const withOrigin = Object.entries(caches).map(([name, cache]) => {
      if (cache.origin === undefined) return [name, cache];
      const place = 'batchUrl' in cache.origin && !('url' in cache.origin) ? {} : { url };
      return [name, { ...cache, origin: { ...place, ...ALLOWED, ...cache.origin } }];
    });
    const file = cachesFile(Object.fromEntries(withOrigin));
    const server = await startServerProcess({
      env: { HEADRACE_CONFIG_FILE: file, ...env },
      nodeArgs,
      ...(dataDir === undefined ? {} : { dataDir }),
    });
    return new OriginScene(origin, server, given === undefined);
  }

  /** Nothing that was done was a bug. */
  async close(): Promise<void> {
    this.api.close();
    expect(await this.server.stop()).toEqual({ code: 0, signal: null });
    expect(this.server.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
    expect(this.server.errorOutput).toBe('');
    if (this.#ownsOrigin) await this.origin.close();
  }

  get(cache: string, key: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.api.get(entryPath(cache, key), headers);
  }

  /** What became of the questions to the cache's origin. */
  async figures(cache: string): Promise<Readonly<Record<string, unknown>>> {
    const { figures } = (await this.api.get(`/v1/caches/${cache}`)).json() as {
      figures: { origin: Record<string, unknown> };
    };
    return figures.origin;
  }

  /** The keys that the origin was asked for, one by one. */
  get keysAsked(): string[] {
    return this.origin.asked.flatMap(({ path }) => keyOf(path) ?? []);
  }
}

/** Of a question for one key. */
export function keyOf(path: string): string | undefined {
  return new URL(path, 'http://origin').searchParams.get('k') ?? undefined;
}

export function entryPath(cache: string, key: string): string {
  return `/v1/caches/${cache}/entries/${encodeURIComponent(key)}`;
}

/** Status, body, and where it came from. */
export function shown({ status, text, headers }: Answer): [number, string, unknown] {
  return [status, status === 200 ? text : '', headers['cache-status']];
}
