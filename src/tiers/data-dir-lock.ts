/**
 * One server a data directory. The lock is a local socket that the server listens on: the system closes it when the
 * process ends, however it ends, so that no stale lock is left behind.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, realpathSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class DataDirError extends Error {
  override readonly name = 'DataDirError';
}

/**
 * Makes the directory when there is none, and takes it. The lock is held until the returned function is called.
 * @throws DataDirError when another server has it, or it cannot be made.
 */
export async function lockDataDir(dataDir: string): Promise<() => void> {
  const path = socketPath(directory(dataDir));
  let server = await listen(path);
  if (server === undefined) {
    if (await answers(path))
      throw new DataDirError(`the data directory ${dataDir} is in use by another server`);
    rmSync(path, { force: true });
    server = await listen(path);
  }
  if (server === undefined)
    throw new DataDirError(`the data directory ${dataDir} cannot be locked (${path})`);
  const held = server.unref();
  return () => void held.close();
}

function directory(dataDir: string): string {
  try {
    mkdirSync(dataDir, { recursive: true });
    return realpathSync(dataDir);
  } catch (error) {
    throw new DataDirError(
      `the data directory ${dataDir} cannot be made: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** Short whatever the directory's path is: the system allows about a hundred bytes. */
function socketPath(dataDir: string): string {
  const name = `headrace-${createHash('sha256').update(dataDir).digest('hex').slice(0, 24)}`;
  return process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : join(tmpdir(), `${name}.sock`);
}

/** Nothing when the address is taken. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE'
        ? resolve(undefined)
        : reject(new DataDirError(`the lock failed: ${error.message}`)),
    );
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
