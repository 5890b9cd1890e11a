/**
 * Storage keys as Redis keys, and back: `headrace:7:doc-1` is the record `doc-1` of the view with uid 7.
 *
 * Readable, so that operators can find a record; with the view in front, so that a view's records can be found by
 * pattern; without a hash tag, so that a view spreads over all slots of a cluster. (An id with braces of its own is
 * hashed by what they enclose. All clients agree on that.)
 */

/** A storage key as it is in `base/keys.ts`: 4 bytes of view uid, then the id in UTF-8. */
const UID_BYTES = 4;
const COLON = 0x3a;
const ZERO = 0x30;

export class RedisKeys {
  readonly prefix: string;
  /** The hash that holds the catalog of views. No record's key is like it: theirs go on with a number. */
  readonly catalog: string;
  readonly #prefixBytes: Buffer;
  /** Lookups are of one view: its part of the key is made once. */
  #uid = -1;
  #uidPrefix = '';

  constructor(prefix: string) {
    this.prefix = prefix;
    this.catalog = `${prefix}catalog`;
    this.#prefixBytes = Buffer.from(prefix);
  }

  of(storageKey: Uint8Array): string {
    const bytes = Buffer.isBuffer(storageKey)
      ? storageKey
      : Buffer.from(storageKey.buffer, storageKey.byteOffset, storageKey.byteLength);
    const uid = bytes.readUInt32BE(0);
    if (uid !== this.#uid) {
      this.#uid = uid;
      this.#uidPrefix = this.ofView(uid);
    }
    return this.#uidPrefix + bytes.toString('utf8', UID_BYTES);
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
