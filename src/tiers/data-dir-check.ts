/**
 * Checks of the data directory for `headrace doctor`: can the server have it, on what file system is it, what is free.
 * A directory that is not there yet is not made: what is asked then is the nearest one above it.
 */
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { formatBytes } from '../base/bytes.js';
import { DataDirError, lockDataDir } from './data-dir-lock.js';
import { Checklist, type Finding, ok, problem, type Verdict, warning } from './tier-check.js';

export interface DataDirCheckOptions {
  readonly dataDir: string;
  readonly diskFreeMin: number;
  /** Disk that copies of records may take; 0 where there are none. */
  readonly copyBytes: number;
  /** Whether the only place of the records is here. */
  readonly isRecordStore: boolean;
  /** For each check. */
  readonly limitMs: number;
}

const OTHER = 'set HEADRACE_DATA_DIR to a directory that the user of the server may write to';
const FILE = 'headrace.mdb';

export async function checkDataDir(options: DataDirCheckOptions): Promise<readonly Finding[]> {
  const { dataDir, limitMs } = options;
  const list = new Checklist('data directory', limitMs);
  const existing = nearestExisting(resolve(dataDir));
  if (!(await list.check('directory', OTHER, () => judgeDirectory(dataDir, existing)))) return list.findings;
  await list.check('lock', OTHER, () => judgeLock(dataDir));
  await list.check('file system', OTHER, () => judgeFileSystem(existing, options));
  await list.check('free space', OTHER, () => judgeSpace(existing, join(resolve(dataDir), FILE), options));
  return list.findings;
}

function nearestExisting(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestExisting(dirname(path));
}

function judgeDirectory(dataDir: string, existing: string): Verdict {
  const path = resolve(dataDir);
  if (!statSync(existing).isDirectory()) return problem(`${existing} is a file, not a directory`, OTHER);
  try {
    accessSync(existing, constants.R_OK | constants.W_OK | constants.X_OK);
    if (existsSync(join(path, FILE))) accessSync(join(path, FILE), constants.R_OK | constants.W_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reason = code === 'EROFS' ? 'the file system is read-only' : `permission denied (${code})`;
    const owner = `chown -R <user of the server> ${existing}`;
    return problem(`${path} cannot be written to: ${reason}`, `${owner}; or ${OTHER}`);
  }
  return ok(existing === path ? path : `${path}, made at the first start`);
}

async function judgeLock(dataDir: string): Promise<Verdict> {
  if (!existsSync(dataDir)) return ok('free');
  try {
    const release = await lockDataDir(dataDir);
    release();
    return ok('free');
  } catch (error) {
    if (!(error instanceof DataDirError)) throw error;
    if (error.message.endsWith('is in use by another server')) return ok('a server is running on it');
    return problem(error.message, OTHER);
  }
}

/** By the number that statfs gives, see statfs(2). */
const FILE_SYSTEMS: ReadonlyMap<
  number,
  readonly [name: string, kind: 'memory' | 'layers' | 'network' | 'disk']
> = new Map([
  [0x01021994, ['tmpfs', 'memory']],
  [0x858458f6, ['ramfs', 'memory']],
  [0x794c7630, ['overlayfs', 'layers']],
  [0x61756673, ['aufs', 'layers']],
  [0x6969, ['NFS', 'network']],
  [0x517b, ['SMB', 'network']],
  [0xff534d42, ['CIFS', 'network']],
  [0xfe534d42, ['SMB2', 'network']],
  [0x01021997, ['9p', 'network']],
  [0x00c36400, ['Ceph', 'network']],
  [0x65735546, ['FUSE', 'network']],
  [0xef53, ['ext2/3/4', 'disk']],
  [0x58465342, ['XFS', 'disk']],
  [0x9123683e, ['Btrfs', 'disk']],
  [0x2fc12fc1, ['ZFS', 'disk']],
  [0xf2f52010, ['F2FS', 'disk']],
]);

function judgeFileSystem(directory: string, { isRecordStore }: DataDirCheckOptions): Verdict {
  if (process.platform !== 'linux') return ok('not looked at on this system');
  const type = statfsSync(directory).type >>> 0;
  const [name, kind] = FILE_SYSTEMS.get(type) ?? [`type 0x${type.toString(16)}`, 'disk'];
  const what = isRecordStore ? 'the records' : 'copies and the list of hot keys';
  const local = 'set HEADRACE_DATA_DIR to a directory on a local disk';
  if (kind === 'memory')
    return warning(`${name}: in memory, ${what} are gone after a restart of the machine`, local);
  if (kind === 'layers') {
    return warning(
      `${name}: the container's own layer, ${what} are gone when it is removed`,
      'mount a volume there (docker run -v <volume>:<directory>)',
    );
  }
  if (kind === 'network') {
    return warning(`${name}: LMDB's memory map and locks are not safe over a network`, local);
  }
  return ok(name);
}

function judgeSpace(directory: string, file: string, options: DataDirCheckOptions): Verdict {
  const { diskFreeMin, copyBytes, isRecordStore } = options;
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  const says = `${mebibytes(free)} free, HEADRACE_DISK_FREE_MIN ${formatBytes(diskFreeMin)}`;
  const change =
    'free space on that disk; or set HEADRACE_DATA_DIR to another, or HEADRACE_DISK_FREE_MIN lower';
  if (free < diskFreeMin) {
    return isRecordStore
      ? problem(`${says}: writes are refused with 507`, change)
      : warning(`${says}: no copies are kept`, change);
  }
  if (isRecordStore && free < 2 * diskFreeMin)
    return warning(`${says}: soon writes are refused with 507`, change);
  const taken = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (free - diskFreeMin < copyBytes - taken) {
    const smaller = `or HEADRACE_LOCAL_COPY_BYTES lower (${formatBytes(copyBytes)} now)`;
    return warning(`${says}: copies may not get all of their room`, `${change}\n${smaller}`);
  }
  return ok(says);
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB`;
}
