import fc from 'fast-check';
import * as flatbuffers from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { FeatureRecord } from '../../src/views/generated/headrace/feature-record.js';
import {
  encodeTombstone,
  RecordEncoder,
  recordExpiresAt,
  recordVersion,
  verifyRecord,
} from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { RecordReader } from '../../src/views/record-reader.js';
import type { Feature, FeatureType, View } from '../../src/views/schema.js';
import {
  type Cell,
  draftOf,
  olderView,
  PATIENCE,
  RUNS,
  type Sample,
  sampleArbitrary,
  samplesArbitrary,
  TIMES,
  testView,
} from './arbitrary-records.js';
import { textOf, UTF8 } from './generated-text.js';

/** A feature of a record, as the project's own reader gives it. */
function readCell(record: RecordReader, { kind, index, length, position }: Feature): Cell {
  if (record.isNull(position)) return null;
  if (kind !== 'embedding') {
    const cell = record[kind](index);
    return cell instanceof Uint8Array ? cell.slice() : cell;
  }
  const floats = new Float32Array(length);
  return record.embedding(index, length, floats) ? [...floats] : null;
}

/** The same by the generated reader of the schema, as clients have it. */
function generatedCell(record: FeatureRecord, { kind, index, length, position }: Feature): Cell {
  if (((record.nulls(position >> 3) ?? 0) & (1 << (position & 7))) !== 0) return null;
  switch (kind) {
    case 'bool':
      return index < record.boolsLength() ? record.bools(index) === 1 : null;
    case 'int64':
      return index < record.int64sLength() ? Number(record.int64s(index)) : null;
    case 'float32':
      return index < record.float32sLength() ? record.float32s(index) : null;
    case 'float64':
      return index < record.float64sLength() ? record.float64s(index) : null;
    case 'string':
      return index < record.stringsLength() ? textOf(record.strings(index, UTF8)) : null;
    case 'bytes':
      return index < record.bytesLength() ? (record.bytes(index)?.dataArray()?.slice() ?? null) : null;
    case 'embedding': {
      if (index + length > record.embeddingsLength()) return null;
      return Array.from({ length }, (_, place) => record.embeddings(index + place) ?? 0);
    }
  }
}

function generated(bytes: Uint8Array): FeatureRecord {
  const buffer = new flatbuffers.ByteBuffer(bytes);
  expect(FeatureRecord.bufferHasIdentifier(buffer)).toBe(true);
  return FeatureRecord.getRootAsFeatureRecord(buffer);
}

function readerOf(bytes: Uint8Array): RecordReader {
  const record = new RecordReader();
  record.reset(bytes);
  return record;
}

/** The bytes at an offset that is not a multiple of 8, as they come from shared memory or a store. */
function elsewhere(bytes: Uint8Array): Uint8Array {
  const moved = new Uint8Array(bytes.length + 16).fill(0xee);
  moved.set(bytes, 5);
  return moved.subarray(5, 5 + bytes.length);
}

function expectSample(bytes: Uint8Array, view: View, sample: Sample): void {
  const record = readerOf(elsewhere(bytes));
  const { version, writtenAt, freshUntil, expiresAt, schema, tombstone } = record;
  expect({ version, writtenAt, freshUntil, expiresAt }).toEqual(sample.times);
  expect({ schema, tombstone }).toEqual({ schema: view.schema, tombstone: false });
  expect(view.columns.map(feature => readCell(record, feature))).toEqual(sample.cells);
  expect(record.tags()).toEqual(sample.tags);
  expect(record.metadata()).toBe(sample.metadata ?? null);
}

describe('records', () => {
  test('read back as they were encoded', PATIENCE, () => {
    const property = fc.property(samplesArbitrary, ({ view, samples }) => {
      const encoder = new RecordEncoder(view);
      const draft = new RecordDraft(view);
      // All are encoded before the first is read: records share a slab.
      const records = samples.map(sample => encoder.encode(draftOf(view, sample, draft), sample.times));
      records.forEach((bytes, n) => {
        const sample = samples[n];
        if (sample === undefined) return;
        expect(verifyRecord(bytes)).toBe(true);
        expect(recordVersion(bytes)).toBe(sample.times.version);
        expect(recordExpiresAt(bytes)).toBe(sample.times.expiresAt);
        expectSample(bytes, view, sample);
      });
    });
    fc.assert(property, RUNS);
  });

  test('are FlatBuffers to the generated reader', PATIENCE, () => {
    const property = fc.property(sampleArbitrary, ({ view, sample }) => {
      const record = generated(new RecordEncoder(view).encode(draftOf(view, sample), sample.times));
      expect(Number(record.version())).toBe(sample.times.version);
      expect(Number(record.writtenAt())).toBe(sample.times.writtenAt);
      expect(Number(record.freshUntil())).toBe(sample.times.freshUntil);
      expect(Number(record.expiresAt())).toBe(sample.times.expiresAt);
      expect(record.schema()).toBe(view.schema);
      expect(record.tombstone()).toBe(false);
      expect(view.columns.map(feature => generatedCell(record, feature))).toEqual(sample.cells);
      expect(Array.from({ length: record.tagsLength() }, (_, n) => textOf(record.tags(n, UTF8)))).toEqual(
        sample.tags,
      );
      const metadata = record.metadata(UTF8);
      expect(metadata && textOf(metadata)).toBe(sample.metadata ?? null);
      // Typed arrays over the columns need each to lie at a multiple of its size.
      expect(record.float64sArray()?.length ?? 0).toBe(view.widths.float64);
      expect(record.float32sArray()?.length ?? 0).toBe(view.widths.float32);
    });
    fc.assert(property, RUNS);
  });

  test('of an older schema read null in what was added, of a newer one as far as the older view goes', () => {
    const property = fc.property(sampleArbitrary, fc.nat(), ({ view, sample }, n) => {
      const before = olderView(view, 1 + (n % view.columns.length));
      const shared = before.columns.length;
      const cells = sample.cells.slice(0, shared);
      const old = new RecordEncoder(before).encode(draftOf(before, { ...sample, cells }), sample.times);
      const added = sample.cells.slice(shared).map(() => null);
      const oldRecord = readerOf(old);
      expect(view.columns.map(feature => readCell(oldRecord, feature))).toEqual([...cells, ...added]);
      const oldGenerated = generated(old);
      expect(view.columns.map(feature => generatedCell(oldGenerated, feature))).toEqual([...cells, ...added]);
      const record = readerOf(new RecordEncoder(view).encode(draftOf(view, sample), sample.times));
      expect(before.columns.map(feature => readCell(record, feature))).toEqual(cells);
    });
    fc.assert(property, RUNS);
  });

  test('are the same bytes whenever they are the same', () => {
    const property = fc.property(sampleArbitrary, ({ view, sample }) => {
      const encoder = new RecordEncoder(view);
      const first = encoder.encode(draftOf(view, sample), sample.times);
      expect(encoder.encode(draftOf(view, sample), sample.times)).toEqual(first);
      expect(new RecordEncoder(view).encode(draftOf(view, sample), sample.times)).toEqual(first);
    });
    fc.assert(property, { ...RUNS, numRuns: 200 });
  });

  test('of 50 float32 take 284 bytes', () => {
    const view = floats(50);
    expect(new RecordEncoder(view).encode(ones(view), TIMES).length).toBe(284);
  });
});

function floats(count: number): View {
  return testView(Array.from({ length: count }, (_, n) => [`f${n}`, 'float32'] as const));
}

function ones(view: View): RecordDraft {
  const draft = new RecordDraft(view);
  for (const { position } of view.columns) draft.setPresent(position);
  draft.float32s.fill(1);
  return draft;
}

describe('a tombstone', () => {
  test('has a version and times, and no features', () => {
    const bytes = encodeTombstone(TIMES.version, 1000, 2000);
    expect(verifyRecord(bytes)).toBe(true);
    expect(recordVersion(bytes)).toBe(TIMES.version);
    const record = readerOf(bytes);
    expect(record.tombstone).toBe(true);
    expect([record.version, record.writtenAt, record.expiresAt]).toEqual([TIMES.version, 1000, 2000]);
    expect(record.float32(0)).toBeNull();
    expect(record.tags()).toEqual([]);
    const read = generated(bytes);
    expect(read.tombstone()).toBe(true);
    expect(read.version()).toBe(BigInt(TIMES.version));
    expect(read.float32sLength()).toBe(0);
  });
});

describe('the limit of a record', () => {
  const view = testView([
    ['title', 'string'],
    ['raw', 'bytes'],
  ]);
  const draft = new RecordDraft(view);
  draft.setPresent(0);
  draft.setPresent(1);

  test.each(['x', 'é', '漢', '😀'])('is kept to the byte, whatever the text (%s)', unit => {
    draft.strings[0] = unit.repeat(1000);
    draft.bytes[0] = new Uint8Array(777).fill(1);
    draft.tags = [unit.repeat(10), '', ''];
    draft.metadata = '{}';
    const { length } = new RecordEncoder(view).encode(draft, TIMES);
    expect(new RecordEncoder(view, length).encode(draft, TIMES)).toHaveLength(length);
    expect(() => new RecordEncoder(view, length - 1).encode(draft, TIMES)).toThrowError(
      expect.objectContaining({
        code: 'invalid-record',
        message: expect.stringContaining(`${length} bytes`),
      }),
    );
  });

  test('is told before memory is asked for', () => {
    const wide = testView(Array.from({ length: 200 }, (_, n) => [`f${n}`, 'float32[8192]'] as const));
    expect(() => new RecordEncoder(wide).encode(new RecordDraft(wide), TIMES)).toThrowError(
      expect.objectContaining({ code: 'invalid-record' }),
    );
  });

  test('leaves the encoder in order, and large records do not disturb small ones', () => {
    const encoder = new RecordEncoder(view);
    const kept: [Uint8Array, Sample][] = [];
    for (let n = 0; n < 400; n++) {
      const length = n % 7 === 0 ? 300_000 : n * 3;
      const blob = new Uint8Array(n % 5 === 0 ? 2_000_000 : 10).fill(n);
      const sample: Sample = {
        cells: ['é'.repeat(length), blob],
        tags: [],
        metadata: undefined,
        times: TIMES,
      };
      const encode = (): Uint8Array => encoder.encode(draftOf(view, sample, draft), TIMES);
      if (blob.length > 1_000_000) expect(encode).toThrowError(/are allowed/);
      else kept.push([encode(), sample]);
    }
    for (const [bytes, sample] of kept) {
      expect(verifyRecord(bytes)).toBe(true);
      expect(readerOf(bytes).string(0) === sample.cells[0]).toBe(true);
    }
  });
});

describe('verification', () => {
  const types: FeatureType[] = [
    'float32',
    'string',
    'int64',
    'bool',
    'float64',
    'bytes',
    'float32[3]',
    'string',
  ];
  const mixed = testView(types.map((type, n) => [`f${n}`, type]));
  const cells: Cell[] = [0.5, 'Zlib', 42, true, null, Uint8Array.of(1, 2, 3), [1, 2, 3], ''];
  const sample = { cells, tags: ['batch:7', ''], metadata: '{"a":1}', times: TIMES };
  const records = [
    ['a tombstone', encodeTombstone(7 as Version, 1, 2)],
    ['20 floats', new RecordEncoder(floats(20)).encode(ones(floats(20)), TIMES)],
    ['50 floats', new RecordEncoder(floats(50)).encode(ones(floats(50)), TIMES)],
    ['every type', new RecordEncoder(mixed).encode(draftOf(mixed, sample), TIMES)],
    ['only nulls', new RecordEncoder(mixed).encode(new RecordDraft(mixed), TIMES)],
  ] as const;

  test.each(records)('detects every single-bit flip in %s', (_name, record) => {
    const bytes = record.slice();
    let undetected = 0;
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const at = bit >> 3;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      if (verifyRecord(bytes)) undetected++;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
    }
    expect(undetected).toBe(0);
    expect(verifyRecord(bytes)).toBe(true);
  });

  test.each(records)('detects %s cut short or lengthened', (_name, record) => {
    const padded = new Uint8Array(record.length + 64);
    padded.set(record, 32);
    for (let start = 0; start < 64; start++) {
      for (let end = 0; end <= padded.length; end++) {
        const whole = start === 32 && end === 32 + record.length;
        if (verifyRecord(padded, start, end) !== whole) throw new Error(`${start} to ${end}`);
      }
    }
  });

  test('refuses ranges that are none', () => {
    const bytes = records[1][1];
    expect(verifyRecord(bytes, -4, bytes.length)).toBe(false);
    expect(verifyRecord(bytes, 0, bytes.length + 4)).toBe(false);
    expect(verifyRecord(bytes, 8, 4)).toBe(false);
    expect(verifyRecord(bytes, Number.NaN, bytes.length)).toBe(false);
    expect(verifyRecord(new Uint8Array(0))).toBe(false);
  });
});
