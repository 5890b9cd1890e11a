/**
 * The checksum of records: XXH32 with seed 0, as clients of every language have it. (Collet, "xxHash fast digest
 * algorithm", specification 0.1.1.)
 *
 * In JavaScript, because a call into native code costs more than hashing a usual record: 300 bytes take about 75 ns
 * here, 130 in @node-rs/xxhash, 190 in zlib.crc32; past 1,500 bytes the three are alike. Every step is a bijection of
 * the state for a given word and of the word for a given state, so a change within one word, thus every single-bit
 * flip, is detected for certain.
 */
const PRIME_1 = 0x9e3779b1 | 0;
const PRIME_2 = 0x85ebca77 | 0;
const PRIME_3 = 0xc2b2ae3d | 0;
const PRIME_4 = 0x27d4eb2f | 0;
const PRIME_5 = 0x165667b1 | 0;

/** A DataView reads a word in one load at any alignment; slabs and scratch buffers are met again and again. */
let viewed: ArrayBufferLike = new ArrayBuffer(0);
let view: DataView = new DataView(viewed);

function round(lane: number, word: number): number {
  const mixed = (lane + Math.imul(word, PRIME_2)) | 0;
  return Math.imul((mixed << 13) | (mixed >>> 19), PRIME_1);
}

/** XXH32 of `bytes[start, end)`, as an unsigned 32-bit integer. The range must lie within `bytes`. */
export function checksum(bytes: Uint8Array, start: number, end: number): number {
  const buffer = bytes.buffer;
  if (buffer !== viewed) {
    viewed = buffer;
    view = new DataView(buffer);
  }
  const words = view;
  const stop = bytes.byteOffset + end;
  let at = bytes.byteOffset + start;
  let hash = PRIME_5;
  if (end - start >= 16) {
    let a = (PRIME_1 + PRIME_2) | 0;
    let b = PRIME_2;
    let c = 0;
    let d = -PRIME_1 | 0;
    for (const last = stop - 16; at <= last; at += 16) {
      a = round(a, words.getInt32(at, true));
      b = round(b, words.getInt32(at + 4, true));
      c = round(c, words.getInt32(at + 8, true));
      d = round(d, words.getInt32(at + 12, true));
    }
    hash =
      ((a << 1) | (a >>> 31)) + ((b << 7) | (b >>> 25)) + ((c << 12) | (c >>> 20)) + ((d << 18) | (d >>> 14));
  }
  hash = (hash + (end - start)) | 0;
  for (; at + 4 <= stop; at += 4) {
    hash = (hash + Math.imul(words.getInt32(at, true), PRIME_3)) | 0;
    hash = Math.imul((hash << 17) | (hash >>> 15), PRIME_4);
  }
  for (; at < stop; at++) {
    hash = (hash + Math.imul(words.getUint8(at), PRIME_5)) | 0;
    hash = Math.imul((hash << 11) | (hash >>> 21), PRIME_1);
  }
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
  return (hash ^ (hash >>> 16)) >>> 0;
}
