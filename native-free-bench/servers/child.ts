/**
 * Servers as child processes of their own, headrace and rivals alike, so that CPU time is told apart. A server says
 * that it is ready with one JSON line on standard output: `{"msg":"ready","port":…}`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Address } from '../load/connections.js';
import { UserError } from '../user-error.js';
import { cpuMicros, memoryBytes } from './process-figures.js';

const READY_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 15_000;
const KEPT_LINES = 15;

export interface Server extends Address {
  readonly name: string;
  /** Microseconds of CPU used so far; `undefined` where it cannot be known. */
  cpuMicros(): number | undefined;
  memoryBytes(): number | undefined;
  stop(): Promise<void>;
}

export interface ChildServer extends Server {
  /** Milliseconds from starting the process to its ready line. */
  readonly readyMs: number;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** @throws UserError with the last lines of output when the server ends before it is ready, or never is. */
export async function startServer(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ChildServer> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const exited = once(child, 'exit').finally(() => running.delete(child));
  const lines: string[] = [];
  const port = await readyPort(name, child, lines);
  const onDeath = () => process.stderr.write(`${[`${name} has ended unasked`, ...lines].join('\n  ')}\n`);
  child.on('exit', onDeath);
  const pid = child.pid ?? 0;
  return {
    name,
    host: '127.0.0.1',
    port,
    readyMs: performance.now() - startedMs,
    cpuMicros: () => cpuMicros(pid),
    memoryBytes: () => memoryBytes(pid),
    stop: async () => {
      child.off('exit', onDeath);
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      await exited;
      clearTimeout(killer);
    },
  };
}

/** `lines` is kept filled with the last lines of output. */
function readyPort(name: string, child: ChildProcess, lines: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (what: string) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new UserError([`${name} ${what}`, ...lines].join('\n  ')));
    };
    const timer = setTimeout(() => fail(`was not ready within ${READY_WITHIN_MS / 1000} s`), READY_WITHIN_MS);
    const read = (line: string) => {
      lines.push(line);
      if (lines.length > KEPT_LINES) lines.shift();
      const port = portOf(line);
      if (port === undefined) return;
      clearTimeout(timer);
      resolve(port);
    };
    // Reading goes on for as long as the server runs: a full pipe would stop it.
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', read);
    if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', read);
    child.on('error', error => fail(`cannot be started: ${error.message}`));
    child.on('exit', (code, signal) =>
      fail(`ended with ${signal ?? `exit code ${code}`} before it was ready`),
    );
  });
}

function portOf(line: string): number | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== 'object' || entry === null || !('msg' in entry) || !('port' in entry))
      return undefined;
    return entry.msg === 'ready' && typeof entry.port === 'number' ? entry.port : undefined;
  } catch {
    return undefined;
  }
}
