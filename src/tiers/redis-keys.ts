/**
 * Storage keys as Redis keys, and back: `headrace:7:doc-1` is the record `doc-1` of the view with uid 7.
 *
 * Readable, so that operators can find a record; with the view in front, so that a view's records can be found by
 * pattern; without a hash tag, so that a view spreads over all slots of a cluster. (An id with braces of its own is
 * hashed by what they enclose. All clients agree on that.)
 */

import { assert } from '../base/assert.js';

/** A storage key as it is in `base/keys.ts`: 4 bytes of view uid, then the id in UTF-8. */
const UID_BYTES = 4;
const UID_DIGITS_MAX = 10;
const COLON = 0x3a;
const ZERO = 0x30;

export class RedisKeys {
  readonly prefix: string;
  /** The hash that holds the catalog of views. No record's key is like it: theirs go on with a number. */
  readonly catalog: string;
  readonly #prefixBytes: Buffer;
  /** Lookups are of one view: its part of the key is made once. */
  #uid = -1;
  #view = '';
  #viewBytes: Uint8Array = new Uint8Array(0);

  constructor(prefix: string) {
    this.prefix = prefix;
    this.catalog = `${prefix}catalog`;
    this.#prefixBytes = Buffer.from(prefix);
  }

  /** How much longer than its storage key a Redis key is at most. */
  get growthBytesMax(): number {
    return this.prefix.length + UID_DIGITS_MAX + 1 - UID_BYTES;
  }

  of(storageKey: Uint8Array): string {
    this.#see(storageKey);
    const { buffer, byteOffset, byteLength } = storageKey;
    return this.#view + Buffer.from(buffer, byteOffset + UID_BYTES, byteLength - UID_BYTES).toString();
  }

  /** What comes before the id, as bytes. */
  viewBytesOf(storageKey: Uint8Array): Uint8Array {
    this.#see(storageKey);
    return this.#viewBytes;
  }

  #see(key: Uint8Array): void {
    assert(key.length >= UID_BYTES, 'a storage key begins with the uid of its view');
    const uid = (key[0] ?? 0) * 2 ** 24 + (((key[1] ?? 0) << 16) | ((key[2] ?? 0) << 8) | (key[3] ?? 0));
    if (uid === this.#uid) return;
    this.#uid = uid;
    this.#view = this.ofView(uid);
    this.#viewBytes = Buffer.from(this.#view);
  }

  /** What the keys of a view's records begin with. */
  ofView(viewUid: number): string {
    return `${this.prefix}${viewUid}:`;
  }

  /** The storage key of a Redis key, `undefined` when it is not the key of a record. */
  storageKey(key: Buffer): Buffer | undefined {
    const start = this.#prefixBytes.length;
    if (key.compare(this.#prefixBytes, 0, start, 0, Math.min(start, key.length)) !== 0) return undefined;
    let uid = 0;
    let at = start;
    for (; at < key.length && key[at] !== COLON; at++) {
      const digit = (key[at] ?? 0) - ZERO;
      if (digit < 0 || digit > 9 || uid > 0xffffffff) return undefined;
      uid = 10 * uid + digit;
    }
    // No colon, no digits, a leading zero, too large: not a key that `of` makes.
    if (at >= key.length || at === start || uid > 0xffffffff) return undefined;
    if (key[start] === ZERO && at > start + 1) return undefined;
    const storageKey = Buffer.allocUnsafe(UID_BYTES + key.length - at - 1);
    storageKey.writeUInt32BE(uid, 0);
    key.copy(storageKey, UID_BYTES, at + 1);
    return storageKey;
  }
}
