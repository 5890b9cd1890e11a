/**
 * A record as a MongoDB document:
 *
 *     { _id: 'the id', version: int64, expireAt: Date, tags: ['a'], metadata: { lang: 'de' }, record: binary }
 *
 * `record` is what is served. The other fields are there to be indexed and queried by whoever looks into the database;
 * `tags` and `metadata` are left out when the record has none, and a tombstone says `tombstone: true`.
 *
 * Ids are strings: BSON's hold any Unicode, NUL included. Names of fields hold less: MongoDB takes none with NUL and can
 * ask for none with a dot or a leading `$`, FerretDB refuses these as well. In the native metadata such characters are
 * replaced by those that look like them (`．`, `＄`, `␀`). FerretDB also refuses an array directly within an array and
 * numbers that are not finite: the inner array is kept as a document of its indexes, which paths like `matrix.0.1` read
 * alike, and the number as null. The record itself holds the metadata as it came.
 */
import { Binary, Long } from 'mongodb';
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

export function recordFields({ value, version }: TierWrite, description: RecordDescription): RecordFields {
  const { expiresAt, tags, metadata, tombstone } = description;
  const native = metadata === null ? undefined : nativeMetadata(metadata);
  return {
    version: Long.fromNumber(version),
    expireAt: new Date(Math.min(expiresAt, DATE_MS_MAX)),
    ...(tombstone && { tombstone }),
    ...(tags.length > 0 && { tags }),
    ...(native !== undefined && { metadata: native }),
    record: new Binary(value),
  };
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
