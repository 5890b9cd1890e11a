import { describe, expect, it } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { storageKey } from '../../src/base/keys.js';
import type { WriteOp } from '../../src/lanes/messages.js';
import { invalidate } from '../../src/resolve/invalidator.js';
import { ChaosTier } from '../tiers/chaos-tier.js';
import { laneOver, MapTier, NEVER, putOf, rowsOf, VIEW } from './fixture.js';

function lane(tier: MapTier | ChaosTier = new MapTier()) {
  const parts = laneOver([tier]);
  const write = async (op: WriteOp, body = '') => (await parts.writes.write([op], Buffer.from(body)))[0];
  const put = (id: string, record: object) => {
    const body = JSON.stringify(record);
    return write(putOf(id, 0, body.length), body);
  };
  const remove = (id: string) => write({ kind: 'remove', viewUid: VIEW.uid, id, deadlineMs: NEVER });
  const ask = async (...ids: string[]) => {
    const reply = await parts.reads.read([{ viewUid: VIEW.uid, ids, deadlineMs: NEVER }]);
    return rowsOf(reply, ids.length);
  };
  return { ...parts, write, put, remove, ask };
}

describe('writes', () => {
  it('are versioned by the clock, or as asked, and the larger version wins', async () => {
    const { put, ask } = lane();
    const first = await put('a', { features: { n: 1 } });
    expect(first).toEqual({ kind: 'put', put: { applied: true, version: expect.any(Number) } });
    expect(await put('a', { features: { n: 2 }, version: 7 })).toEqual({
      kind: 'put',
      put: { applied: false, version: first?.kind === 'put' ? first.put.version : 0 },
    });
    expect(await ask('a')).toEqual([1]);
    await put('b', { features: { n: 3 }, version: 7 });
    expect(await put('b', { features: { n: 4 }, version: 8 })).toMatchObject({
      put: { applied: true, version: 8 },
    });
    expect(await ask('b')).toEqual([4]);
  });

  it('name all that is wrong with a record, and leave the others of the message alone', async () => {
    const { writes, ask } = lane();
    const bodies = Buffer.from('{"features":{"n":1}}{"features":{"n":"x","q":1}}{"features":');
    const results = await writes.write([putOf('a', 0, 20), putOf('b', 20, 48), putOf('c', 48, 60)], bodies);
    expect(results.map(result => (result.kind === 'failed' ? result.failure.code : result.kind))).toEqual([
      'put',
      'invalid-record',
      'bad-json',
    ]);
    expect(await ask('a', 'b', 'c')).toEqual([1, 'absent', 'absent']);
  });

  it('of lines count what was applied, stale and failed, and number the errors', async () => {
    const { write, put, ask } = lane();
    await put('old', { features: { n: 1 }, version: 100 });
    const lines = [
      '{"id":"a","features":{"n":1}}',
      '{"id":"old","features":{"n":2},"version":99}',
      '{"id":"b","features":{"n":"no"}}',
      'nonsense',
      '{"id":"c","features":{"n":3}}\r',
    ];
    const chunk = Buffer.from(lines.join('\n'));
    const lineNumbers = Uint32Array.of(11, 12, 13, 14, 20);
    const op = {
      kind: 'ingest',
      viewUid: VIEW.uid,
      chunk,
      lineNumbers,
      flat: false,
      deadlineMs: NEVER,
    } as const;
    const result = await write(op);
    expect(result).toMatchObject({ kind: 'ingest', ingest: { applied: 2, stale: 1, failed: 2 } });
    expect(result?.kind === 'ingest' && result.ingest.errors.map(({ line }) => line)).toEqual([13, 14]);
    expect(await ask('a', 'b', 'c', 'old')).toEqual([1, 'absent', 3, 1]);
  });

  it('report the first 100 lines that are wrong', async () => {
    const { write } = lane();
    const chunk = Buffer.from('x\n'.repeat(150));
    const lineNumbers = Uint32Array.from({ length: 150 }, (_, index) => index + 1);
    const result = await write({
      kind: 'ingest',
      viewUid: VIEW.uid,
      chunk,
      lineNumbers,
      flat: true,
      deadlineMs: NEVER,
    });
    expect(result?.kind === 'ingest' && [result.ingest.failed, result.ingest.errors.length]).toEqual([
      150, 100,
    ]);
  });

  it('reach the shared table only once they are durable', async () => {
    const tier = new ChaosTier(new MapTier());
    const { put, cache } = lane(tier);
    tier.isHeld = true;
    const writing = put('a', { features: { n: 1 } });
    expect(cache.kept.size).toBe(0);
    tier.release();
    await writing;
    expect(cache.kept.size).toBe(1);
  });

  it('that fail are reported, and leave the shared table as it was', async () => {
    const tier = new ChaosTier(new MapTier());
    const { put, ask } = lane(tier);
    await put('a', { features: { n: 1 } });
    tier.failWrites = true;
    expect(await put('a', { features: { n: 2 } })).toMatchObject({
      kind: 'failed',
      failure: { code: 'unavailable' },
    });
    expect(await ask('a')).toEqual([1]);
  });

  it('fail alone when the store fails between two tries of one of them', async () => {
    const tier = new MapTier();
    const { put, writes, ask } = lane(tier);
    await put('ahead', { features: { n: 1 }, version: 9e15 });
    const store = tier.putMany.bind(tier);
    let calls = 0;
    tier.putMany = async batch => {
      if (++calls > 1) throw new HeadraceError('disk-full', 'nothing was written');
      return store(batch);
    };
    const body = Buffer.from('{"features":{"n":2}}');
    const ops = ['ahead', 'new'].map(id => putOf(id, 0, body.length));
    expect(await writes.write(ops, body)).toEqual([
      { kind: 'failed', failure: { code: 'disk-full', message: 'nothing was written', errors: undefined } },
      { kind: 'put', put: { version: expect.any(Number), applied: true } },
    ]);
    expect(await ask('ahead', 'new')).toEqual([1, 2]);
  });

  it('that lose against the store drop the older copy that a dead lane left in the shared table', async () => {
    const tier = new MapTier();
    const { put, ask, cache } = lane(tier);
    await put('a', { features: { n: 1 }, version: 1 });
    const old = cache.get(VIEW.slot, 'a') as Uint8Array;
    await put('a', { features: { n: 2 }, version: 2 });
    cache.kept.set(`${VIEW.slot}/a`, old);
    expect(await put('a', { features: { n: 2 }, version: 2 })).toMatchObject({
      put: { applied: false, version: 2 },
    });
    expect(await ask('a')).toEqual([2]);
  });

  it('past their deadline, or to a view that is gone, do nothing', async () => {
    const { write, clock, views, cache } = lane();
    const body = '{"features":{"n":1}}';
    const late = { ...putOf('a', 0, body.length), deadlineMs: clock.now() };
    expect(await write(late, body)).toMatchObject({ failure: { code: 'deadline' } });
    views.forget(VIEW.uid);
    expect(await write(putOf('a', 0, body.length), body)).toMatchObject({
      failure: { code: 'view-not-found' },
    });
    expect(cache.kept.size).toBe(0);
  });
});

describe('deletes', () => {
  it('hide the record, also one whose version is ahead of the clock', async () => {
    const { put, remove, ask } = lane();
    await put('a', { features: { n: 1 }, version: 2 ** 53 - 2 });
    expect(await remove('a')).toEqual({ kind: 'put', put: { version: 2 ** 53 - 1, applied: true } });
    expect(await ask('a')).toEqual(['absent']);
    expect(await put('a', { features: { n: 2 } })).toMatchObject({ put: { applied: false } });
  });

  it('keep older writes out where there was nothing', async () => {
    const { put, remove, ask } = lane();
    await remove('a');
    expect(await put('a', { features: { n: 1 }, version: 5 })).toMatchObject({ put: { applied: false } });
    expect(await ask('a')).toEqual(['absent']);
  });
});

describe('reads', () => {
  it('ask the tier once for a key, however often and in however many ops it is asked', async () => {
    const tier = new MapTier();
    const { put, reads, cache } = lane(tier);
    await put('a', { features: { n: 1 } });
    cache.kept.clear();
    const op = { viewUid: VIEW.uid, ids: ['a', 'x', 'a'], deadlineMs: NEVER };
    const reply = await reads.read([op, op]);
    expect(rowsOf(reply, 6)).toEqual([1, 'absent', 1, 1, 'absent', 1]);
    expect(tier.asked).toBe(2);
    expect(rowsOf(await reads.read([op]), 3)).toEqual([1, 'absent', 1]);
    expect(tier.asked).toBe(3);
  });

  it('of one cold key, 1,000 at a time, make one question, and leave no flight behind', async () => {
    const inner = new MapTier();
    const tier = new ChaosTier(inner);
    const { put, reads, cache, flights } = lane(tier);
    await put('a', { features: { n: 1 } });
    cache.kept.clear();
    tier.isHeld = true;
    const asking = Array.from({ length: 1_000 }, () =>
      reads.read([{ viewUid: VIEW.uid, ids: ['a'], deadlineMs: NEVER }]),
    );
    expect(flights.size).toBe(1);
    tier.release();
    for (const reply of await Promise.all(asking)) expect(rowsOf(reply, 1)).toEqual([1]);
    expect([tier.reads, inner.asked, flights.size, flights.joined]).toEqual([1, 1, 0, 999]);
  });

  it('are unavailable while the store fails, and are asked anew afterwards', async () => {
    const tier = new ChaosTier(new MapTier());
    const { put, ask, cache, flights, chain } = lane(tier);
    await put('a', { features: { n: 1 } });
    tier.failReads = true;
    expect(await ask('a', 'b')).toEqual([1, 'unavailable']);
    cache.kept.clear();
    expect(await ask('a', 'b')).toEqual(['unavailable', 'unavailable']);
    tier.failReads = false;
    expect(await ask('a', 'b')).toEqual([1, 'absent']);
    expect([flights.size, chain.failures]).toEqual([0, 2]);
  });

  it('never serve a broken record: in the store of record it is UNAVAILABLE, and counted', async () => {
    const tier = new ChaosTier(new MapTier());
    const { put, ask, cache, chain } = lane(tier);
    await put('a', { features: { n: 1 } });
    cache.kept.clear();
    tier.corrupts = true;
    expect(await ask('a')).toEqual(['unavailable']);
    expect([chain.corrupt, cache.kept.size]).toEqual([1, 0]);
  });

  it('do not serve what has expired', async () => {
    const { put, ask, clock, cache } = lane();
    await put('a', { features: { n: 1 }, ttl: '1s' });
    cache.kept.clear();
    clock.advance(999);
    expect(await ask('a')).toEqual([1]);
    cache.kept.clear();
    clock.advance(1);
    expect(await ask('a')).toEqual(['absent']);
  });

  it('that were slow do not hide a write that was faster, nor bring back what was deleted', async () => {
    const tier = new ChaosTier(new MapTier());
    const { put, remove, ask, cache } = lane(tier);
    await put('a', { features: { n: 1 } });
    await put('b', { features: { n: 1 } });
    cache.kept.clear();
    tier.isHeld = true;
    const slow = ask('a', 'b');
    tier.isHeld = false;
    await put('a', { features: { n: 2 } });
    await remove('b');
    tier.release();
    await slow;
    expect(await ask('a', 'b')).toEqual([2, 'absent']);
  });

  it('of a view that is forgotten meanwhile leave nothing in its slot', async () => {
    const tier = new ChaosTier(new MapTier());
    const { put, ask, cache, views } = lane(tier);
    await put('a', { features: { n: 1 } });
    cache.kept.clear();
    tier.isHeld = true;
    const slow = ask('a');
    views.forget(VIEW.uid);
    tier.release();
    await slow;
    expect(cache.kept.size).toBe(0);
  });

  it('fill the tiers above from the one below, and pass over one that fails', async () => {
    const [upper, lower] = [new MapTier(), new MapTier()];
    const flaky = new ChaosTier(upper);
    const { writes, reads, cache, chain } = laneOver([flaky, lower]);
    const body = Buffer.from('{"features":{"n":1}}');
    await writes.write([putOf('a', 0, body.length)], body);
    expect([upper.kept.size, lower.kept.size]).toEqual([1, 1]);
    upper.kept.clear();
    cache.kept.clear();
    flaky.failReads = true;
    const ask = async () =>
      rowsOf(await reads.read([{ viewUid: VIEW.uid, ids: ['a', 'x'], deadlineMs: NEVER }]), 2);
    expect(await ask()).toEqual([1, 'absent']);
    expect(upper.kept.has(storageKey(VIEW.uid, 'a').toString('hex'))).toBe(true);
    expect(chain.failures).toBe(1);
  });
});

describe('invalidation', () => {
  it.each([
    [{ kind: 'ids', ids: ['a1', 'none', 'other'] } as const, ['b1', 'b2', 'é']],
    [{ kind: 'prefix', prefix: 'b' } as const, ['a1', 'é']],
    [{ kind: 'prefix', prefix: '' } as const, []],
    [{ kind: 'tags', tags: ['odd'] } as const, ['b2', 'é']],
    [{ kind: 'pattern', pattern: '*1' } as const, ['b2', 'é']],
    [{ kind: 'pattern', pattern: 'é' } as const, ['a1', 'b1', 'b2']],
    [{ kind: 'all' } as const, []],
  ])('of %o leaves %o', async (spec, left) => {
    const { put, cache, inspector, ask } = lane();
    await put('a1', { features: { n: 1 }, tags: ['odd', 'a'] });
    await put('b1', { features: { n: 1 }, tags: ['odd'] });
    await put('b2', { features: { n: 1 }, tags: ['even'] });
    await put('é', { features: { n: 1 } });
    const removed = await invalidate(cache, inspector, VIEW.slot, spec, async () => undefined);
    expect([...cache.kept.keys()].map(name => name.slice(2)).sort()).toEqual([...left].sort());
    expect(removed).toBe(4 - left.length);
    expect(await ask('a1', 'b1')).toEqual([1, 1]);
  });
});
