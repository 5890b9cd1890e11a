/**
 * One LMDB environment in the data directory, opened by every lane's thread: records, the catalog of views, copies of
 * records that another store holds, and the list of hot keys.
 *
 * Threads of one process share the environment's memory map and its one write lock; lmdb's own writer threads take the
 * lock, never a lane's thread. Three options are what safety rests on:
 *
 * - `overlappingSync: false`. A commit is then synced before it is told of: resolved means durable, and a failed sync
 *   rejects. With it a write is first visible and later durable, and the promise of durability is never settled when
 *   the sync fails.
 * - `batchStartThreshold` without end. Otherwise lmdb begins a transaction in the middle of a turn of the event loop
 *   and holds the write lock until the turn ends; a thread that is terminated within that turn never ends it, and every
 *   other writer would wait for ever. With it, a transaction has all its writes before it begins.
 * - No transaction callbacks anywhere, for the same reason: a terminated thread would take the lock with it. Opening is
 *   the one synchronous transaction there is; a thread must not be terminated while it opens.
 */
import { closeSync, mkdirSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from 'lmdb';
import { open } from './lmdb-module.js';

export interface LmdbEnvironment {
  /** Storage key → record; the entry's version is the record's. */
  readonly records: Database<Uint8Array, Uint8Array>;
  /** JSON texts by name. */
  readonly catalog: Database<string, string>;
  /** Place in the order of writing → copy of a record, see `lmdb-copy.ts`. */
  readonly copies: Database<Uint8Array, Uint8Array>;
  /** Storage key → where its copy is; an entry's version is the record's. */
  readonly copyIndex: Database<Uint8Array, Uint8Array>;
  /** See `lmdb-hot-keys.ts`. */
  readonly hotKeys: Database<Uint8Array, string>;
  close(): Promise<void>;
}

const FILE_NAME = 'headrace.mdb';

/** @throws Error when the store's file is not one, or cannot be opened. */
export function openLmdb(directory: string): LmdbEnvironment {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, FILE_NAME);
  requireLmdbFile(path);
  const options = {
    path,
    maxDbs: 8,
    overlappingSync: false,
    batchStartThreshold: Number.MAX_SAFE_INTEGER,
  };
  const root = open(options);
  const binary = { keyEncoding: 'binary', encoding: 'binary' } as const;
  const records = root.openDB<Uint8Array, Uint8Array>({ ...binary, name: 'records', useVersions: true });
  const catalog = root.openDB<string, string>({ name: 'catalog', encoding: 'string' });
  const copies = root.openDB<Uint8Array, Uint8Array>({ ...binary, name: 'copies' });
  const copyIndex = root.openDB<Uint8Array, Uint8Array>({ ...binary, name: 'copy-index', useVersions: true });
  const hotKeys = root.openDB<Uint8Array, string>({ name: 'hot-keys', encoding: 'binary' });
  return { records, catalog, copies, copyIndex, hotKeys, close: () => root.close() };
}

/** Of LMDB's meta page, which begins the file. */
const MAGIC = Buffer.from([0xde, 0xc0, 0xef, 0xbe]);
const META_BYTES = 64;

/** lmdb opens any file, and the process ends by a fault in native code when it is not its own. */
function requireLmdbFile(path: string): void {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return; // There is none yet, or lmdb says why not.
  }
  try {
    const meta = Buffer.alloc(META_BYTES);
    const length = readSync(file, meta, 0, META_BYTES, 0);
    if (length > 0 && !meta.includes(MAGIC)) throw new Error(`${path} is no LMDB file, or it is damaged`);
  } finally {
    closeSync(file);
  }
}
