/**
 * Entries as they lie below L1 when their payload is compressed: records that differ from the entry's own in their
 * identifier, so that nobody takes one for the other, in their payload, and in the checksum that goes with these.
 *
 *     payload   its own length (4) │ the checksum of the entry (4) │ an LZ4 block       little-endian
 *
 * All else is where it is in any record: version, times and schema number, tags and lease are read as ever. The entry
 * comes back byte for byte. The checksum of what is stored says whether it is whole before anything is expanded, that of
 * the entry whether it was expanded to what it was.
 *
 * In L1 entries are as they were written: to expand 16 KiB takes nearly as long as all of a hit (`docs/benchmarks.md`).
 */
import { assert } from '../../base/assert.js';
import { sealRecord, verifyStored, wordAt } from '../../views/record-codec.js';
import {
  RECORD_BYTES_MAX,
  RECORD_CHECKSUM_BYTES,
  RECORD_COMPRESSED_IDENTIFIER,
  RECORD_IDENTIFIER,
  RECORD_IDENTIFIER_OFFSET,
} from '../../views/record-layout.js';
import { RecordReader } from '../../views/record-reader.js';
import { type Span, spliced } from '../../views/record-splice.js';
import { ENTRY_LIMITS } from '../entry.js';
import { BLOCK_BYTES_MAX, Lz4 } from './lz4.js';

const HEAD_BYTES = 8;
/** Of a payload: what saves less is not worth expanding each time that it is read. */
const SAVED_MIN = 1 / 8;

assert(ENTRY_LIMITS.payloadBytes <= BLOCK_BYTES_MAX, 'any payload is one block');

export function isCompressed(stored: Uint8Array): boolean {
  return wordAt(stored, RECORD_IDENTIFIER_OFFSET) === RECORD_COMPRESSED_IDENTIFIER;
}

/** One for each thread. */
export class EntryCompressor {
  readonly #lz4 = new Lz4();
  readonly #record = new RecordReader();

  /** The entry to be stored; `undefined` when its payload is not above the threshold, or compressing it does not pay. */
  compress(entry: Uint8Array, above: number): Uint8Array | undefined {
    const payload = this.#payloadOf(entry);
    if (payload === undefined || payload.length <= above) return undefined;
    const { at, length } = payload;
    const limit = Math.max(0, Math.floor(length * (1 - SAVED_MIN)) - HEAD_BYTES);
    const block = this.#lz4.compress(entry.subarray(at, at + length), limit);
    if (block === undefined) return undefined;
    const head = new Uint8Array(HEAD_BYTES);
    const words = new DataView(head.buffer);
    words.setUint32(0, length, true);
    words.setUint32(4, wordAt(entry, entry.length - RECORD_CHECKSUM_BYTES), true);
    const stored = spliced(entry, payload, [head, block]);
    return stored && sealRecord(stored, RECORD_COMPRESSED_IDENTIFIER);
  }

  /**
   * The entry that was stored so. `undefined` when what is stored is damaged; else it is verified as any record is, by
   * its own checksum.
   */
  expand(stored: Uint8Array): Uint8Array | undefined {
    if (stored.length > RECORD_BYTES_MAX || !verifyStored(stored)) return undefined;
    const payload = this.#payloadOf(stored);
    if (payload === undefined || payload.length < HEAD_BYTES) return undefined;
    const { at, length } = payload;
    const expected = wordAt(stored, at);
    if (expected > ENTRY_LIMITS.payloadBytes) return undefined;
    const bytes = this.#lz4.expand(stored.subarray(at + HEAD_BYTES, at + length), expected);
    const entry = bytes && spliced(stored, payload, [bytes]);
    return entry && sealRecord(entry, RECORD_IDENTIFIER, wordAt(stored, at + 4));
  }

  #payloadOf(record: Uint8Array): Span | undefined {
    const reader = this.#record;
    reader.reset(record);
    if (!reader.locateBytes(0)) return undefined;
    return { at: reader.at - record.byteOffset, length: reader.length };
  }
}
