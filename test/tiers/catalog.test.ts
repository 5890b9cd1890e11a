import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { Catalog } from '../../src/tiers/catalog.js';
import { DiskGuard } from '../../src/tiers/disk-guard.js';
import { catalogSuite, draft, view } from './catalog-suite.js';
import { openTestLmdb } from './lmdb-fixture.js';

catalogSuite({
  name: 'LMDB',
  shared: false,
  place: async () => {
    const { environment, close } = await openTestLmdb();
    return { open: () => new Catalog(environment), close };
  },
});

it('keeps views, dropped views and uids over a restart', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'headrace-catalog-'));
  const first = await openTestLmdb(directory);
  const catalog = new Catalog(first.environment);
  await catalog.create(draft('b'), 1);
  await catalog.create(draft('a'), 1);
  await catalog.put(view('b', 1, 2));
  await catalog.create(draft('gone'), 1);
  await catalog.drop(view('gone', 3));
  await first.environment.close();

  const second = await openTestLmdb(directory);
  const again = new Catalog(second.environment);
  expect(await again.views()).toStrictEqual([view('a', 2), view('b', 1, 2)]);
  expect(await again.dropped()).toEqual([3]);
  expect((await again.create(draft('next'), 1)).view.uid).toBe(4);
  await second.close();
});

it('refuses changes while the disk is full, and takes them when it is not any more', async () => {
  const { directory, environment, close } = await openTestLmdb();
  let freeBytes = 2 ** 40;
  const guard = new DiskGuard({ directory, clock: systemClock, freeBytes: () => freeBytes });
  const catalog = new Catalog(environment, guard);
  await catalog.create(draft('a'), 1);
  freeBytes = 0;
  const full = { code: 'disk-full' };
  await expect(catalog.create(draft('b'), 1)).rejects.toMatchObject(full);
  await expect(catalog.put(view('a', 1, 2))).rejects.toMatchObject(full);
  await expect(catalog.drop(view('a', 1))).rejects.toMatchObject(full);
  expect(await catalog.views()).toEqual([view('a', 1)]);
  freeBytes = 2 ** 40;
  expect(await catalog.create(draft('b'), 1)).toEqual({ view: view('b', 2), won: true });
  await close();
});
