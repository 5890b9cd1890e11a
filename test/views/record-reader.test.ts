import { expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { LookupAnswer } from '../../src/lookup/lookup-answer-columns.js';
import { lookupJson } from '../../src/lookup/lookup-answer-json.js';
import { checksum } from '../../src/views/checksum.js';
import { JsonWriter } from '../../src/views/json-writer.js';
import { recordJson } from '../../src/views/record-answer.js';
import { RecordEncoder, verifyRecord } from '../../src/views/record-codec.js';
import { RecordReader } from '../../src/views/record-reader.js';
import type { FeatureType } from '../../src/views/schema.js';
import { selectFeatures } from '../../src/views/selection.js';
import { draftOf, FULL, PATIENCE, SEED, seededWords, TIMES, testView } from './arbitrary-records.js';

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
const view = testView([...types, ...types].map((type, n) => [`f${n}`, type]));
const half = [0.5, 'Zlib', 42, true, 0.1, Uint8Array.of(1, 2, 3), [1, 2, 3], ''];
const sample = {
  cells: [...half, ...half.map(() => null)],
  tags: ['batch:7', 'x'],
  metadata: '{"a":1}',
  times: TIMES,
};
const whole = new RecordEncoder(view).encode(draftOf(view, sample), TIMES);
const selection = selectFeatures(view);

const record = new RecordReader();
const writer = new JsonWriter(1 << 20);
const answer = new LookupAnswer(1 << 20);
const embedding = new Float32Array(3);

/** Everything that can be read of the bytes, by every way there is. */
function readAll(bytes: Uint8Array, start: number, length: number): unknown[] {
  record.reset(bytes, start, length);
  const read: unknown[] = [record.version, record.writtenAt, record.freshUntil, record.expiresAt];
  read.push(record.schema, record.tombstone, record.hasNulls, record.tags(), record.metadata());
  for (const { kind, index, length, position } of view.columns) {
    read.push(record.isNull(position));
    if (kind === 'embedding') read.push(record.embedding(index, length, embedding) && [...embedding]);
    else if (kind === 'bytes') read.push(record.bytes(index)?.slice());
    else read.push(record[kind](index));
  }
  read.push(unlessTooLarge(() => Buffer.from(recordJson(writer, selection, 'x', record)).toString()));
  answer.begin(selection, ['a', 'b']);
  read.push(
    unlessTooLarge(() => {
      answer.present(1, bytes, start, length);
      return Buffer.from(lookupJson(writer, answer)).toString();
    }),
  );
  return read;
}

function unlessTooLarge(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (error instanceof HeadraceError) return error.code;
    throw error;
  }
}

test(`garbage never throws, and what lies around a record is never read (seed ${SEED})`, PATIENCE, () => {
  const words = seededWords(SEED);
  const frame = new Uint8Array(whole.length + 2000);
  let accepted = 0;
  for (let count = FULL ? 500_000 : 20_000; count > 0; count--) {
    const bytes = whole.slice();
    for (let changes = 1 + (words() % 4); changes > 0; changes--) {
      // Half of the changes hit the table, its vtable and the offsets, where they do most harm.
      const at = words() % (words() & 1 ? bytes.length : 140);
      const value = words();
      bytes[at] = value & 1 ? value >>> 8 : (value >>> 8) & 0x1f;
    }
    const length = words() % 8 === 0 ? words() % bytes.length : bytes.length;
    const start = words() % 16;
    const readAmid = (filler: number): unknown[] => {
      frame.fill(filler);
      frame.set(bytes.subarray(0, length), start);
      return readAll(frame, start, length);
    };
    expect(readAmid(0xff)).toEqual(readAmid(0x01));
    if (length !== bytes.length) continue;
    // The same with a checksum that fits: as much as the reader may ever be given.
    new DataView(bytes.buffer).setUint32(length - 4, checksum(bytes, 0, length - 4), true);
    if (verifyRecord(bytes)) accepted++;
    readAll(bytes, 0, length);
  }
  expect(accepted).toBeGreaterThan(1000);
});

test(`random bytes never throw (seed ${SEED})`, PATIENCE, () => {
  const words = seededWords(SEED + 1);
  const bytes = new Uint8Array(200);
  for (let count = FULL ? 500_000 : 20_000; count > 0; count--) {
    for (let at = 0; at < bytes.length; at++) bytes[at] = words();
    // A vtable that is within the record more often than chance has it.
    new DataView(bytes.buffer).setInt32(12, (words() % 250) - 200, true);
    readAll(bytes, 0, words() % (bytes.length + 1));
  }
});

test('tags that all point to one long text are not read over and over', () => {
  const bytes = new Uint8Array(400_000);
  const data = new DataView(bytes.buffer);
  const tagged = testView([['a', 'bool']]);
  const tags = { cells: [true], tags: ['x'], metadata: undefined, times: TIMES };
  bytes.set(new RecordEncoder(tagged).encode(draftOf(tagged, tags), TIMES));
  record.reset(bytes);
  const slot = 56;
  const count = 50_000;
  const vector = 400;
  data.setUint32(slot, vector - slot, true);
  data.setUint32(vector, count, true);
  const text = vector + 4 + 4 * count;
  for (let n = 0; n < count; n++) data.setUint32(vector + 4 + 4 * n, text - (vector + 4 + 4 * n), true);
  data.setUint32(text, 190_000, true);
  record.reset(bytes);
  const read = record.tags();
  expect(read.length).toBeGreaterThan(0);
  expect(read.length).toBeLessThan(4);
});
