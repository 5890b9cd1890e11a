import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { JsonWriter } from '../../src/views/json-writer.js';
import { recordJson } from '../../src/views/record-answer.js';
import { encodeTombstone, RecordEncoder } from '../../src/views/record-codec.js';
import { RecordReader } from '../../src/views/record-reader.js';
import { selectFeatures } from '../../src/views/selection.js';
import {
  draftOf,
  jsonCell,
  olderView,
  PATIENCE,
  RUNS,
  sampleArbitrary,
  TIMES,
  testView,
} from './arbitrary-records.js';

const writer = new JsonWriter();
const record = new RecordReader();

function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

describe('a record as JSON', () => {
  test('holds what was put in, whatever is selected and whatever the id', PATIENCE, () => {
    const id = fc.string({ unit: 'binary', minLength: 1 });
    const property = fc.property(sampleArbitrary, id, fc.nat(), ({ view, sample }, id, n) => {
      const names = view.columns
        .map(({ name }) => name)
        .filter((_, place) => ((n >> (place % 30)) & 1) === 0);
      const selection = selectFeatures(view, names.reverse());
      record.reset(new RecordEncoder(view).encode(draftOf(view, sample), sample.times));
      const text = textOf(recordJson(writer, selection, id, record));
      const features = selection.features.map(
        ({ name, position }) => [name, jsonCell(sample.cells[position])] as const,
      );
      const answer = {
        view: 'docs',
        id,
        version: sample.times.version,
        features: Object.fromEntries(features),
      };
      const json: unknown = JSON.parse(text);
      expect(roundedToFloat32(json, answer)).toEqual(answer);
      // Keys stand in the order asked for.
      if (names.every(name => !/^\d+$/.test(name) && name !== '__proto__')) {
        const { features: read } = json as { features: object };
        expect(Object.keys(read)).toEqual(selection.features.map(({ name }) => name));
      }
    });
    fc.assert(property, RUNS);
  });

  test('has null for features that its schema did not have', () => {
    const view = testView([
      ['a', 'float32'],
      ['b', 'string'],
      ['c', 'float32[2]'],
      ['d', 'bytes'],
      ['e', 'int64'],
    ]);
    const older = olderView(view, 1);
    const sample = { cells: [0.25], tags: [], metadata: undefined, times: TIMES };
    record.reset(new RecordEncoder(older).encode(draftOf(older, sample), TIMES));
    expect(JSON.parse(textOf(recordJson(writer, selectFeatures(view), 'x', record)))).toEqual({
      view: 'docs',
      id: 'x',
      version: TIMES.version,
      features: { a: 0.25, b: null, c: null, d: null, e: null },
    });
  });

  test('is as the contract shows it', () => {
    const view = testView([
      ['a', 'float32'],
      ['b', 'string'],
    ]);
    const sample = { cells: [0.1, null], tags: [], metadata: undefined, times: TIMES };
    record.reset(new RecordEncoder(view).encode(draftOf(view, sample), TIMES));
    expect(textOf(recordJson(writer, selectFeatures(view), 'a"b', record))).toBe(
      '{"view":"docs","id":"a\\"b","version":123456789012345,"features":{"a":0.1,"b":null}}',
    );
  });

  test('larger than the writer allows is refused, and the next one is made', () => {
    const view = testView([['text', 'string']]);
    const small = new JsonWriter(20_000);
    const of = (length: number): Uint8Array => {
      const sample = { cells: ['x'.repeat(length)], tags: [], metadata: undefined, times: TIMES };
      record.reset(new RecordEncoder(view).encode(draftOf(view, sample), TIMES));
      return recordJson(small, selectFeatures(view), 'x', record);
    };
    expect(() => of(30_000)).toThrowError(HeadraceError);
    expect(of(10).length).toBeLessThan(100);
  });

  test('of a tombstone has nothing but nulls', () => {
    const view = testView([['a', 'bytes']]);
    record.reset(encodeTombstone(TIMES.version, 1, 2));
    expect(textOf(recordJson(writer, selectFeatures(view), 'x', record))).toContain('"features":{"a":null}');
  });
});

/** float32 prints as the shortest decimal: JSON.parse makes another double of it, which rounds to the same float32. */
function roundedToFloat32(json: unknown, like: unknown): unknown {
  if (typeof json === 'number' && typeof like === 'number') {
    return Object.is(Math.fround(json), like) ? like : json;
  }
  if (Array.isArray(json) && Array.isArray(like))
    return json.map((value, n) => roundedToFloat32(value, like[n]));
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  const other = Object.entries(like as object);
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [
      key,
      roundedToFloat32(value, other.find(([name]) => name === key)?.[1]),
    ]),
  );
}

describe('selecting features', () => {
  const view = testView([
    ['a', 'float32'],
    ['b', 'string'],
  ]);

  test('without names takes all, with names those in that order', () => {
    expect(selectFeatures(view).features.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(selectFeatures(view, ['b', 'a']).features.map(({ name }) => name)).toEqual(['b', 'a']);
    expect(selectFeatures(view, []).features).toEqual([]);
  });

  test('names each that is unknown or comes twice', () => {
    const select = (): unknown => selectFeatures(view, ['a', 'nope', 'a', '__proto__'], 'bad-query');
    expect(select).toThrowError(
      expect.objectContaining({
        code: 'bad-query',
        errors: [
          { at: 'features[1]', detail: 'view docs has no feature nope' },
          { at: 'features[2]', detail: 'feature a comes twice' },
          { at: 'features[3]', detail: 'view docs has no feature __proto__' },
        ],
      }),
    );
  });
});
