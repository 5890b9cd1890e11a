/**
 * Refuses writes before the disk is full: LMDB ends the whole process when a page it has promised cannot be written.
 *
 * statfs costs about 2 µs; it is asked again after some time or after some bytes, whichever comes first, and each time
 * the last answer was close to the limit.
 */
import { mkdirSync, statfsSync } from 'node:fs';
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';

export const DISK_FREE_MIN_DEFAULT = 256 * 1024 * 1024;

const ASK_AGAIN_MS = 250;
const ASK_AGAIN_BYTES = 16 * 1024 * 1024;

export interface DiskGuardOptions {
  readonly directory: string;
  readonly clock: Clock;
  /** Bytes that stay free whatever is written. */
  readonly freeBytesMin?: number;
  /** Free bytes of the file system that holds the directory; statfs unless told otherwise. */
  readonly freeBytes?: (directory: string) => number;
}

export class DiskGuard {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #freeBytesMin: number;
  readonly #freeBytes: (directory: string) => number;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  /** What was free when asked, less what was let through since. */
  #free = 0;
  #passed = 0;

  constructor(options: DiskGuardOptions) {
    this.#directory = options.directory;
    this.#clock = options.clock;
    this.#freeBytesMin = options.freeBytesMin ?? DISK_FREE_MIN_DEFAULT;
    this.#freeBytes = options.freeBytes ?? freeBytesOf;
    mkdirSync(this.#directory, { recursive: true });
  }

  /**
   * Lets a batch through that may take `bytes` on disk.
   * @throws HeadraceError `disk-full`; nothing has been written then.
   */
  check(bytes: number): void {
    const now = this.#clock.now();
    const needed = Math.max(this.#freeBytesMin, bytes);
    if (
      now - this.#askedAtMs >= ASK_AGAIN_MS ||
      now < this.#askedAtMs ||
      this.#passed + bytes > ASK_AGAIN_BYTES ||
      this.#free - bytes < 2 * needed
    ) {
      this.#free = this.#freeBytes(this.#directory);
      this.#askedAtMs = now;
      this.#passed = 0;
    }
    if (this.#free < needed) throw this.#full(this.#free, needed);
    this.#free -= bytes;
    this.#passed += bytes;
  }

  /**
   * Lets through what is small, or frees space in the end, and may write `bytes`: into the space that is kept free, or
   * else a disk could not be made emptier once that is reached.
   * @throws HeadraceError `disk-full`; nothing has been written then.
   */
  checkReserve(bytes: number): void {
    const free = this.#freeBytes(this.#directory);
    if (free < bytes) throw this.#full(free, bytes);
  }

  #full(free: number, needed: number): HeadraceError {
    return new HeadraceError(
      'disk-full',
      `${Math.floor(free / 1048576)} MiB are free on the disk of ${this.#directory}, ` +
        `${Math.ceil(needed / 1048576)} MiB are needed; nothing was written`,
    );
  }
}

function freeBytesOf(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}
