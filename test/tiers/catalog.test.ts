import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Catalog } from '../../src/tiers/catalog.js';
import type { StoredView } from '../../src/views/schema.js';
import { openTestLmdb } from './lmdb-fixture.js';

function stored(name: string, uid: number, schema = 1): StoredView {
  return {
    name,
    uid,
    slot: uid - 1,
    schema,
    entity: 'doc',
    ttlMs: 1_000,
    features: Array.from({ length: schema }, (_, n) => [`f${n}`, 'float32'] as const),
    l1Bytes: undefined,
    eviction: 'lru',
  };
}

it('keeps views, dropped views and uids over a restart', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'headrace-catalog-'));
  const first = await openTestLmdb(directory);
  const catalog = new Catalog(first.environment);
  expect([catalog.nextUid, catalog.views(), catalog.dropped()]).toEqual([1, [], []]);
  await catalog.put(stored('b', 1));
  await catalog.put(stored('a', 2));
  await catalog.put(stored('b', 1, 2));
  await catalog.put(stored('gone', 3));
  await catalog.drop(stored('gone', 3));
  await first.environment.close();

  const second = await openTestLmdb(directory);
  const again = new Catalog(second.environment);
  expect(again.views()).toStrictEqual([stored('a', 2), stored('b', 1, 2)]);
  expect(again.nextUid).toBe(4);
  expect(again.dropped()).toEqual([3]);
  await again.erased(3);
  expect(again.dropped()).toEqual([]);
  await second.close();
});

it('does not drop a newer view of the same name', async () => {
  const { environment, close } = await openTestLmdb();
  const catalog = new Catalog(environment);
  await catalog.put(stored('a', 5));
  await catalog.drop(stored('a', 4));
  expect(catalog.views()).toEqual([stored('a', 5)]);
  await close();
});
