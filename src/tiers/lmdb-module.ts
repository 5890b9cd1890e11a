/**
 * lmdb, loaded so that the garbage it makes is seen by V8.
 *
 * Each thousand writes or so fill a buffer of instructions of 64 KiB, of which lmdb makes SharedArrayBuffers where there
 * are any. V8 does not count the memory of those (`BackingStore::PerIsolateAccountingLength` is 0 for them): once some
 * survive the young generation, nothing makes it look for them, and a lane under load grows by megabytes a second
 * (26 bytes a record written, 240 MB in ten million, measured) while its heap stays small. Where there are no
 * SharedArrayBuffers lmdb takes ArrayBuffers, whose memory counts. So there are none in the moment of loading, which is
 * one synchronous call: nothing else runs in it.
 */
import { createRequire } from 'node:module';

type Lmdb = typeof import('lmdb');

function loadLmdb(): Lmdb {
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'SharedArrayBuffer');
  Reflect.deleteProperty(globalThis, 'SharedArrayBuffer');
  try {
    return createRequire(import.meta.url)('lmdb') as Lmdb;
  } finally {
    if (descriptor !== undefined) Object.defineProperty(globalThis, 'SharedArrayBuffer', descriptor);
  }
}

export const { open, getLastVersion } = loadLmdb();
