/**
 * A key, its bytes in words, and its keyed hash: HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", 2012) over the cache's slot and the key's bytes. Its output is the first word; the second is the other half of
 * the final state, which the original would spend three more rounds on.
 *
 * Keyed, since keys come from clients: whoever does not know the table's key cannot make keys that meet in one bucket.
 * The two words of the key that HalfSipHash uses twice are four here, so the key has 128 bits.
 *
 * The round stands in full three times: once where a string's characters are copied, so that the processor reads the next
 * ones while a round's chain is not done, once for bytes that lie in words, and once for the end of both.
 */
import { assert } from '../base/assert.js';
import { KEY_BYTES_MAX, KEY_WORDS_MAX } from './layout.js';

/** Made once: a message put together at every call is garbage at every call. */
const TOO_LONG = `a key has at most ${KEY_BYTES_MAX} bytes`;

export class Key {
  /** The key's bytes, zeros up to a word; valid from 0 to `wordLength`. */
  readonly words = new Int32Array(KEY_WORDS_MAX);
  readonly #bytes = new Uint8Array(this.words.buffer);
  readonly #encoder = new TextEncoder();
  /** Before the first block. */
  readonly #start: Int32Array;
  /** After the block of the slot named last. */
  readonly #state: Int32Array;
  #stateSlot = -1;
  slot = 0;
  byteLength = 0;
  wordLength = 0;
  /** Chooses the buckets. */
  hashLow = 0;
  /** Chooses shard, tags and fingerprint. */
  hashHigh = 0;

  /** @param hashKey four random words, the same for all threads. */
  constructor(hashKey: Int32Array) {
    const [k0 = 0, k1 = 0, k2 = 0, k3 = 0] = hashKey;
    this.#start = Int32Array.of(k0, k1, k2 ^ 0x6c796765, k3 ^ 0x74656462);
    this.#state = this.#start.slice();
  }

  /** Copies the id as UTF-8 and hashes it. Ids are well-formed and short: they were checked on the way in. */
  fromString(slot: number, id: string): void {
    const { length } = id;
    const { words } = this;
    assert(length <= KEY_BYTES_MAX, TOO_LONG);
    if (slot !== this.#stateSlot) this.#absorbSlot(slot);
    const state = this.#state;
    let v0 = state[0]!;
    let v1 = state[1]!;
    let v2 = state[2]!;
    let v3 = state[3]!;
    let ored = 0;
    const whole = length >>> 2;
    for (let block = 0; block <= whole; block++) {
      const at = block * 4;
      let m = 0;
      if (block < whole) {
        const a = id.charCodeAt(at);
        const b = id.charCodeAt(at + 1);
        const c = id.charCodeAt(at + 2);
        const d = id.charCodeAt(at + 3);
        ored |= a | b | c | d;
        m = a | (b << 8) | (c << 16) | (d << 24);
        words[block] = m;
      } else {
        for (let left = length - 1; left >= at; left--) {
          const unit = id.charCodeAt(left);
          ored |= unit;
          m = (m << 8) | unit;
        }
        words[block] = m;
        m |= (length + 4) << 24;
      }
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
    if (ored > 0x7f) {
      this.#encode(slot, id);
      return;
    }
    this.#sized(slot, length);
    this.#finish(v0, v1, v2, v3);
  }

  /** The same for a key that is UTF-8 already. */
  fromBytes(slot: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    assert(length >= 0 && length <= KEY_BYTES_MAX, TOO_LONG);
    assert(start >= 0 && end <= bytes.length, 'the key lies within the bytes');
    const target = this.#bytes;
    this.words[length >>> 2] = 0;
    for (let at = 0; at < length; at++) target[at] = bytes[start + at]!;
    this.hash(slot, this.words, 0, length);
  }

  #encode(slot: number, id: string): void {
    const { read, written } = this.#encoder.encodeInto(id, this.#bytes.subarray(0, KEY_BYTES_MAX));
    assert(read === id.length, TOO_LONG);
    this.#bytes.fill(0, written, (written + 4) & ~3);
    this.hash(slot, this.words, 0, written);
  }

  /** Hashes `byteLength` bytes that lie in `words` from `at` on, zeros up to a word (as they do in the log). */
  hash(slot: number, words: Int32Array, at: number, byteLength: number): void {
    if (slot !== this.#stateSlot) this.#absorbSlot(slot);
    this.#sized(slot, byteLength);
    const whole = byteLength >>> 2;
    const tail = (byteLength & 3) === 0 ? 0 : words[at + whole]!;
    this.#absorb(this.#state, words, at, whole, tail | ((byteLength + 4) << 24));
  }

  #absorbSlot(slot: number): void {
    this.#stateSlot = slot;
    this.#state.set(this.#start);
    this.#absorb(this.#state, this.words, 0, 0, slot, this.#state);
  }

  /** The whole words from `at` on, then the last block; then the end of the hash, unless the state is kept. */
  #absorb(
    state: Int32Array,
    words: Int32Array,
    at: number,
    whole: number,
    last: number,
    keep?: Int32Array,
  ): void {
    let v0 = state[0]!;
    let v1 = state[1]!;
    let v2 = state[2]!;
    let v3 = state[3]!;
    for (let block = 0; block <= whole; block++) {
      const m = block < whole ? words[at + block]! : last;
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
    if (keep === undefined) {
      this.#finish(v0, v1, v2, v3);
      return;
    }
    keep[0] = v0;
    keep[1] = v1;
    keep[2] = v2;
    keep[3] = v3;
  }

  #finish(a: number, b: number, c: number, d: number): void {
    let v0 = a;
    let v1 = b;
    let v2 = c ^ 0xff;
    let v3 = d;
    for (let round = 0; round < 3; round++) {
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
    this.hashLow = v1 ^ v3;
    this.hashHigh = v0 ^ v2;
  }

  #sized(slot: number, byteLength: number): void {
    this.slot = slot;
    this.byteLength = byteLength;
    this.wordLength = (byteLength + 3) >>> 2;
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

/** The first of the buckets that a key may lie in. */
export function homeBucket(hashLow: number, buckets: number): number {
  return ((hashLow >>> 0) * (buckets / 2 ** 32)) | 0;
}

/**
 * From one of them to the next, around the end. Far apart, not neighbours: where neighbours take the overflow, full
 * buckets grow in clusters. At a load of 0.90, with records coming and going, 7 puts in 100 found all four neighbours
 * full, and 0.35 in 100 all four of these.
 */
export function bucketStep(hashLow: number, buckets: number): number {
  // Other bits than those that choose the home.
  return 1 + (((Math.imul(hashLow, 0x9e3779b1) >>> 0) * ((buckets - 1) / 2 ** 32)) | 0);
}
