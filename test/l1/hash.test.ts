import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketStep, homeBucket, Key } from '../../src/l1/hash.js';

const MASK = 0xffff_ffffn;
const rotate = (value: bigint, bits: bigint) => ((value << bits) | (value >> (32n - bits))) & MASK;

/** HalfSipHash as its paper writes it, with the rounds to be chosen; four words of key, 32 bits out twice. */
function reference(
  key: readonly number[],
  message: Uint8Array,
  blockRounds: number,
  endRounds: number,
): number[] {
  const [k0 = 0n, k1 = 0n, k2 = 0n, k3 = 0n] = key.map(word => BigInt(word >>> 0));
  let v = [k0, k1, k2 ^ 0x6c796765n, k3 ^ 0x74656462n];
  const rounds = (count: number) => {
    for (let round = 0; round < count; round++) {
      let [a = 0n, b = 0n, c = 0n, d = 0n] = v;
      a = (a + b) & MASK;
      b = rotate(b, 5n) ^ a;
      a = rotate(a, 16n);
      c = (c + d) & MASK;
      d = rotate(d, 8n) ^ c;
      a = (a + d) & MASK;
      d = rotate(d, 7n) ^ a;
      c = (c + b) & MASK;
      b = rotate(b, 13n) ^ c;
      c = rotate(c, 16n);
      v = [a, b, c, d];
    }
  };
  const padded = new Uint8Array(Math.floor(message.length / 4) * 4 + 4);
  padded.set(message);
  padded[padded.length - 1] = message.length & 0xff;
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 4) {
    const m = BigInt(view.getUint32(at, true));
    v[3]! ^= m;
    rounds(blockRounds);
    v[0]! ^= m;
  }
  v[2]! ^= 0xffn;
  rounds(endRounds);
  return [Number(v[1]! ^ v[3]!) | 0, Number(v[0]! ^ v[2]!) | 0];
}

function messageOf(slot: number, bytes: Uint8Array): Uint8Array {
  const message = new Uint8Array(4 + bytes.length);
  new DataView(message.buffer).setInt32(0, slot, true);
  message.set(bytes, 4);
  return message;
}

describe('the keyed hash', () => {
  it('is checked against a reference that gives the published HalfSipHash-2-4 values', () => {
    // The first entries of vectors_hsip32 in the authors' repository: key 00…07, messages of 0, 1, 2 bytes.
    const key = [0x03020100, 0x07060504, 0x03020100, 0x07060504];
    const published = [0x5b9f35a9, 0xb85a4727, 0x03a662fa];
    for (const [length, wanted] of published.entries()) {
      const message = Uint8Array.from({ length }, (_, at) => at);
      expect(reference(key, message, 2, 4)[0]! >>> 0).toBe(wanted);
    }
  });

  it('gives what the reference gives, for strings and bytes', () => {
    const ids = fc.string({ unit: 'grapheme', maxLength: 60 });
    fc.assert(
      fc.property(
        ids,
        fc.nat(1023),
        fc.array(fc.integer(), { minLength: 4, maxLength: 4 }),
        (id, slot, hashKey) => {
          const bytes = new TextEncoder().encode(id);
          const wanted = reference(hashKey, messageOf(slot, bytes), 1, 3);
          const key = new Key(Int32Array.from(hashKey));
          key.fromString(slot ^ 1, 'another key before');
          key.fromString(slot, id);
          expect([key.hashLow, key.hashHigh, key.byteLength]).toEqual([...wanted, bytes.length]);
          expect(new Uint8Array(key.words.buffer, 0, bytes.length)).toEqual(bytes);
          key.fromBytes(slot, new TextEncoder().encode('xxxxxxxxxxxxxxxxxxxxx'), 0, 21);
          key.fromBytes(slot, bytes, 0, bytes.length);
          expect([key.hashLow, key.hashHigh, key.byteLength]).toEqual([...wanted, bytes.length]);
          const padding = new Uint8Array(key.words.buffer, bytes.length, key.wordLength * 4 - bytes.length);
          expect(padding.every(byte => byte === 0)).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('takes a key of 1,023 bytes and refuses one of 1,024, in either alphabet', () => {
    const key = new Key(Int32Array.of(1, 2, 3, 4));
    key.fromString(0, 'a'.repeat(1023));
    expect(key.byteLength).toBe(1023);
    key.fromString(0, 'é'.repeat(511));
    expect(key.byteLength).toBe(1022);
    expect(() => key.fromString(0, 'a'.repeat(1024))).toThrow('at most 1023 bytes');
    expect(() => key.fromString(0, 'é'.repeat(512))).toThrow('at most 1023 bytes');
    expect(() => key.fromBytes(0, new Uint8Array(1024), 0, 1024)).toThrow('at most 1023 bytes');
  });

  it('leads every key to buckets that exist', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 4, max: 2 ** 21 - 1 }), (hashLow, buckets) => {
        const home = homeBucket(hashLow, buckets);
        const step = bucketStep(hashLow, buckets);
        expect(home >= 0 && home < buckets && step >= 1 && step < buckets).toBe(true);
      }),
    );
    expect(homeBucket(-1, 2 ** 21 - 1)).toBe(2 ** 21 - 2);
  });
});
