/** How both commands end: a user's mistake is one message, a bug is a stack trace. */
import { UserError } from './user-error.js';

export const EXIT_FAILED = 1;
export const EXIT_BAD_ARGUMENTS = 2;

/** Runs a command; its result is the process's exit code. */
export function runCommand(command: () => Promise<number>): void {
  // Ends child processes too, by way of the exit handlers.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(EXIT_FAILED));
  command().then(
    code => {
      process.exitCode = code;
    },
    (error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      process.stderr.write(`${error.message}\n`);
      process.exit(EXIT_FAILED);
    },
  );
}

/** Progress goes to standard error, so that standard output holds the report alone. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
