/** What writing to LMDB takes, whichever tier it is for: names for keys, room on disk, the error of a failed commit. */
import { HeadraceError } from '../base/errors.js';
import type { TierWrite } from '../base/tier.js';

/** A put makes a leaf dirty, and sometimes a branch; so does a removal. */
export const PAGE_BYTES_PER_CHANGE = 2 * 4096;

/** A string made of the key's bytes: what a `Map` can look up. */
export function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

/** At most so many bytes are written to disk. */
export function diskBytes(writes: readonly TierWrite[]): number {
  let bytes = 0;
  for (const { value } of writes) bytes += value.byteLength + PAGE_BYTES_PER_CHANGE;
  return bytes;
}

/**
 * For what a failed commit rejects with. The reason comes in a promise beside it, which rejects later: not handled, that
 * would end the process.
 */
export function unavailable(error: unknown): HeadraceError {
  if (error instanceof Error && 'commitError' in error) {
    Promise.resolve(error.commitError).catch(() => undefined);
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new HeadraceError(
    'unavailable',
    `the disk store failed, it is not known what was written: ${reason}`,
  );
}
