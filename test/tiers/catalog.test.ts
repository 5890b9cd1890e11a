import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Catalog } from '../../src/tiers/catalog.js';
import type { CatalogedView } from '../../src/views/schema.js';
import { openTestLmdb } from './lmdb-fixture.js';

function draft(name: string, schema = 1): Omit<CatalogedView, 'uid'> {
  return {
    name,
    schema,
    entity: 'doc',
    ttlMs: 1_000,
    features: Array.from({ length: schema }, (_, n) => [`f${n}`, 'float32'] as const),
    l1Bytes: undefined,
    eviction: 'lru',
  };
}

function view(name: string, uid: number, schema = 1): CatalogedView {
  return { ...draft(name, schema), uid };
}

it('keeps views, dropped views and uids over a restart', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'headrace-catalog-'));
  const first = await openTestLmdb(directory);
  const catalog = new Catalog(first.environment);
  expect([await catalog.views(), await catalog.dropped()]).toEqual([[], []]);
  expect(await catalog.create(draft('b'), 1)).toEqual({ view: view('b', 1), won: true });
  expect(await catalog.create(draft('a'), 1)).toEqual({ view: view('a', 2), won: true });
  expect(await catalog.put(view('b', 1, 2))).toEqual({ view: view('b', 1, 2), won: true });
  expect(await catalog.create(draft('gone'), 1)).toEqual({ view: view('gone', 3), won: true });
  await catalog.drop(view('gone', 3));
  await first.environment.close();

  const second = await openTestLmdb(directory);
  const again = new Catalog(second.environment);
  expect(await again.views()).toStrictEqual([view('a', 2), view('b', 1, 2)]);
  expect(await again.dropped()).toEqual([3]);
  await again.erased(3);
  expect(await again.dropped()).toEqual([]);
  expect((await again.create(draft('next'), 1)).view.uid).toBe(4);
  expect((await again.create(draft('later'), 70)).view.uid).toBe(70);
  await second.close();
});

it('lets what is held stand against a change that does not follow from it', async () => {
  const { environment, close } = await openTestLmdb();
  const catalog = new Catalog(environment);
  await catalog.create(draft('a'), 5);
  expect(await catalog.create({ ...draft('a'), ttlMs: 7 }, 1)).toEqual({ view: view('a', 5), won: false });
  expect(await catalog.put(view('a', 5, 3))).toEqual({ view: view('a', 5), won: false });
  expect(await catalog.put({ ...view('a', 5), features: [['g', 'bool']] })).toMatchObject({ won: false });
  expect(await catalog.put({ ...view('a', 5), ttlMs: 7 })).toMatchObject({ won: true });
  expect(await catalog.put(view('a', 4))).toBeUndefined();
  expect(await catalog.put(view('none', 5))).toBeUndefined();
  await close();
});

it('does not drop a newer view of the same name', async () => {
  const { environment, close } = await openTestLmdb();
  const catalog = new Catalog(environment);
  await catalog.create(draft('a'), 5);
  await catalog.drop(view('a', 4));
  expect(await catalog.views()).toEqual([view('a', 5)]);
  await close();
});
