/**
 * What is kept of an origin's answer: the bytes, their type, the validator, and how long it may be kept.
 *
 * Headers are another's text and go out again with the entry, so a type or ETag that is not of its RFC's form is left
 * away. `Cache-Control` and `Cache-Tags` are passed on whole: what they mean is the cache's to say.
 */
import type { OriginReply } from './origin-exchange.js';

export interface OriginValue {
  readonly payload: Uint8Array;
  readonly contentType: string;
  /** Quotes and `W/` included; empty: none. */
  readonly etag: string;
  /** As sent; empty: none. */
  readonly cacheControl: string;
  /** As sent; empty: none. */
  readonly cacheTags: string;
  /** How old the answer was when it came, from a cache before the origin. */
  readonly ageMs: number;
}

const CONTENT_TYPE = 'application/octet-stream';
/** RFC 9110, 8.3.1: type, subtype, parameters; at most 255 characters. */
const CONTENT_TYPE_FORM =
  /^(?=.{1,255}$)[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+(?:[ \t]*;[ \t]*[\w!#$%&'*+.^`|~-]+=(?:[\w!#$%&'*+.^`|~-]+|"[ !#-[\]-~]*"))*$/;
/** RFC 9110, 8.8.3, without bytes beyond ASCII. */
const ETAG_FORM = /^(?=.{1,255}$)(?:W\/)?"[\x21\x23-\x7e]*"$/;
const AGE_FORM = /^[0-9]{1,9}$/;

export function valueOfReply({ headers, body }: OriginReply): OriginValue {
  return {
    payload: body,
    contentType: inForm(headers['content-type'], CONTENT_TYPE_FORM) ?? CONTENT_TYPE,
    etag: inForm(headers['etag'], ETAG_FORM) ?? '',
    ...keeping(headers),
  };
}

/** A value of a batch: JSON, kept as the whole answer is. */
export function valueOfItem(payload: Uint8Array, headers: OriginReply['headers']): OriginValue {
  return { payload, contentType: 'application/json', etag: '', ...keeping(headers) };
}

function keeping(headers: OriginReply['headers']): Pick<OriginValue, 'cacheControl' | 'cacheTags' | 'ageMs'> {
  return {
    cacheControl: listOf(headers['cache-control']),
    cacheTags: listOf(headers['cache-tags']),
    ageMs: Number(inForm(headers['age'], AGE_FORM) ?? 0) * 1_000,
  };
}

/** A header that is a list may come in several lines. */
function listOf(header: string | string[] | undefined = ''): string {
  return Array.isArray(header) ? header.join(', ') : header;
}

/** A header that was sent twice has no form. */
function inForm(header: string | string[] | undefined, form: RegExp): string | undefined {
  return typeof header === 'string' && form.test(header) ? header : undefined;
}
