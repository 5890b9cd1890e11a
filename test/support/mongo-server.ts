/**
 * A real server of MongoDB's protocol for tests: the one that HEADRACE_TEST_MONGODB_URL names, else FerretDB as a child
 * process on a free loopback port with its data in a directory of its own.
 *
 * The child ends with the test process, however that ends: a shell between them waits on a pipe, and when the pipe
 * closes it kills the server and removes its data. Where there is no server the tests are skipped and the reason is
 * printed; with CI=true they fail.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { afterAll } from 'vitest';
import { ferretDb } from './mongo-build.js';

const GIVEN = process.env['HEADRACE_TEST_MONGODB_URL'];
const READY_MS_MAX = 20_000;
const POLL_MS = 20;

/** Prints the server's pid; then either is told to keep the data, or removes it. */
const KEEPER =
  'data=$1; shift; "$@" >>"$data/log" 2>&1 & echo $!; read -r word; kill -KILL $! 2>/dev/null; wait; [ "$word" = keep ] || rm -rf -- "$data"';

/** Why there is no server of its own to start; `undefined`: there is one. */
export const noOwnServer: string | undefined = await whyNot(ferretDb);
/** Why there is no server at all. */
export const noServer: string | undefined = GIVEN === undefined ? noOwnServer : undefined;

async function whyNot(find: () => Promise<string>): Promise<string | undefined> {
  try {
    await find();
    return undefined;
  } catch (error) {
    const reason = `no server of MongoDB's protocol: ${(error as Error).message}. Install Go, or set HEADRACE_TEST_MONGODB_URL`;
    if (GIVEN === undefined && process.env['CI'] === 'true') throw new Error(reason);
    process.stderr.write(`tests are skipped: ${reason}\n`);
    return reason;
  }
}

const servers = new Set<FerretDbServer>();
const databases = new Set<string>();
let shared: Promise<FerretDbServer> | undefined;

afterAll(async () => {
  if (GIVEN !== undefined) for (const url of databases) await dropDatabase(url);
  databases.clear();
  shared = undefined;
  for (const server of servers) await server.close();
});

/** The connection string of a database of its own, in the given server or in one that all tests of a file share. */
export async function testDatabaseUrl(options = ''): Promise<string> {
  const name = `headrace_test_${randomBytes(6).toString('hex')}`;
  shared ??= GIVEN === undefined ? FerretDbServer.start() : undefined;
  const url = GIVEN ?? (await shared)?.url() ?? '';
  const [place = '', query = ''] = url.split('?');
  const all = [query, options].filter(part => part !== '').join('&');
  const named = `${place.replace(/^(mongodb(?:\+srv)?:\/\/[^/]+).*$/, '$1')}/${name}${all === '' ? '' : `?${all}`}`;
  databases.add(named);
  return named;
}

async function dropDatabase(url: string): Promise<void> {
  const client = new MongoClient(url);
  try {
    await client.db().dropDatabase();
  } finally {
    await client.close();
  }
}

function isStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).every(task => /\) T /.test(readFileSync(join(tasks, task, 'stat'), 'utf8')));
}

/** A FerretDB that may be stopped, killed and started again; closed when the test file is done. */
export class FerretDbServer {
  readonly port: number;
  readonly #directory = mkdtempSync(join(tmpdir(), 'headrace-mongo-'));
  #keeper: ChildProcess | undefined;
  #pid = 0;

  private constructor(port: number) {
    this.port = port;
    servers.add(this);
  }

  /** Resolves when it accepts connections. */
  static async start(): Promise<FerretDbServer> {
    const server = new FerretDbServer(await freePort());
    await server.start();
    return server;
  }

  url(options = ''): string {
    return `mongodb://127.0.0.1:${this.port}/headrace${options === '' ? '' : `?${options}`}`;
  }

  /** Takes connections and answers none of them any more. */
  stop(): void {
    process.kill(this.#pid, 'SIGSTOP');
    // Until each of its threads has the signal, calls are answered.
    while (process.platform === 'linux' && !isStopped(this.#pid));
  }

  resume(): void {
    process.kill(this.#pid, 'SIGCONT');
  }

  /** As a crash; its data stay. Resolves when it refuses connections. */
  async kill(): Promise<void> {
    process.kill(this.#pid, 'SIGKILL');
    while (await canConnect(this.port)) await wait(POLL_MS);
  }

  /** On the same port, with the same data, after `kill`. */
  async start(): Promise<void> {
    const binary = await ferretDb();
    const args = [
      '--handler=sqlite',
      `--sqlite-url=file:${this.#directory}/`,
      `--state-dir=${this.#directory}`,
      '--telemetry=disable',
      `--listen-addr=127.0.0.1:${this.port}`,
      '--debug-addr=-',
      '--log-level=warn',
    ];
    const keeper = spawn('sh', ['-c', KEEPER, 'sh', this.#directory, binary, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const before = this.#keeper;
    this.#keeper = keeper;
    // Writing to a keeper that has just ended is no error.
    keeper.stdin.on('error', () => undefined);
    await end(before, 'keep');
    const [pid] = (await once(createInterface({ input: keeper.stdout }), 'line')) as [string];
    this.#pid = Number(pid);
    await this.#accepts();
  }

  /** Ends it and removes its data. */
  async close(): Promise<void> {
    servers.delete(this);
    await end(this.#keeper, 'remove');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #accepts(): Promise<void> {
    const giveUpAt = performance.now() + READY_MS_MAX;
    while (!(await canConnect(this.port))) {
      if (performance.now() > giveUpAt) throw new Error(`FerretDB did not start: ${this.#log()}`);
      await wait(POLL_MS);
    }
  }

  #log(): string {
    const path = join(this.#directory, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8') : 'it wrote nothing';
  }
}

/** The keeper kills its server, and removes its data unless it is told to keep them. */
async function end(keeper: ChildProcess | undefined, word: 'keep' | 'remove'): Promise<void> {
  if (keeper === undefined) return;
  const ended = once(keeper, 'exit');
  keeper.stdin?.end(`${word}\n`);
  await ended;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function canConnect(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
