/**
 * One server a data directory. The lock is a local socket that the server listens on: the system closes it when the
 * process ends, however it ends, so that no stale lock is left behind.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const IN_USE = 'EADDRINUSE';
/** The least that systems take, less the byte behind it. */
const SOCKET_PATH_BYTES_MAX = 103;

export class DataDirError extends Error {
  override readonly name = 'DataDirError';
}

/**
 * Makes the directory when there is none, and takes it. The lock is held until the returned function is called.
 * @throws DataDirError when another server has it, or it cannot be made or written to.
 */
export async function lockDataDir(dataDir: string): Promise<() => void> {
  const reasons: string[] = [];
  for (const path of socketPaths(directory(dataDir))) {
    const taken = await take(path, dataDir);
    if (typeof taken !== 'string') return () => void taken.close();
    reasons.push(`${path}: ${taken}`);
  }
  throw new DataDirError(`the data directory ${dataDir} cannot be locked (${reasons.join('; ')})`);
}

function directory(dataDir: string): string {
  try {
    mkdirSync(dataDir, { recursive: true });
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
    return realpathSync(dataDir);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const reason = REASONS[code] ?? `cannot be used: ${error instanceof Error ? error.message : error}`;
    throw new DataDirError(`the data directory ${dataDir} ${reason}`);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EEXIST: 'is a file, not a directory',
  ENOTDIR: 'cannot be made: a part of its path is a file',
  EACCES: 'cannot be made or written to: permission denied',
  EROFS: 'cannot be made or written to: the file system is read-only',
};

/**
 * In the directory, so that whoever sees the one sees the other, in containers too. Where that cannot be, because the
 * path is longer than the system takes or the file system holds no sockets, beside the temporary files.
 */
function socketPaths(dataDir: string): readonly string[] {
  const name = `headrace-${createHash('sha256').update(dataDir).digest('hex').slice(0, 24)}`;
  if (process.platform === 'win32') return [`\\\\.\\pipe\\${name}`];
  const inside = join(dataDir, 'headrace.lock');
  const outside = join(tmpdir(), `${name}.sock`);
  return Buffer.byteLength(inside) <= SOCKET_PATH_BYTES_MAX ? [inside, outside] : [outside];
}

/** The lock, or why it cannot be taken there. @throws DataDirError when another server has it. */
async function take(path: string, dataDir: string): Promise<Server | string> {
  let taken = await listen(path);
  if (taken === IN_USE) {
    if (await answers(path))
      throw new DataDirError(`the data directory ${dataDir} is in use by another server`);
    rmSync(path, { force: true });
    taken = await listen(path);
  }
  return typeof taken === 'string' ? taken : taken.unref();
}

function listen(path: string): Promise<Server | string> {
  return new Promise(resolve => {
    const server = createServer(socket => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(path, () => resolve(server));
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
