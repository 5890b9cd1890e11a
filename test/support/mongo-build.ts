/**
 * FerretDB 1.x, a server that speaks MongoDB's protocol over SQLite, built from source with Go once and kept in the
 * user's cache directory. Parallel test files wait for one build.
 */
import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const MODULE = 'github.com/FerretDB/FerretDB';
/** The newest 1.x. */
const VERSION = 'v1.24.2';
const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'headrace');
const BINARY = join(CACHE, `ferretdb-${VERSION}`);
const LOCK = `${BINARY}.lock`;
const LOCK_POLL_MS = 200;

/** The path of the binary. @throws Error that says why there is none. */
export async function ferretDb(): Promise<string> {
  mkdirSync(CACHE, { recursive: true });
  while (!existsSync(BINARY)) {
    if (!takeLock()) {
      await wait(LOCK_POLL_MS);
      continue;
    }
    try {
      if (!existsSync(BINARY)) await build();
    } finally {
      rmSync(LOCK, { force: true });
    }
  }
  return BINARY;
}

/** False: another process is building. A lock whose owner has died is removed, and taken on the next try. */
function takeLock(): boolean {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    if (!isAlive(lockOwner())) rmSync(LOCK, { force: true });
    return false;
  }
}

/** `undefined`: the owner has not written its name yet, or is done. */
function lockOwner(): number | undefined {
  try {
    return Number(readFileSync(LOCK, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number | undefined): boolean {
  if (pid === undefined) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * As `go install` would, with the version written where the program looks for it: without that file, which the module
 * does not hold, it ends when it is started.
 */
async function build(): Promise<void> {
  const { Dir: source } = JSON.parse(
    await go(['mod', 'download', '-json', `${MODULE}@${VERSION}`], tmpdir()),
  ) as {
    Dir: string;
  };
  process.stderr.write(
    `building FerretDB ${VERSION} for the tests of MongoDB, once, which takes a minute or more\n`,
  );
  const directory = mkdtempSync(join(tmpdir(), 'headrace-ferretdb-build-'));
  try {
    // The module cache is read-only, and so is its copy.
    cpSync(source, directory, { recursive: true });
    await run('chmod', ['-R', 'u+w', directory], directory);
    writeFileSync(join(directory, 'build', 'version', 'version.txt'), `${VERSION}\n`);
    const made = `${BINARY}.${process.pid}`;
    await go(
      ['build', '-buildvcs=false', '-tags', 'ferretdb_no_postgresql', '-o', made, './cmd/ferretdb'],
      directory,
    );
    renameSync(made, BINARY);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function go(args: readonly string[], directory: string): Promise<string> {
  return run('go', args, directory);
}

/** What it printed. @throws Error with what it complained of. */
function run(command: string, args: readonly string[], directory: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { cwd: directory, maxBuffer: 2 ** 26 },
      (error, output, complaint) => {
        if (error === null) resolve(output);
        else if (error.code === 'ENOENT') reject(new Error(`${command} is not on the PATH`));
        else reject(new Error(`${command} ${args[0]} failed: ${complaint.trim() || output.trim()}`));
      },
    );
    if (child.pid !== undefined) setPriority(child.pid, 19);
  });
}
