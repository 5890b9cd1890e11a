/** What is read off a record's bytes without knowing its view. */
import type { Version } from '../base/clock.js';
import { recordExpiresAt, recordVersion, verifyRecord, verifyStored } from '../views/record-codec.js';
import { RecordReader } from '../views/record-reader.js';

export class RecordInspector {
  readonly #reader = new RecordReader();

  /** The other questions are for records that pass. */
  verify(bytes: Uint8Array): boolean {
    return verifyRecord(bytes);
  }

  /** The same of what a store has, where the payloads of entries may be compressed: the other questions are none of them. */
  verifyStored(bytes: Uint8Array): boolean {
    return verifyStored(bytes);
  }

  version(bytes: Uint8Array): Version {
    return recordVersion(bytes);
  }

  expiresAt(bytes: Uint8Array): number {
    return recordExpiresAt(bytes);
  }

  isTombstone(bytes: Uint8Array): boolean {
    this.#reader.reset(bytes);
    return this.#reader.tombstone;
  }

  /** What a store of documents keeps beside the record. */
  describe(bytes: Uint8Array): {
    readonly expiresAt: number;
    readonly tombstone: boolean;
    readonly tags: readonly string[];
    /** The text of a JSON object. */
    readonly metadata: string | null;
  } {
    const reader = this.#reader;
    reader.reset(bytes);
    const { expiresAt, tombstone } = reader;
    return { expiresAt, tombstone, tags: reader.tags(), metadata: reader.metadata() };
  }

  tags(bytes: Uint8Array, offset: number, length: number): readonly string[] {
    this.#reader.reset(bytes, offset, length);
    return this.#reader.tags();
  }
}
