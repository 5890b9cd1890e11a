import fc from 'fast-check';
import * as flatbuffers from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import { ColumnGatherer } from '../../src/lookup/column-gatherer.js';
import { LookupAnswer } from '../../src/lookup/lookup-answer-columns.js';
import { lookupJson } from '../../src/lookup/lookup-answer-json.js';
import { Column as GeneratedColumn } from '../../src/views/generated/headrace/column.js';
import { LookupAnswer as GeneratedAnswer } from '../../src/views/generated/headrace/lookup-answer.js';
import { JsonWriter } from '../../src/views/json-writer.js';
import { RecordEncoder } from '../../src/views/record-codec.js';
import { RecordReader } from '../../src/views/record-reader.js';
import type { Feature, FeatureType } from '../../src/views/schema.js';
import { type Selection, selectFeatures } from '../../src/views/selection.js';
import { openTable, SMALL_SHAPE } from '../l1/table-fixture.js';
import {
  type Cell,
  draftOf,
  jsonCell,
  PATIENCE,
  RUNS,
  seededWords,
  TIMES,
  testView,
} from '../views/arbitrary-records.js';
import { textOf, UTF8 } from '../views/generated-text.js';
import { expectedRow, type Lookup, lookupArbitrary, type Row, recordsOf } from './arbitrary-lookups.js';

const STATUSES = ['PRESENT', 'NOT_FOUND', 'UNAVAILABLE'];

/** Reports the rows last to first, from one scratch buffer that is overwritten at once. */
function gather(answer: LookupAnswer, selection: Selection, lookup: Lookup): void {
  const { rows } = lookup;
  const records = recordsOf(lookup);
  const scratch = new Uint8Array(100_000);
  answer.begin(
    selection,
    rows.map(({ id }) => id),
  );
  for (let row = rows.length - 1; row >= 0; row--) {
    const outcome = rows[row]?.outcome ?? 'unreported';
    const bytes = records[row];
    if (outcome === 'absent' || outcome === 'unavailable') answer[outcome](row);
    if (bytes === undefined) continue;
    scratch.set(bytes, 3 + (row % 5));
    answer.present(row, scratch, 3 + (row % 5), bytes.length);
    scratch.fill(0xee);
  }
  expect(answer.pending).toBe(rows.filter(({ outcome }) => outcome === 'unreported').length);
}

const table = openTable({
  ...SMALL_SHAPE,
  shards: 1,
  buckets: 64,
  segments: 32,
  segmentBytes: 2 ** 16,
  buffers: 1,
});
const tableAnswer = new LookupAnswer(undefined, new ColumnGatherer(table.handle, 0, 0));

/** Puts the records into a table and reads them there, as a lookup does, into a buffer full of an earlier answer. */
function gatherFromTable(answer: LookupAnswer, selection: Selection, lookup: Lookup): void {
  const { rows } = lookup;
  table.caches.raiseEpoch(0);
  const keys = rows.map((_, row) => String(row));
  recordsOf(lookup).forEach((bytes, row) => {
    if (bytes !== undefined) expect(table.writer.put(0, keys[row] ?? '', bytes, Infinity)).toBe('stored');
  });
  answer.bytes.fill(0xee);
  answer.begin(
    selection,
    rows.map(({ id }) => id),
  );
  const { reader } = table;
  for (let from = 0, read = 0; from < keys.length; from += read) {
    read = reader.getMany(0, keys, from, table.clock.now());
    const done = answer.gather(reader, read, from);
    for (let row = 0; row < read; row++) {
      const outcome = rows[from + row]?.outcome ?? 'unreported';
      if ((done & (1 << row)) !== 0) expect(['present', 'older']).toContain(outcome);
      else if (outcome === 'absent' || outcome === 'unavailable') answer[outcome](from + row);
      else if (outcome !== 'unreported')
        answer.present(from + row, reader.bytes, reader.offsetOf(row), reader.lengthOf(row));
    }
    table.reader.bytes.fill(0xee);
  }
  expect(answer.pending).toBe(rows.filter(({ outcome }) => outcome === 'unreported').length);
}

const WAYS = [
  { way: 'row by row', gather, answer: new LookupAnswer() },
  { way: 'from the table', gather: gatherFromTable, answer: tableAnswer },
] as const;

function generatedCell(column: GeneratedColumn, { kind, length }: Feature, row: number): Cell {
  if (column.nullCount() > 0 && ((column.nulls(row >> 3) ?? 0) & (1 << (row & 7))) !== 0) return null;
  switch (kind) {
    case 'bool':
      return column.bools(row) === 1;
    case 'int64':
      return Number(column.int64s(row));
    case 'float32':
      return column.float32s(row);
    case 'float64':
      return column.float64s(row);
    case 'string':
      return textOf(column.strings(row, UTF8));
    case 'bytes':
      return column.bytes(row)?.dataArray()?.slice() ?? null;
    case 'embedding':
      return Array.from({ length }, (_, n) => column.embeddings(row * length + n) ?? 0);
  }
}

function generated(bytes: Uint8Array): GeneratedAnswer {
  const buffer = new flatbuffers.ByteBuffer(bytes);
  expect(buffer.__has_identifier('HRLA')).toBe(true);
  return GeneratedAnswer.getRootAsLookupAnswer(buffer);
}

const answer = new LookupAnswer();
const writer = new JsonWriter();

function jsonOf(of: LookupAnswer): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(lookupJson(writer, of)));
}

/** Cells as JSON.parse gives them, float32 rounded to what it was. */
function rounded(cell: unknown, { kind }: Feature): unknown {
  if (kind === 'float32') return typeof cell === 'number' ? Math.fround(cell) : cell;
  return kind === 'embedding' && Array.isArray(cell) ? cell.map(value => Math.fround(Number(value))) : cell;
}

describe.each(WAYS)('a lookup answers what its rows were, gathered $way,', ({ gather, answer }) => {
  test('as JSON', PATIENCE, () => {
    const property = fc.property(lookupArbitrary, lookup => {
      const selection = selectFeatures(lookup.view, lookup.names);
      gather(answer, selection, lookup);
      const expected = lookup.rows.map(row => expectedRow(lookup, selection, row));
      const json = jsonOf(answer) as { columns: unknown[][] };
      const columns = json.columns.map((cells, n) =>
        cells.map(cell => rounded(cell, selection.features[n] as Feature)),
      );
      expect({ ...json, columns }).toEqual({
        view: 'docs',
        features: lookup.names,
        ids: lookup.rows.map(({ id }) => id),
        statuses: expected.map(({ status }) => STATUSES[status]),
        versions: expected.map(({ version }) => version),
        columns: selection.features.map((_, n) => expected.map(({ cells }) => jsonCell(cells[n]))),
      });
    });
    fc.assert(property, RUNS);
  });

  test('as a FlatBuffer to the generated reader', PATIENCE, () => {
    const property = fc.property(lookupArbitrary, lookup => {
      const selection = selectFeatures(lookup.view, lookup.names);
      const { rows, names } = lookup;
      gather(answer, selection, lookup);
      const expected = rows.map(row => expectedRow(lookup, selection, row));
      const read = generated(answer.finishFlatBuffer());
      expect(read.view()).toBe('docs');
      expect(read.schema()).toBe(lookup.view.schema);
      expect(Array.from({ length: read.featuresLength() }, (_, n) => textOf(read.features(n, UTF8)))).toEqual(
        names,
      );
      expect(Array.from({ length: read.idsLength() }, (_, n) => textOf(read.ids(n, UTF8)))).toEqual(
        rows.map(({ id }) => id),
      );
      expect([...(read.statusesArray() ?? [])]).toEqual(expected.map(({ status }) => status));
      expect(Array.from({ length: read.versionsLength() }, (_, n) => Number(read.versions(n)))).toEqual(
        expected.map(({ version }) => version ?? -1),
      );
      expect(read.columnsLength()).toBe(names.length);
      selection.features.forEach((feature, n) => {
        const column = read.columns(n) ?? new GeneratedColumn();
        const cells = expected.map(row => row.cells[n] ?? null);
        expect(rows.map((_, row) => generatedCell(column, feature, row))).toEqual(cells);
        expect(column.nullCount()).toBe(cells.filter(cell => cell === null).length);
        expect(column.length()).toBe(feature.length);
        if (feature.kind === 'float32') expect(column.float32sArray()?.length).toBe(rows.length);
        if (feature.kind === 'float64') expect(column.float64sArray()?.length).toBe(rows.length);
        // Null places hold zeros, so nothing of an earlier answer shows.
        cells.forEach((cell, row) => {
          if (cell === null && feature.kind === 'float32') expect(column.float32s(row)).toBe(0);
          if (cell === null && feature.kind === 'string') expect(column.strings(row)).toBe('');
          if (cell === null && feature.kind === 'bytes') expect(column.bytes(row)?.dataLength()).toBe(0);
        });
      });
    });
    fc.assert(property, RUNS);
  });
});

function lookupOf(types: readonly FeatureType[], cells: readonly Cell[], count: number): Lookup {
  const view = testView(types.map((type, n) => [`f${n}`, type]));
  const sample = { cells, tags: [], metadata: undefined, times: TIMES };
  const row = (n: number): Row => ({ id: `doc-${n}`, outcome: 'present', sample: 0 });
  const rows = Array.from({ length: count }, (_, n) => row(n));
  return { view, samples: [sample], rows, names: view.columns.map(({ name }) => name), olderFeatures: 1 };
}

describe('a lookup', () => {
  test('answers as the contract shows it', () => {
    const view = testView([
      ['hostrank', 'float32'],
      ['title', 'string'],
    ]);
    const sample = { cells: [0.82, 'Zlib'], tags: [], metadata: undefined, times: TIMES };
    answer.begin(selectFeatures(view), ['a', 'b']);
    answer.absent(1);
    answer.present(0, new RecordEncoder(view).encode(draftOf(view, sample), TIMES));
    expect(Buffer.from(lookupJson(writer, answer)).toString()).toBe(
      '{"view":"docs","features":["hostrank","title"],"ids":["a","b"],"statuses":["PRESENT","NOT_FOUND"],' +
        '"versions":[123456789012345,null],"columns":[[0.82,null],["Zlib",null]]}',
    );
  });

  test('of no ids, and of no features, is answered', () => {
    const { view } = lookupOf(['float32', 'string'], [1, 'x'], 0);
    answer.begin(selectFeatures(view), []);
    expect(jsonOf(answer)).toMatchObject({ ids: [], columns: [[], []] });
    answer.begin(selectFeatures(view, []), ['a']);
    answer.absent(0);
    expect(jsonOf(answer)).toMatchObject({ ids: ['a'], statuses: ['NOT_FOUND'], columns: [] });
    expect(generated(answer.finishFlatBuffer()).idsLength()).toBe(1);
  });

  test('of plain float32 rows comes from the table in one go, with the bytes that row by row has', () => {
    const { view } = lookupOf(['float32', 'float32', 'float32'], [1, 2, 3], 0);
    const encoder = new RecordEncoder(view);
    const words = seededWords(3);
    const ids = Array.from({ length: 100 }, (_, row) => `doc-${row}`);
    table.caches.raiseEpoch(0);
    const plain = new LookupAnswer();
    const selection = selectFeatures(view, ['f2', 'f0']);
    plain.begin(selection, ids);
    tableAnswer.bytes.fill(0xee);
    tableAnswer.begin(selection, ids);
    ids.forEach((id, row) => {
      const cells = [0, 0, 0].map(() => Math.fround(words() / 2 ** 32));
      const record = encoder.encode(
        draftOf(view, { cells, tags: [], metadata: undefined, times: TIMES }),
        TIMES,
      );
      // One in seven is not there: it breaks up the rows that go together.
      if (row % 7 === 3) plain.absent(row);
      else {
        plain.present(row, record);
        table.writer.put(0, id, record, Infinity);
      }
    });
    for (let from = 0, read = 0; from < ids.length; from += read) {
      read = table.reader.getMany(0, ids, from, table.clock.now());
      const done = tableAnswer.gather(table.reader, read, from);
      for (let row = 0; row < read; row++) {
        expect((done & (1 << row)) !== 0).toBe((from + row) % 7 !== 3);
        if ((from + row) % 7 === 3) tableAnswer.absent(from + row);
      }
    }
    expect(Buffer.compare(tableAnswer.finishFlatBuffer(), plain.finishFlatBuffer())).toBe(0);
  });

  test('does not believe a record that is damaged', PATIENCE, () => {
    const { view } = lookupOf(['float32', 'float32', 'int64'], [1, 2, 3], 0);
    const sample = { cells: [0.5, 0.25, 7], tags: [], metadata: undefined, times: TIMES };
    const whole = new RecordEncoder(view).encode(draftOf(view, sample), TIMES).slice();
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    const property = fc.property(damage, fc.nat(whole.length / 4), (bytes, cut) => {
      const record = whole.slice(0, whole.length - 4 * cut);
      for (const [at, byte] of bytes) if (at < record.length) record[at] = byte;
      table.caches.raiseEpoch(0);
      table.writer.put(0, 'a', record, Infinity);
      tableAnswer.begin(selectFeatures(view), ['a']);
      table.reader.getMany(0, ['a'], 0, table.clock.now());
      if (tableAnswer.gather(table.reader, 1, 0) === 0) return;
      const reader = new RecordReader();
      reader.reset(record);
      const read = generated(tableAnswer.finishFlatBuffer());
      expect(reader.tombstone).toBe(false);
      for (const column of [0, 1]) expect(read.columns(column)?.float32s(0)).toBe(reader.float32(column));
    });
    fc.assert(property, RUNS);
  });

  test('takes a row once', () => {
    const { view } = lookupOf(['float32'], [1], 0);
    answer.begin(selectFeatures(view), ['a', 'b']);
    answer.absent(0);
    expect(() => answer.unavailable(0)).toThrowError(/reported once/);
    expect(() => answer.absent(2)).toThrowError(/reported once/);
  });

  test('grows its buffer as strings come in', () => {
    const lookup = lookupOf(['string', 'bytes'], ['é'.repeat(1000), new Uint8Array(3000).fill(7)], 500);
    const fresh = new LookupAnswer();
    gather(fresh, selectFeatures(lookup.view), lookup);
    const read = generated(fresh.finishFlatBuffer());
    for (const row of [0, 250, 499]) {
      expect(read.columns(0)?.strings(row)).toBe('é'.repeat(1000));
      expect(read.columns(1)?.bytes(row)?.dataArray()).toEqual(new Uint8Array(3000).fill(7));
      expect(read.ids(row)).toBe(`doc-${row}`);
    }
  });

  test('that would pass the limit is refused, and the next is answered', () => {
    const tooLarge = expect.objectContaining({ code: 'too-many-ids' });
    const limited = new LookupAnswer(100_000);
    const dense = lookupOf(['float32[100]'], [new Array(100).fill(1)], 300);
    expect(() => gather(limited, selectFeatures(dense.view), dense)).toThrowError(tooLarge);
    const strings = lookupOf(['string'], ['x'.repeat(1000)], 300);
    expect(() => gather(limited, selectFeatures(strings.view), strings)).toThrowError(tooLarge);
    const small = lookupOf(['string'], ['x'], 3);
    gather(limited, selectFeatures(small.view), small);
    expect(jsonOf(limited)).toMatchObject({ columns: [['x', 'x', 'x']] });
    // What no buffer could hold is refused before any memory is asked for.
    const huge = testView(Array.from({ length: 4096 }, (_, n) => [`f${n}`, 'float32[8192]'] as const));
    const ids = new Array<string>(10_000).fill('x');
    expect(() => new LookupAnswer().begin(selectFeatures(huge), ids)).toThrowError(tooLarge);
    expect(() => lookupJson(new JsonWriter(100), limited)).toThrowError(tooLarge);
  });

  test('keeps every value of ten thousand rows', () => {
    const words = seededWords(1);
    const view = testView([
      ['a', 'float32'],
      ['b', 'int64'],
    ]);
    const encoder = new RecordEncoder(view);
    const values = Array.from({ length: 10_000 }, () => [Math.fround(words() / 2 ** 32), words()] as const);
    answer.begin(
      selectFeatures(view),
      values.map((_, n) => String(n)),
    );
    values.forEach((cells, row) => {
      const sample = { cells, tags: [], metadata: undefined, times: TIMES };
      answer.present(row, encoder.encode(draftOf(view, sample), TIMES));
    });
    const { columns } = jsonOf(answer) as { columns: [number[], number[]] };
    expect(columns[0].map(Math.fround)).toEqual(values.map(([a]) => a));
    expect(columns[1]).toEqual(values.map(([, b]) => b));
  });
});
