/**
 * A record as a MongoDB document:
 *
 *     { _id: 'the id', version: int64, expireAt: Date, tags: ['a'], metadata: { lang: 'de' }, record: binary }
 *
 * `record` is what is served, or that compressed (`caches/compression`). The other fields are there to be indexed and queried by whoever looks into the database;
 * `tags` and `metadata` are left out when the record has none, and a tombstone says `tombstone: true`.
 *
 * Ids are strings: BSON's hold any Unicode, NUL included. Names of fields hold less: MongoDB takes none with NUL and can
 * ask for none with a dot or a leading `$`, FerretDB refuses these as well. In the native metadata such characters are
 * replaced by those that look like them (`．`, `＄`, `␀`). FerretDB also refuses an array directly within an array and
 * numbers that are not finite: the inner array is kept as a document of its indexes, which paths like `matrix.0.1` read
 * alike, and the number as null. The record itself holds the metadata as it came.
 */
import { Binary, BSON, Long } from 'mongodb';
import { HeadraceError } from '../base/errors.js';
import type { TierWrite } from '../base/tier.js';

/** What the caller reads off a record for the fields beside it. */
export interface RecordDescription {
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly tags: readonly string[];
  /** The text of a JSON object, or null. */
  readonly metadata: string | null;
  readonly tombstone: boolean;
}

export interface RecordDocument {
  _id: string;
  version: number | Long;
  expireAt: Date;
  tombstone?: boolean;
  tags?: readonly string[];
  metadata?: unknown;
  record: Binary | Uint8Array;
}

export type RecordFields = Omit<RecordDocument, '_id'>;

/** The last millisecond that a `Date` can hold. */
const DATE_MS_MAX = 8.64e15;

/** A document may have 16 MiB; the rest is for the id, and for what an update needs around it. */
const FIELDS_BYTES_MAX = 16 * 2 ** 20 - 64 * 2 ** 10;
/** Tags and metadata are in the record as well, in fewer bytes, but not by so much that less than this is too large. */
const MEASURED_BYTES_MIN = 2 ** 20;

/** @throws HeadraceError `invalid-record` when a document cannot be as large. */
export function recordFields({ value, version }: TierWrite, description: RecordDescription): RecordFields {
  const { expiresAt, tags, metadata, tombstone } = description;
  const native = metadata === null ? undefined : nativeMetadata(metadata);
  const fields = {
    version: Long.fromNumber(version),
    expireAt: new Date(Math.min(expiresAt, DATE_MS_MAX)),
    ...(tombstone && { tombstone }),
    ...(tags.length > 0 && { tags }),
    ...(native !== undefined && { metadata: native }),
    record: new Binary(value),
  };
  if (value.byteLength >= MEASURED_BYTES_MIN) requireFits(fields);
  return fields;
}

function requireFits(fields: RecordFields): void {
  const bytes = BSON.calculateObjectSize(fields);
  if (bytes <= FIELDS_BYTES_MAX) return;
  throw new HeadraceError(
    'invalid-record',
    `the record, its tags and its metadata take ${bytes} bytes in MongoDB, ${FIELDS_BYTES_MAX} are allowed`,
  );
}

/** `undefined` when the text is none, which a checked record's never is. */
function nativeMetadata(text: string): unknown {
  try {
    return native(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function native(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return null;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(item => native(Array.isArray(item) ? { ...item } : item));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [fieldName(name), native(item)]));
}

function fieldName(name: string): string {
  return name.replace(/^\$/, '＄').replaceAll('.', '．').replaceAll('\0', '␀');
}
