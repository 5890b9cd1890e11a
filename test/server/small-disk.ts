/**
 * A disk that is small enough to be filled: a file system in memory, mounted in a mount namespace that only the
 * processes started through `wrapper` see. Needs root and Linux.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDataDir } from './server-process.js';

export class SmallDisk {
  /** The mount point, as those inside see it. */
  readonly directory: string;
  /** Becomes whatever command follows it, inside. */
  readonly wrapper: readonly string[];
  readonly #holder: ChildProcess;
  readonly #seenFromOutside: string;

  /** The disk, or why there can be none here. */
  static async open(mebibytes: number): Promise<SmallDisk | string> {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'a small disk needs Linux and root';
    const directory = makeDataDir();
    const mount = `mount -t tmpfs -o size=${mebibytes}m tmpfs "$0" && echo mounted && exec cat`;
    const holder = spawn('unshare', ['--mount', 'sh', '-c', mount, directory], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const said = Promise.race([
      once(holder.stdout, 'data').then(String),
      once(holder, 'error').then(String),
      once(holder, 'exit').then(() => 'unshare or mount is not allowed here'),
    ]);
    const answer = (await said).trim();
    return answer === 'mounted' ? new SmallDisk(holder, directory) : answer;
  }

  private constructor(holder: ChildProcess, directory: string) {
    this.directory = directory;
    this.#holder = holder;
    this.#seenFromOutside = `/proc/${holder.pid}/root${directory}`;
    this.wrapper = ['nsenter', `--target=${holder.pid}`, '--mount', `--wd=${process.cwd()}`];
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#seenFromOutside);
    return bavail * bsize;
  }

  /** Leaves so many bytes free. */
  fill(leaveBytes: number): void {
    const bytes = this.freeBytes - leaveBytes;
    if (bytes > 0) writeFileSync(this.#ballast, new Uint8Array(bytes), { flag: 'a' });
  }

  empty(): void {
    rmSync(this.#ballast, { force: true });
  }

  close(): void {
    this.#holder.kill();
  }

  get #ballast(): string {
    return join(this.#seenFromOutside, 'ballast');
  }
}
