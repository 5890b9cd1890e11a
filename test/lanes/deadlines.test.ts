import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { Deadlines } from '../../src/lanes/deadlines.js';
import { PackedRows, packRows, ROW, type Row } from '../../src/lanes/packed-rows.js';

it('tells of each deadline once, when it has passed, and not of those that were met', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.boolean()), { maxLength: 40 }),
      items => {
        const clock = new ManualClock(0);
        const passed: number[] = [];
        const deadlines = new Deadlines<{ deadlineMs: number; index: number }>(clock, item =>
          passed.push(item.index),
        );
        const timed = items.map(([deadlineMs], index) => ({ deadlineMs, index }));
        for (const item of timed) deadlines.add(item);
        timed.forEach((item, index) => {
          if (items[index]?.[1]) deadlines.delete(item);
        });
        for (let now = 0; now < 60; now++) {
          const due = timed.filter((item, index) => item.deadlineMs <= now && !items[index]?.[1]).length;
          deadlines.check();
          expect(passed.length).toBe(due);
          clock.advance(1);
        }
        expect(new Set(passed).size).toBe(passed.length);
      },
    ),
    { numRuns: 50 },
  );
});

it('packs rows so that each comes out as it went in, on a multiple of 8', () => {
  const row: fc.Arbitrary<Row> = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.constant(ROW.notFound),
    fc.constant(ROW.unavailable),
  );
  fc.assert(
    fc.property(fc.array(row, { maxLength: 30 }), fc.nat(), fc.nat(), (rows, a, b) => {
      const buffer = packRows(rows);
      const first = rows.length === 0 ? 0 : a % rows.length;
      const count = rows.length === 0 ? 0 : b % (rows.length - first + 1);
      const packed = new PackedRows(buffer, rows.length, first, count);
      for (let index = 0; index < count; index++) {
        const expected = rows[first + index] as Row;
        expect(packed.record(index)).toEqual(typeof expected === 'number' ? undefined : expected);
        expect(packed.status(index)).toBe(typeof expected === 'number' ? expected : ROW.present);
        expect(packed.offset(index) % 8).toBe(0);
      }
    }),
  );
});

it('packs a record that many rows name once', () => {
  const record = new Uint8Array(1_000_000).fill(7);
  const other = Uint8Array.of(1, 2, 3);
  const rows: Row[] = Array.from({ length: 2_000 }, (_, row) => (row === 5 ? other : record));
  const buffer = packRows(rows);
  expect(buffer.byteLength).toBeLessThan(1_100_000);
  const packed = new PackedRows(buffer, rows.length);
  expect(packed.record(5)).toEqual(other);
  for (const row of [0, 4, 6, 1_999]) expect(Buffer.compare(packed.record(row) ?? other, record)).toBe(0);
});
