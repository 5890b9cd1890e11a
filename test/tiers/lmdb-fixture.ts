import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.js';
import { DiskGuard } from '../../src/tiers/disk-guard.js';
import { LmdbTier } from '../../src/tiers/lmdb.js';
import { type LmdbEnvironment, openLmdb } from '../../src/tiers/lmdb-environment.js';

export interface OpenLmdb {
  readonly directory: string;
  readonly environment: LmdbEnvironment;
  readonly tier: LmdbTier;
  close(): Promise<void>;
}

/** A store in a directory of its own, or in the one given; `close` removes it. */
export async function openTestLmdb(
  directory = mkdtempSync(join(tmpdir(), 'headrace-lmdb-')),
  freeBytes: () => number = () => 2 ** 50,
): Promise<OpenLmdb> {
  const environment = openLmdb(directory);
  const tier = new LmdbTier(environment, new DiskGuard({ directory, clock: systemClock, freeBytes }));
  const close = async () => {
    await environment.close();
    rmSync(directory, { recursive: true, force: true });
  };
  return { directory, environment, tier, close };
}
