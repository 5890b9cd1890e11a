/**
 * An entry of a cache of embeddings: its payload is a vector, packed as the cache is told to, behind a word that says how:
 *
 *     uint32: 0x76, packing, dimensions (16 bits) │ the packed vector (`packing.ts`)
 *
 * A cache may be told otherwise later on, and its entries outlive that: an entry of another format is as good as none.
 */
import { HeadraceError } from '../../base/errors.js';
import type { EntryReader } from '../entry.js';
import { PACKINGS, pack, packedBytes, unpack, type VectorFormat } from './packing.js';
import type { Metric } from './top-k.js';

/** What a cache of embeddings is told. */
export interface EmbeddingFormat extends VectorFormat {
  /** By which candidates are compared when a question does not say. */
  readonly metric: Metric;
}

export const METRIC_STANDARD: Metric = 'cosine';

/** Of such entries, as they are stored; clients are given the vector in a form of their choice. */
export const EMBEDDING_TYPE = 'application/vnd.headrace.embedding';

const WORD_BYTES = 4;
const MARK = 0x76;

/** @throws HeadraceError `invalid-vector` */
export function embeddingPayload(format: VectorFormat, vector: ArrayLike<number>): Uint8Array {
  const packed = pack(format, vector);
  const payload = new Uint8Array(WORD_BYTES + packed.length);
  new DataView(payload.buffer).setUint32(0, wordOf(format), true);
  payload.set(packed, WORD_BYTES);
  return payload;
}

/** False of an entry that a cache of this format has as good as not: it holds another. An absent one says so in any. */
export function isOfFormat(format: VectorFormat | undefined, entry: EntryReader): boolean {
  return format === undefined || entry.isAbsent || packedVector(format, entry) !== undefined;
}

/** The packed vector where it lies; `undefined` when the entry has none of that format. */
export function packedVector(format: VectorFormat, entry: EntryReader): Uint8Array | undefined {
  const packed = entry.payloadBehind(wordOf(format));
  return packed?.length === packedBytes(format) ? packed : undefined;
}

/** The vector; `undefined` when the entry has none of that format, or one that is damaged. */
export function entryVector(format: VectorFormat, entry: EntryReader): Float32Array | undefined {
  const packed = packedVector(format, entry);
  try {
    return packed && unpack(format, packed);
  } catch (error) {
    if (error instanceof HeadraceError) return undefined;
    throw error;
  }
}

/** Of the vector as JSON: other bytes than those of its other form, which has the entry's own. */
export function jsonEtag(etag: string): string {
  return etag.replace(/"$/, 'j"');
}

function wordOf({ packing, dimensions }: VectorFormat): number {
  return MARK | (PACKINGS.indexOf(packing) << 8) | (dimensions << 16);
}
