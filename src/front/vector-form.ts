/** Entries of caches of embeddings on their way in and out: vectors as JSON or as float32s, whatever they are stored as. */
import { HeadraceError } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import {
  EMBEDDING_TYPE,
  type EmbeddingFormat,
  embeddingPayload,
  entryVector,
  jsonEtag,
} from '../caches/embeddings/embedding.js';
import { vectorOfBytes, vectorOfJson, writeVector } from '../caches/embeddings/vector-json.js';
import type { EntryHead, EntryReader } from '../caches/entry.js';
import { JsonWriter } from '../views/json-writer.js';
import { areBytesAccepted, BYTES_TYPE, JSON_TYPE, mediaType } from './media.js';

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

/** As the client accepts it; `undefined` when it is no cache of embeddings. @throws HeadraceError `not-acceptable` */
export function vectorFormOf({ embedding }: CacheDefinition, accept: string): VectorForm | undefined {
  if (embedding === undefined) return undefined;
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

/** What is stored of a put. @throws HeadraceError `bad-json`, `invalid-vector`, `unsupported-media-type` */
export function storedEntry(
  { embedding }: CacheDefinition,
  head: EntryHead,
  body: Uint8Array,
): { readonly head: EntryHead; readonly payload: Uint8Array } {
  if (embedding === undefined) return { head, payload: body };
  const vector = vectorOf(embedding, head.contentType, body);
  return { head: { ...head, contentType: EMBEDDING_TYPE }, payload: embeddingPayload(embedding, vector) };
}

function vectorOf({ dimensions }: EmbeddingFormat, contentType: string, body: Uint8Array): Float32Array {
  const type = mediaType(contentType);
  if (type === JSON_TYPE) return vectorOfJson(body, dimensions);
  if (type === BYTES_TYPE) return vectorOfBytes(body, dimensions);
  throw new HeadraceError(
    'unsupported-media-type',
    `the content type is '${contentType.slice(0, 100)}'; a vector comes as ${JSON_TYPE} or, in float32s, as ${BYTES_TYPE}`,
  );
}
