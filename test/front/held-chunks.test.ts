import { expect, it } from 'vitest';
import { HeldChunks } from '../../src/front/held-chunks.js';

interface Taken {
  readonly bytes: Buffer;
  readonly last: boolean;
}

function takeAll(held: HeldChunks): Taken[] {
  const taken: Taken[] = [];
  while (held.take((bytes, last) => taken.push({ bytes: Buffer.from(bytes), last })));
  return taken;
}

it('holds a body that comes byte by byte in the memory that its bytes need', () => {
  const held = new HeldChunks();
  const bytes = Buffer.from(Array.from({ length: 10_000 }, (_, at) => at & 0xff));
  bytes.forEach((byte, at) => {
    expect(held.add(Uint8Array.of(byte).buffer, at === bytes.length - 1)).toBe(true);
  });
  expect(takeAll(held)).toEqual([{ bytes, last: true }]);
});

it('hands chunks on in order, however large they are', () => {
  const held = new HeldChunks();
  const chunks = [3, 512 * 1024, 1, 600 * 1024, 2, 0].map((length, at) => new Uint8Array(length).fill(at));
  chunks.forEach((chunk, at) => {
    held.add(chunk.buffer, at === chunks.length - 1);
  });
  const taken = takeAll(held);
  expect(Buffer.concat(taken.map(({ bytes }) => bytes)).equals(Buffer.concat(chunks))).toBe(true);
  expect(taken.map(({ last }) => last)).toEqual(taken.map((_, at) => at === taken.length - 1));
});

it('holds 256 MiB for all bodies together, and has room again when one is gone', () => {
  const chunk = new ArrayBuffer(512 * 1024);
  const [first, second] = [new HeldChunks(), new HeldChunks()];
  for (let n = 0; n < 511; n++) expect(first.add(chunk, false)).toBe(true);
  expect(second.add(chunk, false)).toBe(true);
  expect(second.add(new ArrayBuffer(1), false)).toBe(false);
  expect(first.add(new ArrayBuffer(1), false)).toBe(false);
  first.clear();
  expect(second.add(new ArrayBuffer(1), true)).toBe(true);
  expect(takeAll(second).map(({ bytes }) => bytes.length)).toEqual([512 * 1024, 1]);
});
