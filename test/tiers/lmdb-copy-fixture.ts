/** Copies in an environment of their own or in one that is there, for tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.js';
import { DiskGuard } from '../../src/tiers/disk-guard.js';
import { copyEras, LmdbCopyTier } from '../../src/tiers/lmdb-copy.js';
import { type LmdbEnvironment, openLmdb } from '../../src/tiers/lmdb-environment.js';

export interface OpenCopies {
  readonly directory: string;
  readonly environment: LmdbEnvironment;
  readonly tier: LmdbCopyTier;
  /** Another lane of the same process: the same eras, the same file. */
  lane(bytesMax?: number): LmdbCopyTier;
  close(): Promise<void>;
}

export interface CopyTestOptions {
  readonly directory?: string;
  readonly bytesMax?: number;
  readonly eras?: SharedArrayBuffer;
  readonly freeBytes?: () => number;
  /** Puts something between the tier and the environment. */
  readonly wrap?: (environment: LmdbEnvironment) => LmdbEnvironment;
}

export async function openCopies(options: CopyTestOptions = {}): Promise<OpenCopies> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'headrace-copy-'));
  const environment = openLmdb(directory);
  const freeBytes = options.freeBytes ?? (() => 2 ** 50);
  const eras = options.eras ?? copyEras();
  const lane = (bytesMax = options.bytesMax ?? 64 * 1024 * 1024) =>
    new LmdbCopyTier({
      environment: options.wrap?.(environment) ?? environment,
      guard: new DiskGuard({ directory, clock: systemClock, freeBytes }),
      clock: systemClock,
      eras,
      bytesMax,
    });
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= environment.close().finally(() => rmSync(directory, { recursive: true, force: true }));
    return closing;
  };
  return { directory, environment, tier: lane(), lane, close };
}
