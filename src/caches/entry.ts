/**
 * An entry of a named cache as a record of a built-in view (`entry-view.ts`): bytes with their content type, and how
 * long they may be served. Written by a lane, read in place by the front.
 *
 *     strings  contentType │ etag │ encoding │ lease      int64s  staleWhileRevalidate │ cost, in milliseconds
 *     bytes    payload                              and the record's own: version, times, tags, checksum
 *
 * A payload that is null says that the cache's origin has none.
 *
 * The record is fresh until its fresh-until, and kept until its expires-at: longer by the larger of the two stale times.
 */
import { createHash } from 'node:crypto';
import type { Version } from '../base/clock.js';
import type { RecordDraft } from '../views/record-draft.js';
import { RECORD_BYTES_MAX, RECORD_BYTES_MIN } from '../views/record-layout.js';
import { RecordReader } from '../views/record-reader.js';
import type { FeatureType } from '../views/schema.js';

/** In this order, which gives each its index among those of its type. */
export const ENTRY_FEATURES: ReadonlyMap<string, FeatureType> = new Map([
  ['contentType', 'string'],
  ['etag', 'string'],
  ['encoding', 'string'],
  ['payload', 'bytes'],
  ['staleWhileRevalidate', 'int64'],
  ['cost', 'int64'],
  ['lease', 'string'],
]);

const CONTENT_TYPE = 0;
const ETAG = 1;
/** The position of the payload, which is null where the origin has said that there is none. */
const PAYLOAD = 3;
export const LEASE = 3;
const STALE_WHILE_REVALIDATE = 0;
const COST = 1;

export const ENTRY_LIMITS = {
  /** A record less what stands beside the payload: 64 tags of 256 bytes with their offsets, and the head. */
  payloadBytes: RECORD_BYTES_MAX - 20 * 1024,
  contentTypeBytes: 256,
  tagBytes: 256,
} as const;

/** What a client says of the bytes it puts, or an origin of those it answers with. */
export interface EntryHead {
  readonly contentType: string;
  readonly tags: readonly string[];
  readonly freshMs: number;
  /** Both begin where the entry is no longer fresh. */
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  /** An origin's own; without it, one is made of the bytes. */
  readonly etag?: string;
  /** The origin has none: the entry says so, and its payload is empty. */
  readonly isAbsent?: true;
}

/**
 * Fills a draft that is empty.
 * @param costMs how long the payload took to make; 0: not known.
 */
export function fillEntry(draft: RecordDraft, head: EntryHead, payload: Uint8Array, costMs = 0): void {
  for (let position = 0; position < ENTRY_FEATURES.size; position++) {
    if (position !== PAYLOAD || head.isAbsent !== true) draft.setPresent(position);
  }
  draft.strings[CONTENT_TYPE] = head.contentType;
  draft.strings[ETAG] = head.etag ?? etagOf(head.contentType, payload);
  draft.bytes[0] = payload;
  draft.int64s[STALE_WHILE_REVALIDATE] = head.staleWhileRevalidateMs;
  draft.int64s[COST] = costMs;
  draft.tags = [...head.tags];
  draft.ttlMs = head.freshMs;
  draft.staleMs = Math.max(head.staleWhileRevalidateMs, head.staleIfErrorMs);
}

/** A strong validator, as it goes into the header: equal for equal bytes of one content type, whoever put them. */
export function etagOf(contentType: string, payload: Uint8Array): string {
  const hash = createHash('sha256').update(contentType).update('\0').update(payload);
  return `"${hash.digest('base64url').slice(0, 22)}"`;
}

/** Reads entries in place: set on one after the other, as the `RecordReader` that it is made of. */
export class EntryReader {
  readonly #record = new RecordReader();

  /** The `length` bytes at `offset` must outlive the reader's use of them. */
  reset(bytes: Uint8Array, offset = 0, length = bytes.length - offset): void {
    this.#record.reset(bytes, offset, length);
    this.isTombstone = length === RECORD_BYTES_MIN && this.#record.tombstone;
  }

  /** The entry was deleted. */
  isTombstone = false;

  /** The origin has said that there is none, or there is nothing but a lease. */
  get isAbsent(): boolean {
    return this.#record.hasNulls && this.#record.isNull(PAYLOAD);
  }

  get writtenAt(): number {
    return this.#record.writtenAt;
  }

  get freshUntil(): number {
    return this.#record.freshUntil;
  }

  get staleWhileRevalidateMs(): number {
    return this.#record.int64(STALE_WHILE_REVALIDATE) ?? 0;
  }

  /** How long it took to make; 0: not known. */
  get costMs(): number {
    return this.#record.int64(COST) ?? 0;
  }

  get version(): Version {
    return this.#record.version as Version;
  }

  /** The mark of a lease that servers share, '' when there was none. */
  get lease(): string {
    return this.#record.string(LEASE) ?? '';
  }

  /** There is nothing but a lease. */
  get isVacant(): boolean {
    return this.freshUntil === 0;
  }

  get contentType(): string {
    return this.#record.string(CONTENT_TYPE) ?? '';
  }

  get etag(): string {
    return this.#record.string(ETAG) ?? '';
  }

  /** Copies the text to `into` from `at` on: the place behind it, or -1 when it has no room there. */
  copyContentType(into: Uint8Array, at: number): number {
    return this.#record.copyString(CONTENT_TYPE, into, at);
  }

  /** The same of the ETag. */
  copyEtag(into: Uint8Array, at: number): number {
    return this.#record.copyString(ETAG, into, at);
  }

  /** Where it lies. */
  get payload(): Uint8Array {
    return this.#record.bytes(0) ?? NO_BYTES;
  }

  /** What of the payload is behind its first four bytes, where it lies; `undefined` unless these are the word. */
  payloadBehind(word: number): Uint8Array | undefined {
    const record = this.#record;
    if (!record.locateBytes(0) || record.length < 4) return undefined;
    const { data, at, length } = record;
    if (data.getUint32(at, true) !== word) return undefined;
    return new Uint8Array(data.buffer, at + 4, length - 4);
  }
}

const NO_BYTES = new Uint8Array(0);
