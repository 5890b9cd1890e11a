/**
 * SHA-256 (FIPS 180-4) for keys that are too long to be kept whole. By hand, since a key is made at once, on a server
 * and in a browser alike: node:crypto is not there, and WebCrypto's digest is a promise.
 */

/** Characters of a digest: 192 bits as base64url. That nobody finds two texts of one digest takes half of them. */
export const DIGEST_LENGTH = 32;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const BLOCK = 64;
const ENCODER = new TextEncoder();

/** The first 64 primes, whose roots' fractions are the constants of the standard. */
const PRIMES = Array.from({ length: 312 }, (_, number) => number).filter(
  number =>
    number > 1 && Array.from({ length: number - 2 }, (_, at) => at + 2).every(by => number % by !== 0),
);
const fraction = (root: number) => ((root - Math.floor(root)) * 2 ** 32) | 0;
const START = PRIMES.slice(0, 8).map(prime => fraction(Math.sqrt(prime)));
const ROUND = Int32Array.from(PRIMES, prime => fraction(Math.cbrt(prime)));

/** A digest of the text's UTF-8: 32 characters that may stand in a URL. */
export function digestOf(text: string): string {
  const words = sha256(ENCODER.encode(text));
  let digest = '';
  for (let at = 0; at < DIGEST_LENGTH; at++) {
    const bit = at * 6;
    const high = words[bit >> 5] ?? 0;
    const low = words[(bit >> 5) + 1] ?? 0;
    const shift = 26 - (bit & 31);
    const six = shift >= 0 ? high >>> shift : (high << -shift) | (low >>> (32 + shift));
    digest += ALPHABET[six & 63];
  }
  return digest;
}

/** Eight words, the first the most significant. */
export function sha256(bytes: Uint8Array): Int32Array {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / BLOCK) * BLOCK);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  // Texts are far shorter than 2^29 bytes, so the upper word of their length in bits is 0.
  view.setUint32(padded.length - 4, bytes.length * 8);
  const state = Int32Array.from(START);
  const schedule = new Int32Array(64);
  for (let block = 0; block < padded.length; block += BLOCK) {
    extend(schedule, view, block);
    compress(state, schedule);
  }
  return state;
}

function extend(schedule: Int32Array, view: DataView, block: number): void {
  for (let t = 0; t < 16; t++) schedule[t] = view.getInt32(block + 4 * t);
  for (let t = 16; t < 64; t++) {
    const before15 = schedule[t - 15] ?? 0;
    const before2 = schedule[t - 2] ?? 0;
    const small0 = turned(before15, 7) ^ turned(before15, 18) ^ (before15 >>> 3);
    const small1 = turned(before2, 17) ^ turned(before2, 19) ^ (before2 >>> 10);
    schedule[t] = (schedule[t - 16] ?? 0) + small0 + (schedule[t - 7] ?? 0) + small1;
  }
}

function compress(state: Int32Array, schedule: Int32Array): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let t = 0; t < 64; t++) {
    const choice = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const large1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
    const large0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
    const first = (h + large1 + choice + (ROUND[t] ?? 0) + (schedule[t] ?? 0)) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + large0 + majority) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, at) => {
    state[at] = (state[at] ?? 0) + word;
  });
}

function turned(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}
