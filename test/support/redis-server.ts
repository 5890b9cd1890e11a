/**
 * Real Redis servers for tests, on free loopback ports, each with a directory of its own.
 *
 * `HEADRACE_TEST_REDIS_URL` names a server to use instead, for what needs no more than one. Else `redis-server` is taken
 * from PATH; on CI, as root, Debian's package is installed first if need be. Where there is none, `redisMissing` says
 * why: tests that need it are skipped with that reason, and with CI=true they fail.
 *
 * A server is the child of a shell that ends it, and removes its directory, when the shell's input closes: so none
 * outlives the test process, however that ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describe } from 'vitest';

const { CI, HEADRACE_TEST_REDIS_URL: GIVEN_URL = '' } = process.env;
const IS_CI = CI === 'true';

/** Why no server can be started here, or `undefined`. */
export const redisMissing: string | undefined = findServer();

function findServer(): string | undefined {
  if (spawnSync('redis-server', ['--version']).status === 0) return undefined;
  if (IS_CI && process.getuid?.() === 0) {
    const install = 'apt-get update -qq && apt-get install -y -qq redis-server';
    if (spawnSync('sh', ['-c', install], { stdio: 'ignore' }).status === 0) return undefined;
    return 'there is no redis-server on PATH, and apt-get could not install it';
  }
  return 'there is no redis-server on PATH: install it (Debian: apt-get install redis-server)';
}

/** A `describe` for tests that start servers: skipped with the reason printed where there are none; on CI it fails. */
export function describeWithRedis(name: string, body: () => void): void {
  describeUnless(redisMissing, name, body);
}

/** The same, for tests that only need `anyRedis`. */
export function describeWithAnyRedis(name: string, body: () => void): void {
  describeUnless(GIVEN_URL === '' ? redisMissing : undefined, name, body);
}

function describeUnless(missing: string | undefined, name: string, body: () => void): void {
  const isSkipped = missing !== undefined && !IS_CI;
  if (isSkipped) console.warn(`skipped: ${name}: ${missing}`);
  describe.skipIf(isSkipped)(name, body);
}

/** Waits until the condition holds; what it throws counts as no. */
export async function eventually(condition: () => unknown, what: string, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let reason: unknown;
  while (performance.now() < deadline) {
    try {
      if (await condition()) return;
    } catch (error) {
      reason = error;
    }
    await after(10);
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: reason });
}

export class RedisServer {
  readonly port: number;
  readonly #args: readonly string[];
  readonly #dir = mkdtempSync(join(tmpdir(), 'headrace-redis-'));
  #shell: ChildProcess | undefined;
  #pid = 0;
  /** For the test's own commands; not made again when lost. */
  #admin: Redis | undefined;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.#args = args;
    if (args[0] === '--sentinel') writeFileSync(this.#config, '');
  }

  static async start(args: readonly string[] = [], port?: number): Promise<RedisServer> {
    if (redisMissing !== undefined) throw new Error(redisMissing);
    const server = new RedisServer(port ?? (await freePort()), args);
    await server.restart();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get admin(): Redis {
    // Sentinel cuts the connections of a server whose role it changes.
    if (this.#admin === undefined || this.#admin.status === 'end') this.#admin = this.connect();
    return this.#admin;
  }

  /** A connection of its own, for a test that plays another client. */
  connect(): Redis {
    const client = new Redis({
      host: '127.0.0.1',
      port: this.port,
      retryStrategy: null,
      disableClientInfo: true,
    });
    client.on('error', () => undefined);
    return client;
  }

  /** Starts it on its port; it was killed or never ran. It is empty unless it was told to keep its data. */
  async restart(): Promise<void> {
    const sentinel = this.#args[0] === '--sentinel';
    const args = [
      ...(sentinel ? [this.#config] : []),
      ...['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#dir, '--daemonize', 'no'],
      ...(sentinel ? [] : ['--save', '', '--enable-debug-command', 'yes']),
      ...this.#args,
    ];
    const serve = 'redis-server "$@" >log 2>&1 & echo $!; read -r how; kill -KILL $! 2>/dev/null';
    const script = `${serve}; [ -n "$how" ] || rm -rf "$PWD"`;
    const shell = spawn('sh', ['-c', script, 'sh', ...args], {
      cwd: this.#dir,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.#shell = shell;
    const [line] = (await once(shell.stdout, 'data')) as [Buffer];
    this.#pid = Number(line.toString());
    await eventually(() => this.#answers(), `redis-server on port ${this.port} answers`);
  }

  /** Holds the process: connections stay open and nothing is answered. */
  stop(): void {
    process.kill(this.#pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.#pid, 'SIGCONT');
  }

  /** Ends the process at once; the port is free when this resolves. */
  async kill(): Promise<void> {
    const shell = this.#shell;
    this.#shell = undefined;
    this.#admin?.disconnect();
    this.#admin = undefined;
    if (shell === undefined) return;
    const gone = once(shell, 'exit');
    shell.stdin?.end('keep the directory\n');
    await gone;
    await eventually(() => !isAlive(this.#pid), `redis-server on port ${this.port} is gone`);
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  get #config(): string {
    return join(this.#dir, 'server.conf');
  }

  async #answers(): Promise<boolean> {
    const client = this.connect();
    try {
      return (await client.ping()) === 'PONG';
    } finally {
      client.disconnect();
    }
  }
}

/** The server of `HEADRACE_TEST_REDIS_URL`, or one started for this; for tests that do nothing to the process. */
export async function anyRedis(): Promise<{ readonly url: string; close(): Promise<void> }> {
  return GIVEN_URL === '' ? RedisServer.start() : { url: GIVEN_URL, close: () => Promise.resolve() };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
  return address.port;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
