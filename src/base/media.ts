/** The two forms of an answer, and which of them a request accepts. */
import { HeadraceError } from './errors.js';

export const JSON_TYPE = 'application/json';
export const FLATBUFFERS_TYPE = 'application/vnd.headrace.flatbuffers';
export const NDJSON_TYPE = 'application/x-ndjson';
/** Of vectors: little-endian float32s. */
export const BYTES_TYPE = 'application/octet-stream';

export type Media = 'json' | 'flatbuffers';

/**
 * FlatBuffers when its type is named, else JSON. Quality values are not weighed: who names the FlatBuffers type wants it.
 * @throws HeadraceError `not-acceptable` when neither is accepted.
 */
export function acceptedMedia(accept: string): Media {
  return isWantedBeforeJson(FLATBUFFERS_TYPE, accept) ? 'flatbuffers' : 'json';
}

/** The same of vectors: whether they are wanted as bytes. @throws HeadraceError `not-acceptable` */
export function areBytesAccepted(accept: string): boolean {
  return isWantedBeforeJson(BYTES_TYPE, accept);
}

function isWantedBeforeJson(wanted: string, accept: string): boolean {
  if (accept === wanted) return true;
  if (accept === '' || accept === JSON_TYPE || accept === '*/*') return false;
  const types = accept.split(',').map(mediaType);
  if (types.includes(wanted)) return true;
  if (types.some(type => type === JSON_TYPE || type === '*/*' || type === 'application/*')) return false;
  throw new HeadraceError('not-acceptable', `make it ${JSON_TYPE} or ${wanted}`);
}

/** Without its parameters. */
export function mediaType(contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
}
