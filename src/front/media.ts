/** The two forms of an answer, and which of them a request accepts. */
import { HeadraceError } from '../base/errors.js';

export const JSON_TYPE = 'application/json';
export const FLATBUFFERS_TYPE = 'application/vnd.headrace.flatbuffers';
export const NDJSON_TYPE = 'application/x-ndjson';

export type Media = 'json' | 'flatbuffers';

/**
 * FlatBuffers when its type is named, else JSON. Quality values are not weighed: who names the FlatBuffers type wants it.
 * @throws HeadraceError `not-acceptable` when neither is accepted.
 */
export function acceptedMedia(accept: string): Media {
  if (accept === FLATBUFFERS_TYPE) return 'flatbuffers';
  if (accept === '' || accept === JSON_TYPE || accept === '*/*') return 'json';
  const types = accept.split(',').map(part => part.split(';', 1)[0]?.trim().toLowerCase());
  if (types.includes(FLATBUFFERS_TYPE)) return 'flatbuffers';
  if (types.some(type => type === JSON_TYPE || type === '*/*' || type === 'application/*')) return 'json';
  throw new HeadraceError('not-acceptable', `make it ${JSON_TYPE} or ${FLATBUFFERS_TYPE}`);
}
