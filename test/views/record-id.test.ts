import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readRecordId } from '../../src/views/record-id.js';

function idOf(text: string | Uint8Array): string | undefined {
  const bytes = Buffer.concat([
    Buffer.from('{"id":"no"}\n'),
    Buffer.from(text),
    Buffer.from('\n{"id":"no"}'),
  ]);
  return readRecordId(bytes, 12, bytes.length - 12);
}

test.each([
  ['{"id":"a"}', 'a'],
  [' {\t"id" :\r "a" , "x":1}', 'a'],
  ['{"features":{"id":"inner"},"id":"outer"}', 'outer'],
  ['{"a":"\\"id\\":\\"x\\"","b":[{"id":"i"},"]"],"c":-1.5e3,"d":null,"id":"z"}', 'z'],
  ['{"a":"},{\\\\","id":"z"}', 'z'],
  ['{"\\u0069\\u0064":"é😀\\n"}', 'é😀\n'],
  ['{"i\\u0064":"a"}', 'a'],
  ['{"ix":"b","di":"c","\\u0069":"d","id":"a"}', 'a'],
  ['{"id":""}', ''],
  [`{"id":"${'x'.repeat(513)}"}`, 'x'.repeat(513)],
  ['{"id":"a","features":broken', 'a'],
])('%s has its id', (text, id) => {
  expect(idOf(text)).toBe(id);
});

test.each([
  '',
  '{',
  '{}',
  '[]',
  '"id"',
  '{"id"}',
  '{"id":}',
  '{"id":7}',
  '{"id":null}',
  '{"id":"a',
  '{"id":"\\ud800"}',
  '{"x":1}',
  '{"features":{"id":"a"}}',
  '{"x":{"id":"a"}',
  '{"x":1]"id":"a"}',
  '{"x"',
  '{"x":"',
  '{id:"a"}',
  '{"x":1,}',
  'x{"id":"a"}',
  '{"id":"a\u0001"}',
])('%j has none', text => {
  expect(idOf(text)).toBeUndefined();
});

test('an id that is no UTF-8 is none', () => {
  expect(
    idOf(Buffer.concat([Buffer.from('{"id":"'), Buffer.from([0xff]), Buffer.from('"}')])),
  ).toBeUndefined();
});

test('it finds what JSON.parse finds, wherever it stands and whatever is before it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string(), fc.jsonValue())),
      fc.string({ unit: 'binary' }),
      (members, id) => {
        const text = (parts: [string, unknown][]) =>
          `{${parts.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join()}}`;
        const others = members.filter(([key]) => key !== 'id');
        for (let place = 0; place <= others.length; place++) {
          expect(idOf(text(others.toSpliced(place, 0, ['id', id])))).toBe(id);
        }
        expect(idOf(text(others))).toBeUndefined();
      },
    ),
  );
});

test('it never throws and never looks beyond the end', () => {
  const chars = [...'{}[]":,\\id x1'];
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...chars), maxLength: 30 }), text => {
      const id = idOf(`{"${text}`);
      expect(id).not.toBe('no');
    }),
    { numRuns: 5_000 },
  );
});
