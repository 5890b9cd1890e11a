/**
 * A key, its bytes in words, and its keyed hash: HalfSipHash-1-3 with 64 bits of output (Aumasson and Bernstein,
 * "SipHash: a fast short-input PRF", 2012), over the cache's slot and the key's bytes.
 *
 * Keyed, since keys come from clients: whoever does not know the table's key cannot make keys that meet in one bucket.
 * The two words of the key that HalfSipHash repeats are independent here, so the key has 128 bits.
 */
import { assert } from '../base/assert.js';
import { KEY_BYTES_MAX } from './layout.js';

const KEY_WORDS_MAX = (KEY_BYTES_MAX + 1) / 4;

export class Key {
  /** The key's bytes, zeros up to a word; valid from 0 to `wordLength`. */
  readonly words = new Int32Array(KEY_WORDS_MAX);
  readonly #bytes = new Uint8Array(this.words.buffer);
  readonly #encoder = new TextEncoder();
  readonly #k0: number;
  readonly #k1: number;
  readonly #k2: number;
  readonly #k3: number;
  slot = 0;
  byteLength = 0;
  wordLength = 0;
  /** Chooses the home bucket. */
  hashLow = 0;
  /** Chooses shard, tags and fingerprint. */
  hashHigh = 0;

  /** @param hashKey four random words, the same for all threads. */
  constructor(hashKey: Int32Array) {
    this.#k0 = hashKey[0]! | 0;
    this.#k1 = hashKey[1]! ^ 0xee;
    this.#k2 = hashKey[2]! ^ 0x6c796765;
    this.#k3 = hashKey[3]! ^ 0x74656462;
  }

  /** Copies the id as UTF-8 and hashes it. Ids are well-formed and short: they were checked on the way in. */
  fromString(slot: number, id: string): void {
    const { length } = id;
    const { words } = this;
    assert(length <= KEY_BYTES_MAX, `a key has at most ${KEY_BYTES_MAX} bytes`);
    let ored = 0;
    let word = 0;
    let at = 0;
    const whole = length & ~3;
    for (; at < whole; at += 4) {
      const a = id.charCodeAt(at);
      const b = id.charCodeAt(at + 1);
      const c = id.charCodeAt(at + 2);
      const d = id.charCodeAt(at + 3);
      ored |= a | b | c | d;
      words[word++] = a | (b << 8) | (c << 16) | (d << 24);
    }
    if (at < length) {
      let last = 0;
      for (let shift = 0; at < length; at++, shift += 8) {
        const unit = id.charCodeAt(at);
        ored |= unit;
        last |= unit << shift;
      }
      words[word] = last;
    }
    if (ored > 0x7f) this.#encode(id);
    else this.#sized(length);
    this.hash(slot, words, 0, this.byteLength);
  }

  /** The same for a key that is UTF-8 already. */
  fromBytes(slot: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    assert(
      length >= 0 && length <= KEY_BYTES_MAX && end <= bytes.length,
      `a key has at most ${KEY_BYTES_MAX} bytes`,
    );
    this.#sized(length);
    if (length > 0) this.words[this.wordLength - 1] = 0;
    const target = this.#bytes;
    for (let at = 0; at < length; at++) target[at] = bytes[start + at]!;
    this.hash(slot, this.words, 0, length);
  }

  #sized(byteLength: number): void {
    this.byteLength = byteLength;
    this.wordLength = (byteLength + 3) >>> 2;
  }

  #encode(id: string): void {
    const { read, written } = this.#encoder.encodeInto(id, this.#bytes.subarray(0, KEY_BYTES_MAX));
    assert(read === id.length, `a key has at most ${KEY_BYTES_MAX} bytes`);
    this.#bytes.fill(0, written, (written + 3) & ~3);
    this.#sized(written);
  }

  /** Hashes `byteLength` bytes that lie in `words` from `at` on, zeros up to a word (as they do in the log). */
  hash(slot: number, words: Int32Array, at: number, byteLength: number): void {
    let v0 = this.#k0;
    let v1 = this.#k1;
    let v2 = this.#k2;
    let v3 = this.#k3;
    const whole = byteLength >>> 2;
    const tail = (byteLength & 3) === 0 ? 0 : words[at + whole]!;
    // Blocks: the slot, the whole words, then the tail with the length (of slot and key) in its top byte.
    for (let block = -1; block <= whole; block++) {
      const m = block < 0 ? slot : block < whole ? words[at + block]! : tail | ((byteLength + 4) << 24);
      v3 ^= m;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= m;
    }
    v2 ^= 0xee;
    for (let round = 0; round < 6; round++) {
      if (round === 3) {
        this.hashLow = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    this.hashHigh = v1 ^ v3;
    this.slot = slot;
  }
}

/** The tag byte of a hash, never 0. */
export function tagByte(hashHigh: number): number {
  const tag = (hashHigh >>> 8) & 0xff;
  return tag === 0 ? 1 : tag;
}

/** The six tag bits that stand in the reference. */
export function tagBits(hashHigh: number): number {
  return hashHigh >>> 26;
}
