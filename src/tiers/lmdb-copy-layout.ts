/**
 * What lies on disk for a copy:
 *
 *   copies      place in the order of writing (8) · instance (8) → the record, its storage key, the key's length (2)
 *   copy index  storage key → place (8) · instance (8) · the record's version (8) · era (4) · checksum (4)
 *
 * An entry leads to its copy, and a copy names its key, so that each can be removed from the other. Both are read as
 * what may have been damaged: a broken entry is of no era, and a copy that names another key is not what was asked for.
 */
import type { Version } from '../base/clock.js';
import { ID_BYTES_MAX } from '../base/keys.js';
import { checksum } from '../views/checksum.js';

const INSTANCE_AT = 8;
export const INSTANCE_BYTES = 8;
/** A place and its instance: the key of a copy. */
export const PLACE_BYTES = 16;
const VERSION_AT = 16;
const ERA_AT = 24;
const CHECK_AT = 28;
const ENTRY_BYTES = 32;
const KEY_BYTES_MAX = 4 + ID_BYTES_MAX;
const KEY_LENGTH_BYTES = 2;
/** What LMDB adds to a copy and its entry, and what is left empty in pages. */
const TREE_BYTES_PER_COPY = 128;
const PAGE_BYTES = 4096;
/** A value of half a page has pages of its own, after so many bytes. */
const PAGE_HEADER_BYTES = 16;

export interface EntryParts {
  /** In the order of writing, across restarts. */
  readonly place: number;
  readonly instance: Uint8Array;
  readonly version: Version;
  readonly era: number;
}

export function newEntry({ place, instance, version, era }: EntryParts): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES);
  entry.writeBigUInt64BE(BigInt(place));
  entry.set(instance, INSTANCE_AT);
  entry.writeDoubleLE(version, VERSION_AT);
  entry.writeInt32LE(era, ERA_AT);
  entry.writeUInt32LE(checksum(entry, 0, CHECK_AT), CHECK_AT);
  return entry;
}

/** No bit that flipped on disk may make a copy newer, or current. */
export function isEntryOf(entry: Buffer, instance: Uint8Array, era: number): boolean {
  return (
    entry.length === ENTRY_BYTES &&
    entry.readInt32LE(ERA_AT) === era &&
    entry.compare(instance, 0, INSTANCE_BYTES, INSTANCE_AT, INSTANCE_AT + INSTANCE_BYTES) === 0 &&
    entry.readUInt32LE(CHECK_AT) === checksum(entry, 0, CHECK_AT)
  );
}

/** Meant only of an entry that is whole. */
export function versionOf(entry: Buffer): Version {
  return (entry.length === ENTRY_BYTES ? entry.readDoubleLE(VERSION_AT) : 0) as Version;
}

/** Of its own: the entry's bytes may be those of the next read. An entry that is broken leads nowhere. */
export function placeOf(entry: Buffer): Buffer {
  const place = Buffer.alloc(PLACE_BYTES);
  entry.copy(place, 0, 0, PLACE_BYTES);
  return place;
}

export function leadsTo(entry: Buffer, place: Uint8Array): boolean {
  return entry.length === ENTRY_BYTES && entry.compare(place, 0, PLACE_BYTES, 0, PLACE_BYTES) === 0;
}

/** What LMDB can be asked for, whatever a copy has become on disk. */
export function isKey(key: Uint8Array): boolean {
  return key.length > 0 && key.length <= KEY_BYTES_MAX;
}

export function copyOf(record: Uint8Array, key: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafe(record.byteLength + key.byteLength + KEY_LENGTH_BYTES);
  copy.set(record);
  copy.set(key, record.byteLength);
  copy.writeUInt16LE(key.byteLength, copy.length - KEY_LENGTH_BYTES);
  return copy;
}

export function recordOf(copy: Buffer): Buffer {
  return copy.subarray(0, recordBytes(copy));
}

export function keyOf(copy: Buffer): Buffer {
  return copy.subarray(recordBytes(copy), copy.length - KEY_LENGTH_BYTES);
}

/** Not below 0, whatever the copy has become on disk. */
export function recordBytes(copy: Buffer): number {
  if (copy.length < KEY_LENGTH_BYTES) return 0;
  const end = copy.length - KEY_LENGTH_BYTES;
  return Math.max(0, end - copy.readUInt16LE(end));
}

/** About what a copy and its entry take. */
export function treeBytes(valueBytes: number, keyBytes: number): number {
  const bytes = valueBytes + 2 * keyBytes + TREE_BYTES_PER_COPY;
  if (bytes < PAGE_BYTES / 2) return bytes;
  return Math.ceil((bytes + PAGE_HEADER_BYTES) / PAGE_BYTES) * PAGE_BYTES;
}
