/** Runs the real command line as a user does, and keeps what it says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

export interface Told {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

/** `env` alone are the options in the environment: those of whoever runs the tests do not count. */
export async function headrace(args: readonly string[], env: Record<string, string> = {}): Promise<Told> {
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('HEADRACE_'));
  const child: ChildProcess = spawn(process.execPath, [CLI, ...args], {
    env: { ...Object.fromEntries(others), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = once(child, 'close') as Promise<[number | null]>;
  const [out, error, [code]] = await Promise.all([
    text(child.stdout as NodeJS.ReadableStream),
    text(child.stderr as NodeJS.ReadableStream),
    exit,
  ]);
  return { code, out, error };
}
