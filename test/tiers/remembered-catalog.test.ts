import { expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { HeadraceError } from '../../src/base/errors.js';
import { Catalog } from '../../src/tiers/catalog.js';
import { DiskGuard } from '../../src/tiers/disk-guard.js';
import { RememberedCatalog } from '../../src/tiers/remembered-catalog.js';
import { draft } from './catalog-suite.js';
import { openTestLmdb } from './lmdb-fixture.js';

/** A catalog that can go away. */
class FarCatalog extends Catalog {
  isAway = false;

  override async views() {
    if (this.isAway) throw new HeadraceError('unavailable', 'it is away');
    return super.views();
  }
}

async function open(freeBytes = Number.MAX_SAFE_INTEGER) {
  const [far, near] = [await openTestLmdb(), await openTestLmdb()];
  const store = new FarCatalog(far.environment);
  const reasons: unknown[] = [];
  const guard = new DiskGuard({
    directory: '/',
    clock: systemClock,
    freeBytesMin: 1,
    freeBytes: () => freeBytes,
  });
  const options = {
    environment: near.environment,
    guard,
    onRemembered: (reason: unknown) => reasons.push(reason),
  };
  const close = () => Promise.all([far.close(), near.close()]);
  return { store, reasons, again: () => new RememberedCatalog(store, options), close };
}

it('gives what was last read or changed while the store is away, and says why', async () => {
  const { store, again, reasons, close } = await open();
  const catalog = again();
  await catalog.create(draft('a'), 1);
  const { view } = await catalog.create(draft('b'), 1);
  await catalog.put({ ...view, ttlMs: 7 });
  await catalog.drop({ name: 'a', uid: 1 });
  store.isAway = true;
  expect(await again().views()).toStrictEqual([{ ...view, ttlMs: 7 }]);
  expect(reasons).toMatchObject([{ message: 'it is away' }]);
  store.isAway = false;
  // Another server makes one.
  await store.create(draft('c'), 1);
  expect((await again().views()).map(({ name }) => name)).toEqual(['b', 'c']);
  store.isAway = true;
  expect((await again().views()).map(({ name }) => name)).toEqual(['b', 'c']);
  await close();
});

it('has nothing to give before it was read, or when it cannot know what a change has left', async () => {
  const { store, again, close } = await open();
  store.isAway = true;
  await expect(again().views()).rejects.toThrow('it is away');
  store.isAway = false;
  await again().create(draft('a'), 1);
  store.isAway = true;
  await again().create(draft('b'), 1);
  await expect(again().views()).rejects.toThrow('it is away');
  await close();
});

it('does not pass what it remembers for what stands once it has read the store', async () => {
  const { store, again, close } = await open();
  await again().create(draft('a'), 1);
  store.isAway = true;
  const catalog = again();
  expect(await catalog.views()).toHaveLength(1);
  store.isAway = false;
  await store.create(draft('b'), 1);
  expect(await catalog.views()).toHaveLength(2);
  store.isAway = true;
  await expect(catalog.views()).rejects.toThrow('it is away');
  await close();
});

it('serves with a full disk', async () => {
  const { store, again, close } = await open(0);
  await again().create(draft('a'), 1);
  expect(await again().views()).toHaveLength(1);
  store.isAway = true;
  await expect(again().views()).rejects.toThrow('it is away');
  await close();
});
