/** Replies of a lane are bounded: rows that do not fit are asked for again, until each has come once. */
import { expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createTable, shapeOf } from '../../src/l1/layout.js';
import { TableReader } from '../../src/l1/table-reader.js';
import type { Lanes } from '../../src/lanes/lanes.js';
import type { ReadOp } from '../../src/lanes/messages.js';
import { PackedRows, packRows, ROW } from '../../src/lanes/packed-rows.js';
import { RecordStore } from '../../src/lookup/record-store.js';
import { type View, viewOf } from '../../src/views/schema.js';
import { laneOver, MapTier, VIEW } from '../resolve/fixture.js';

const MEBIBYTE = 2 ** 20;
const REPLY_BYTES_MAX = 16 * MEBIBYTE;
const view = viewOf(VIEW);

/** Has one large record under every key. */
class LargeTier extends MapTier {
  record: Uint8Array = new Uint8Array(0);
  lastKeys = 0;

  override getMany(keys: readonly Uint8Array[]): Uint8Array[] {
    this.lastKeys = keys.length;
    return keys.map(() => this.record.slice());
  }
}

function emptyTable(): TableReader {
  const shape = shapeOf({ bytes: 2 * MEBIBYTE, caches: 2 });
  const start = { nowMs: Date.now(), hashKey: Int32Array.of(1, 2, 3, 4) };
  return new TableReader(createTable(shape, start), 0);
}

interface Asked {
  readonly op: ReadOp;
  readonly answer: (rows: PackedRows) => void;
}

/** A store over one lane in this thread, whose shared table keeps nothing; ops of one turn are one message. */
async function largeRecords() {
  const tier = new LargeTier();
  const lane = laneOver([tier]);
  const body = Buffer.from(JSON.stringify({ features: { text: 'x'.repeat(MEBIBYTE - 2048) } }));
  await lane.writes.write(
    [
      {
        kind: 'put',
        viewUid: VIEW.uid,
        id: 'a',
        start: 0,
        end: body.length,
        flat: false,
        deadlineMs: Infinity,
      },
    ],
    body,
  );
  tier.record = lane.cache.get(VIEW.slot, 'a') as Uint8Array;
  lane.cache.empty();
  lane.cache.put = () => undefined;

  const figures = { reads: 0, replies: 0, bytesBeforeLastSlice: 0 };
  let queue: Asked[] = [];
  const answerAll = async () => {
    const asked = queue;
    queue = [];
    const { rows } = await lane.reads.read(asked.map(({ op }) => op));
    const total = asked.reduce((sum, { op }) => sum + op.ids.length, 0);
    figures.replies++;
    const before = rows.byteLength - total * 16 - tier.lastKeys * tier.record.byteLength;
    figures.bytesBeforeLastSlice = Math.max(figures.bytesBeforeLastSlice, before);
    let first = 0;
    for (const { op, answer } of asked) {
      answer(new PackedRows(rows, total, first, op.ids.length));
      first += op.ids.length;
    }
  };
  const read = (_lane: number, { uid }: View, ids: readonly string[]) => {
    figures.reads++;
    if (queue.length === 0) setImmediate(() => void answerAll());
    return new Promise<PackedRows>(answer => {
      queue.push({ op: { viewUid: uid, ids, deadlineMs: Infinity }, answer });
    });
  };
  const lanes = { laneOf: () => 0, read } as unknown as Lanes;
  const store = new RecordStore({
    table: emptyTable(),
    lanes,
    clock: systemClock,
    deadlineMs: 60_000,
  });
  return { store, tier, figures };
}

it('gives each of 300 rows of a mebibyte once, in replies that pass their bound by a slice at most', async () => {
  const { store, tier, figures } = await largeRecords();
  const ids = Array.from({ length: 300 }, (_, n) => `id${n}`);
  const arrived = new Array<number>(ids.length).fill(0);
  const lengths = new Set<number>();
  const outcome = await store.lookup(view, ids, {
    gather: () => 0,
    present(row, _bytes, _offset, length) {
      arrived[row]!++;
      lengths.add(length);
    },
    absent: row => expect.fail(`row ${row} is absent`),
    unavailable: row => expect.fail(`row ${row} is unavailable`),
  });
  expect(outcome).toEqual({ count: ids.length, failure: undefined });
  expect(arrived).toEqual(ids.map(() => 1));
  expect([...lengths]).toEqual([tier.record.byteLength]);
  expect(figures.replies).toBeGreaterThan(2);
  expect(figures.bytesBeforeLastSlice).toBeLessThanOrEqual(REPLY_BYTES_MAX + tier.record.byteLength);
});

it('asks again for a single record that was deferred behind others', async () => {
  const { store, tier, figures } = await largeRecords();
  const ids = Array.from({ length: 300 }, (_, n) => `id${n}`);
  const sink = {
    gather: () => 0,
    present: () => undefined,
    absent: () => undefined,
    unavailable: () => undefined,
  };
  const lookup = store.lookup(view, ids, sink);
  const record = await store.fetch(view, 'single');
  expect(record?.byteLength).toBe(tier.record.byteLength);
  await lookup;
  // The lookup needs a read a reply; what is over is the fetch's, more than the one that it begins with.
  expect(figures.reads).toBeGreaterThan(figures.replies + 1);
});

it('says why rows are unavailable when the tiers of the lane failed, not the lane', async () => {
  const lanes = {
    laneOf: () => 0,
    read: async () => new PackedRows(packRows([ROW.notFound, ROW.unavailable]), 2),
  } as unknown as Lanes;
  const store = new RecordStore({ table: emptyTable(), lanes, clock: systemClock, deadlineMs: 1_000 });
  const seen: string[] = [];
  const outcome = await store.lookup(view, ['a', 'b'], {
    gather: () => 0,
    present: () => undefined,
    absent: row => seen.push(`${row} absent`),
    unavailable: row => seen.push(`${row} unavailable`),
  });
  expect(seen).toEqual(['0 absent', '1 unavailable']);
  expect(outcome).toMatchObject({ count: 2, failure: { code: 'unavailable' } });
});
