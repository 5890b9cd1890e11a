/**
 * Ids and storage keys. An id is 1 to 512 bytes of UTF-8; a storage key is the view's uid (uint32, big-endian, so that
 * a view's records lie together in an ordered store) followed by the id's bytes.
 */
import { HeadraceError } from './errors.js';

export const ID_BYTES_MAX = 512;
/** Before the id in a storage key. */
export const VIEW_UID_BYTES = 4;

/** @throws HeadraceError `bad-id` unless the id is 1 to 512 bytes of well-formed UTF-8. */
export function checkId(id: string): void {
  const problem = idProblem(id);
  if (problem !== undefined) throw new HeadraceError('bad-id', problem);
}

/** What is wrong with the id, or `undefined`. */
export function idProblem(id: string): string | undefined {
  if (id.length === 0) return 'the id is empty';
  // A UTF-16 unit is 1 to 3 bytes of UTF-8: most ids need no count.
  if (id.length * 3 > ID_BYTES_MAX) {
    const bytes = Buffer.byteLength(id);
    if (bytes > ID_BYTES_MAX) return `the id has ${bytes} bytes, ${ID_BYTES_MAX} are allowed`;
  }
  return id.isWellFormed() ? undefined : 'the id has a lone surrogate';
}

export function storageKey(viewUid: number, id: string): Buffer {
  const key = Buffer.allocUnsafe(4 + Buffer.byteLength(id));
  key.writeUInt32BE(viewUid, 0);
  key.write(id, 4);
  return key;
}

/** The same of an id that is UTF-8 already. */
export function storageKeyOfBytes(viewUid: number, id: Uint8Array): Buffer {
  const key = Buffer.allocUnsafe(4 + id.length);
  key.writeUInt32BE(viewUid, 0);
  key.set(id, 4);
  return key;
}

/** What the storage keys of a view begin with, and no others. */
export function viewPrefix(viewUid: number): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(viewUid);
  return prefix;
}

export function viewUidOfStorageKey(key: Uint8Array): number {
  return Buffer.from(key.buffer, key.byteOffset, 4).readUInt32BE(0);
}

export function idOfStorageKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset + 4, key.byteLength - 4).toString();
}
