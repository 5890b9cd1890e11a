/** Entries of caches of embeddings on their way out: vectors as JSON or as float32s, whatever they are stored as. */

import { areBytesAccepted, BYTES_TYPE, JSON_TYPE } from '../base/media.js';
import { type EmbeddingFormat, entryVector, jsonEtag } from '../caches/embeddings/embedding.js';
import { writeVector } from '../caches/embeddings/vector-json.js';
import type { EntryReader } from '../caches/entry.js';
import { JsonWriter } from '../views/json-writer.js';

/** What of an entry goes into its answer. */
export interface ServedEntry {
  readonly contentType: string;
  readonly etag: string;
  readonly payload: Uint8Array;
}

export interface VectorForm {
  /** `undefined` when the entry holds no vector of the cache's format. Valid until the next one. */
  of(entry: EntryReader): ServedEntry | undefined;
}

/** As the client accepts it. @throws HeadraceError `not-acceptable` */
export function vectorFormOf(embedding: EmbeddingFormat, accept: string): VectorForm {
  const serve = areBytesAccepted(accept) ? asBytes : asJson;
  return {
    of(entry) {
      const vector = entryVector(embedding, entry);
      return vector && serve(vector, entry.etag);
    },
  };
}

function asBytes(vector: Float32Array, etag: string): ServedEntry {
  return { contentType: BYTES_TYPE, etag, payload: new Uint8Array(vector.buffer) };
}

const writer = new JsonWriter();

function asJson(vector: Float32Array, etag: string): ServedEntry {
  writer.reset();
  writeVector(writer, vector);
  return { contentType: JSON_TYPE, etag: jsonEtag(etag), payload: writer.finish() };
}
