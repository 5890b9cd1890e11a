/**
 * The real server as a child process, for tests that attack it from outside: the command line's `serve` with an
 * environment of its own, ready when its log says so, stopped by its pid. What a test file leaves running is killed,
 * and its data directories are removed, when the file is done.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

/** Small, so that a test machine holds several servers. */
const TEST_DEFAULTS = {
  HEADRACE_PORT: '0',
  HEADRACE_ADMIN_PORT: '0',
  HEADRACE_L1_BYTES: '16MiB',
  HEADRACE_LANES: '2',
  // A loaded test machine is no slow server.
  HEADRACE_DEADLINE: '30s',
};

export interface ServerOptions {
  /** Options by their names in the environment; they win over the tests' own defaults. */
  readonly env?: Readonly<Record<string, string>>;
  /** An existing data directory, kept after the stop; default: a new one, removed when the test file is done. */
  readonly dataDir?: string;
  /** Flags of Node.js itself, before the script. */
  readonly nodeArgs?: readonly string[];
  /** A command that is given the server's as its arguments, and becomes it (`exec`). */
  readonly wrapper?: readonly string[];
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A line of the server's log. */
export type LogLine = Readonly<Record<string, unknown>>;

const servers = new Set<ServerProcess>();
const directories = new Set<string>();

afterAll(async () => {
  for (const server of servers) await server.kill();
  servers.clear();
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  directories.clear();
});

/** A new data directory, removed when the test file is done. */
export function makeDataDir(): string {
  const directory = mkdtempSync(join(tmpdir(), 'headrace-test-'));
  directories.add(directory);
  return directory;
}

/** Starts a server and waits until it is ready. @throws Error with all that it wrote when it ends before. */
export async function startServerProcess(options: ServerOptions = {}): Promise<ServerProcess> {
  const server = new ServerProcess(options);
  servers.add(server);
  await server.ready();
  return server;
}

export class ServerProcess {
  readonly dataDir: string;
  /** Log lines so far; what is no JSON stands under `text`. */
  readonly log: LogLine[] = [];
  /** What was written to standard error. */
  errorOutput = '';
  readonly #child: ChildProcess;
  readonly #exit: Promise<Exit>;
  readonly #isReady: Promise<LogLine>;
  #port = 0;
  #adminPort = 0;

  constructor({ env = {}, dataDir = makeDataDir(), nodeArgs = [], wrapper = [] }: ServerOptions = {}) {
    this.dataDir = dataDir;
    const [command = process.execPath, ...args] = [...wrapper, process.execPath, ...nodeArgs, CLI, 'serve'];
    const child = spawn(command, args, {
      env: { ...withoutOptions(process.env), ...TEST_DEFAULTS, HEADRACE_DATA_DIR: dataDir, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#exit = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Exit);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errorOutput += text;
    });
    this.#isReady = new Promise((resolve, reject) => {
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', text => {
        const line = logLine(text);
        this.log.push(line);
        const { msg } = line;
        if (msg === 'ready') resolve(line);
      });
      this.#exit.then(
        exit => reject(new Error(`the server ended before it was ready: ${this.#told(exit)}`)),
        reject,
      );
    });
    // Who does not wait for it is not to be ended by it.
    this.#isReady.catch(() => undefined);
  }

  /** Resolves when the server is ready. @throws Error when it ends before. */
  async ready(): Promise<this> {
    const { port, adminPort } = await this.#isReady;
    this.#port = Number(port);
    this.#adminPort = Number(adminPort);
    return this;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get port(): number {
    return this.#port;
  }

  get adminPort(): number {
    return this.#adminPort;
  }

  /** Where the data port is: `http://127.0.0.1:4711`. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.#adminPort}`;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** How the process ended, once it has. */
  get exited(): Promise<Exit> {
    return this.#exit;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Asks it to stop and waits until it has. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.signal(signal);
    return this.#exit;
  }

  /** As a crash: nothing is finished, nothing is flushed. */
  kill(): Promise<Exit> {
    return this.stop('SIGKILL');
  }

  /** Private and shared memory of the process in bytes; `undefined` where the system does not say. */
  memoryBytes(): number | undefined {
    let status: string;
    try {
      status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    } catch {
      return undefined;
    }
    const kibibytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
    return (kibibytes('RssAnon') + kibibytes('RssShmem')) * 1024;
  }

  #told({ code, signal }: Exit): string {
    return `${signal ?? `exit code ${code}`}\n${this.log.map(line => JSON.stringify(line)).join('\n')}\n${this.errorOutput}`;
  }
}

/** The options of whoever runs the tests are not the test servers'. */
function withoutOptions(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('HEADRACE_')));
}

function logLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return { text };
  }
}
