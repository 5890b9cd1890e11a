/**
 * The numbers of the table's layout that both sides know: the reading half in WebAssembly and all the rest in
 * TypeScript. `layout.ts` draws what they mean. Plain literals, since two compilers read this file.
 */

/** Of a bucket, in words. */
export const BUCKET_WORDS = 16;
export const TAGS_AT = 1;
export const REFS_AT = 4;
export const SLOTS = 12;
/** Buckets that a key may lie in. */
export const PROBE_BUCKETS = 4;

/** Of a reference: 26 bits are the record's place in words, the 6 above them bits of the hash. */
export const REF_BITS = 26;

/** Of a record, in words: lengths, expiry, identity, then the key and the value. */
export const EXPIRY_AT = 1;
export const IDENTITY_AT = 2;
export const RECORD_HEADER_WORDS = 3;
/** Of its lengths: 20 bits are the value's words, those above them the key's bytes. */
export const VALUE_WORDS_BITS = 20;

/** A slot's uses are counted to this; each policy makes of the count what it needs. */
export const MARK_MAX = 255;

/** Of a reader's scratch: rows for the keys it asks for at once, then the keys' bytes, then the values it found. */
export const READ_ROWS = 16;
export const ROW_WORDS = 16;
/** Of a row, in words. Asked: */
export const ROW_HASH_LOW = 0;
export const ROW_HASH_HIGH = 1;
export const ROW_KEY_BYTES = 2;
/** Words from the table's start to the key's bytes, zeros up to a word. */
export const ROW_KEY_AT = 3;
/** Answered: the value's bytes, or ABSENT; and words from the table's start to where it was copied to. */
export const ROW_LENGTH = 4;
export const ROW_VALUE_AT = 5;
/** Between the passes of a read: the home bucket's number and place, and the shard's place. */
export const ROW_BUCKET = 6;
export const ROW_BUCKET_AT = 7;
export const ROW_SHARD_AT = 8;

export const ABSENT = -1;
