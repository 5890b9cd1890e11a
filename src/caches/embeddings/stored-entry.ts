/** What is stored of what clients put and origins answer: of a cache of embeddings the vector, packed. */
import { HeadraceError } from '../../base/errors.js';
import { BYTES_TYPE, JSON_TYPE, mediaType } from '../../base/media.js';
import type { CacheDefinition } from '../definition.js';
import { EMBEDDING_TYPE, type EmbeddingFormat, embeddingPayload } from './embedding.js';
import { vectorOfBytes, vectorOfJson } from './vector-json.js';

/**
 * @param head what is said of the bytes, their type among it.
 * @throws HeadraceError `bad-json`, `invalid-vector`, `unsupported-media-type`
 */
export function storedEntry<Head extends { readonly contentType: string }>(
  { embedding }: Pick<CacheDefinition, 'embedding'>,
  head: Head,
  body: Uint8Array,
): { readonly head: Head; readonly payload: Uint8Array } {
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
