import { afterEach, describe, expect, it } from 'vitest';
import { Caches } from '../../src/l1/caches.js';
import { Lanes } from '../../src/lanes/lanes.js';
import { ROW } from '../../src/lanes/packed-rows.js';
import { Catalog } from '../../src/tiers/catalog.js';
import { openLmdb } from '../../src/tiers/lmdb-environment.js';
import { catalogedViewOf, storedViewOf } from '../../src/views/schema.js';
import { errorCode, LanesFixture, soon } from './lanes-fixture.js';

let fixture: LanesFixture | undefined;

async function open(...options: Parameters<typeof LanesFixture.open>): Promise<LanesFixture> {
  fixture = await LanesFixture.open(...options);
  return fixture;
}

function tasks({ lanes }: LanesFixture): number[] {
  return lanes.stats().lanes.map(lane => lane.tasks);
}

afterEach(async () => {
  await fixture?.close();
  fixture = undefined;
});

describe('lanes', () => {
  it('write, read and delete records', async () => {
    const f = await open();
    const view = await f.declare();
    expect(await f.write(view, 'a', 1, 7)).toEqual({ version: 7, applied: true });
    expect(await f.write(view, 'a', 2, 7)).toEqual({ version: 7, applied: false });
    expect([await f.read(view, 'a'), await f.read(view, 'b')]).toEqual([1, 'absent']);
    expect((await f.lanes.remove(f.laneOf(view, 'a'), view, 'a', soon())).applied).toBe(true);
    expect(await f.read(view, 'a')).toBe('absent');
  });

  it('put written and fetched records where the front finds them', async () => {
    const f = await open();
    const view = await f.declare();
    await f.write(view, 'a', 41);
    f.reader.key(view.slot, 'a');
    expect(f.reader.get(Date.now())).toBeGreaterThan(0);
    expect(await f.lanes.invalidate(view, { kind: 'all' }, soon())).toBe(1);
    expect(f.reader.get(Date.now())).toBe(-1);
    expect(await f.read(view, 'a')).toBe(41);
    expect(f.reader.get(Date.now())).toBeGreaterThan(0);
  });

  it('get the ops of one turn in one task a lane, reads and writes apart', async () => {
    const f = await open();
    const view = await f.declare();
    const before = tasks(f);
    const ids = Array.from({ length: 200 }, (_, n) => `id-${n}`);
    const results = await Promise.all([
      ...ids.map(id => f.write(view, id, 1)),
      ...ids.map(id => f.lanes.read(f.laneOf(view, id), view, [id, id], soon())),
    ]);
    expect(results.length).toBe(400);
    expect(tasks(f)).toEqual(before.map(count => count + 2));
  });

  it('answer each read of a shared task with its own rows', async () => {
    const f = await open({ count: 1 });
    const view = await f.declare();
    await Promise.all(Array.from({ length: 50 }, (_, n) => f.write(view, `id-${n}`, n)));
    const asks = Array.from({ length: 50 }, (_, n) =>
      Array.from({ length: n % 7 }, (_, k) => `id-${(n + k * 11) % 60}`),
    );
    const answers = await Promise.all(asks.map(ids => f.lanes.read(0, view, ids, soon())));
    answers.forEach((rows, index) => {
      const ids = asks[index] as string[];
      expect(rows.count).toBe(ids.length);
      ids.forEach((id, row) => {
        expect(rows.status(row)).toBe(Number(id.slice(3)) < 50 ? ROW.present : ROW.notFound);
      });
    });
  });

  it('load lines, and say which failed', async () => {
    const f = await open({ count: 1 });
    const view = await f.declare();
    const text = '{"id":"a","n":1}\n{"id":"b","n":"x"}\n{"id":"c","n":3,"other":[]}\n';
    const result = await f.lanes.ingest(
      0,
      view,
      new Uint8Array(Buffer.from(text)),
      Uint32Array.of(5, 6, 9),
      true,
      soon(),
    );
    expect(result).toMatchObject({ applied: 2, stale: 0, failed: 1, errors: [{ line: 6 }] });
    expect([await f.read(view, 'a'), await f.read(view, 'c')]).toEqual([1, 3]);
  });

  it('keep views, records and the next uid over a restart', async () => {
    const first = await LanesFixture.open();
    const view = await first.declare('docs');
    const gone = await first.declare('gone', 'int64', 1);
    await first.write(view, 'a', 1);
    await first.drop(gone);
    expect(await first.read(gone, 'a').catch(errorCode)).toBe('view-not-found');
    await first.lanes.close();
    const second = await open({ dataDir: first.dataDir, count: 1 });
    expect(await second.lanes.catalogedViews()).toEqual([catalogedViewOf(view)]);
    await second.lanes.declare(storedViewOf(view));
    expect((await second.declare('next', 'int64', 1)).uid).toBe(3);
    expect(await second.read(view, 'a')).toBe(1);
  });

  it('leave nothing of a dropped view in its slot once the epoch is raised', async () => {
    const f = await open();
    const old = await f.declare('old');
    await f.write(old, 'a', 1);
    await f.drop(old);
    new Caches(f.table).raiseEpoch(old.slot);
    const next = await f.declare('next');
    expect(next.uid).not.toBe(old.uid);
    expect(await f.read(next, 'a')).toBe('absent');
  });

  it('take the records of a dropped view from the disk', async () => {
    const f = await open();
    const [kept, dropped] = [await f.declare('kept'), await f.declare('dropped', 'int64', 1)];
    for (const view of [kept, dropped]) {
      await Promise.all(Array.from({ length: 100 }, (_, n) => f.write(view, `id-${n}`, n)));
    }
    await f.drop(dropped);
    await f.lanes.close();
    // A restart goes on with what was left.
    const again = await LanesFixture.open({ dataDir: f.dataDir, count: 1 });
    const environment = openLmdb(f.dataDir);
    while ((await new Catalog(environment).dropped()).length > 0)
      await new Promise(resolve => setImmediate(resolve));
    expect(environment.records.getCount()).toBe(100);
    await environment.close();
    await again.close();
  });

  it('refuse writes, and only writes, when the disk is nearly full', async () => {
    const f = await open({ diskFreeMinBytes: 2 ** 52 });
    const view = await f.declare();
    await expect(f.write(view, 'a', 1)).rejects.toMatchObject({ code: 'disk-full' });
    expect(await f.read(view, 'a')).toBe('absent');
  });

  it('do not start without a store', async () => {
    await expect(LanesFixture.open({ dataDir: '/dev/null/data' })).rejects.toThrow(/ENOTDIR/);
  });
});

describe('the operator', () => {
  it('hears of bugs in a lane, whatever was asked, and not of what a client did wrong', async () => {
    const f = await open({ count: 1 });
    const view = await f.declare();
    await expect(f.lanes.read(0, view, ['!bug'], soon())).rejects.toMatchObject({ code: 'internal' });
    const body = Buffer.from('{"features":{"unknown":1}}');
    await expect(f.lanes.write(0, view, 'a', body, soon())).rejects.toMatchObject({ code: 'invalid-record' });
    const message = 'a lane failed: a bug on demand';
    expect(f.events).toEqual([{ kind: 'failed', lane: 0, message }]);
  });

  it('hears of housekeeping that fails', async () => {
    const f = await open();
    await f.lanes.close();
    const environment = openLmdb(f.dataDir);
    await environment.catalog.put('dropped/-1', '');
    await environment.close();
    const again = await LanesFixture.open({ dataDir: f.dataDir, count: 1 });
    while (again.events.length === 0) await new Promise(resolve => setImmediate(resolve));
    expect(again.events[0]).toEqual({
      kind: 'notice',
      level: 'warn',
      lane: 0,
      message: expect.stringContaining('housekeeping failed'),
    });
    await again.close();
  });
});

describe('the bounds of a lane', () => {
  it('refuse at once what is too much, and take again when there is room', async () => {
    const f = await open({ count: 1, opsMax: 10, bytesMax: 1_000 });
    const view = await f.declare();
    const ask = () => f.lanes.read(0, view, ['a'], soon()).then(() => 'answered', errorCode);
    const results = await Promise.all(Array.from({ length: 25 }, ask));
    expect(results.slice(0, 10)).toEqual(new Array(10).fill('answered'));
    expect(results.slice(10)).toEqual(new Array(15).fill('overloaded'));
    expect(await ask()).toBe('answered');
    const body = Buffer.alloc(1_001, ' ');
    await expect(f.lanes.write(0, view, 'a', body, soon())).rejects.toMatchObject({ code: 'overloaded' });
    expect(f.lanes.stats().lanes[0]).toMatchObject({ ops: 0, bytes: 0, refused: 16 });
  });

  it('leave half of it to those who do not wait for an origin', async () => {
    const f = await open({ count: 1, opsMax: 4 });
    const view = await f.declare();
    const ask = () =>
      f.lanes
        .readThrough(0, { viewUid: 99, ids: ['a'], enabled: true, deadlineMs: soon() })
        .then(() => 'answered', errorCode);
    const stuck = [f.lanes.read(0, view, ['!never'], Date.now() + 30)];
    expect(await ask()).toBe('view-not-found');
    stuck.push(f.lanes.read(0, view, ['!never'], Date.now() + 30));
    expect([await ask(), await f.lanes.refresh(0, view, 'a', soon()).catch(errorCode)]).toEqual([
      ...['overloaded', 'overloaded'],
    ]);
    await f.write(view, 'a', 3);
    expect(await f.read(view, 'a')).toBe(3);
    await Promise.allSettled(stuck);
  });

  it('do not stop a view from being dropped halfway, on disk but not in every lane', async () => {
    const f = await open({ opsMax: 1 });
    const view = await f.declare();
    // Both lanes are full, of reads that are never answered.
    const stuck = [0, 1].map(lane => f.lanes.read(lane, view, ['!never'], soon(500)));
    await f.drop(view);
    expect(await Promise.allSettled(stuck)).toMatchObject(
      [0, 1].map(() => ({ reason: { code: 'deadline' } })),
    );
    await f.lanes.restart(0);
    await f.lanes.restart(1);
  });

  it('let go of a caller at its deadline, but not of the lane’s work', async () => {
    const f = await open({ count: 1, opsMax: 2 });
    const view = await f.declare();
    await expect(f.lanes.read(0, view, ['a'], Date.now() - 1)).rejects.toMatchObject({ code: 'deadline' });
    await expect(f.lanes.read(0, view, ['!never'], Date.now() + 30)).rejects.toMatchObject({
      code: 'deadline',
    });
    expect(f.lanes.stats().lanes[0]?.ops).toBe(1);
    // A stuck task does not stop the others, until the lane is full of them.
    await f.write(view, 'a', 3);
    expect(await f.read(view, 'a')).toBe(3);
    await expect(f.lanes.read(0, view, ['!never'], Date.now() + 30)).rejects.toMatchObject({
      code: 'deadline',
    });
    expect(await f.read(view, 'a').catch(errorCode)).toBe('overloaded');
    expect(f.lanes.stats().late).toBe(2);
  });
});

describe('closing', () => {
  it('drains: takes nothing new, and answers what it has', async () => {
    const f = await open();
    const view = await f.declare();
    const writes = Array.from({ length: 100 }, (_, n) => f.write(view, `id-${n}`, n));
    await Promise.resolve();
    const drained = f.lanes.drain(soon());
    await expect(f.read(view, 'id-0')).rejects.toMatchObject({ code: 'draining' });
    expect(await drained).toBe(true);
    expect((await Promise.all(writes)).every(({ applied }) => applied)).toBe(true);
  });

  it('gives up on what does not end, and fails it', async () => {
    const f = await open({ count: 1 });
    const view = await f.declare();
    const stuck = f.lanes.read(0, view, ['!never'], soon()).catch(errorCode);
    expect(await f.lanes.drain(Date.now() + 30)).toBe(false);
    await f.lanes.close();
    expect(await stuck).toMatch(/draining|unavailable/);
  });

  it('can be done twice, and before anything was asked', async () => {
    const f = await open();
    await f.lanes.close();
    await f.lanes.close();
    expect(f.lanes).toBeInstanceOf(Lanes);
  });
});
