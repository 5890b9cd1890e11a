import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonWriter } from '../../src/views/json-writer.js';
import { RUNS } from './arbitrary-records.js';

const writer = new JsonWriter();

function written(write: (to: JsonWriter) => void): string {
  writer.reset();
  write(writer);
  return new TextDecoder('utf-8', { fatal: true }).decode(writer.finish());
}

/** The bytes with others around them, which must not be read. */
function framed(bytes: Uint8Array): DataView {
  const frame = new Uint8Array(bytes.length + 2).fill(0xff);
  frame.set(bytes, 1);
  return new DataView(frame.buffer);
}

test('strings read back, from text and from UTF-8', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary-ascii', maxLength: 200 }));
  const property = fc.property(text, text => {
    const bytes = Buffer.from(text);
    expect(JSON.parse(written(to => to.string(text)))).toBe(text);
    expect(JSON.parse(written(to => to.utf8(framed(bytes), 1, bytes.length)))).toBe(text);
  });
  fc.assert(property, RUNS);
});

test('every control character is escaped, from text and from UTF-8', () => {
  const text = Array.from({ length: 0x80 }, (_, code) => String.fromCharCode(code)).join('');
  expect(written(to => to.string(text))).toBe(JSON.stringify(text));
  expect(written(to => to.utf8(framed(Buffer.from(text)), 1, 0x80))).toBe(JSON.stringify(text));
});

test('a lone surrogate is still JSON', () => {
  expect(JSON.parse(written(to => to.string('a\ud800')))).toBe('a\ud800');
});

test('bytes are base64', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
    const text = written(to => to.base64(framed(bytes), 1, bytes.length));
    expect(text).toBe(`"${Buffer.from(bytes).toString('base64')}"`);
  });
  fc.assert(property, RUNS);
});

test('the buffer grows as far as its limit and no further', () => {
  const limited = new JsonWriter(100_000);
  const bytes = new Uint8Array(10_000).fill(0x20);
  for (let count = 0; count < 10; count++) limited.raw(bytes);
  expect(limited.finish().length).toBe(100_000);
  expect(() => limited.byte(0x20)).toThrowError(expect.objectContaining({ code: 'too-many-ids' }));
  limited.reset();
  limited.integer(7);
  expect(Buffer.from(limited.finish()).toString()).toBe('7');
});
