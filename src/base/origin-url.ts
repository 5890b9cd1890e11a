/**
 * Where an origin is, as one URL:
 *
 *   http://search:8080/search?q={key}   a question a key: the key, percent-encoded, stands for `{key}`
 *   https://models/embed                a batch endpoint, without `{key}`: the keys are in the body
 *
 * Scheme, host and port are fixed when the URL is read, and the host must be on the allowlist. A key becomes part of the
 * path or the query alone. Everything in it but letters, digits and `-._~` is encoded. What encoding does not help
 * against are the path segments `.` and `..`, which servers resolve, some of them after decoding: a key that would make
 * one, also with slashes of its own, is not asked for.
 */
import { isIP } from 'node:net';
import { type AddressRule, parseAddressRule } from './origin-address.js';
import { TierRefusal } from './tier.js';

export interface OriginPlace {
  readonly url: string;
  /** Hosts that may be asked: `search`, with any port, or `search:8080`. */
  readonly hosts: readonly string[];
  /** Addresses that may be connected to though they are not public, as ranges: `10.1.0.0/16`. */
  readonly addresses: readonly string[];
}

export interface OriginTarget {
  /** Scheme, host and port. */
  readonly origin: string;
  /** For messages. */
  readonly host: string;
  readonly mayConnect: AddressRule;
  /** Path and query, cut where the key goes; one piece: a batch endpoint. */
  readonly pieces: readonly string[];
  /** The path alone, decoded, cut in the same way. */
  readonly pathPieces: readonly string[];
}

const PLACEHOLDER = '{key}';
const URL_BYTES_MAX = 2_048;
const URL_FORM = /^(https?:\/\/[^/?#\\@{}\s]+)([/?][^#]*)?$/i;
/** RFC 3986's path and query. */
const PATH_FORM = /^(?:[A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/;
/** What servers take for one of these, some of them only without what follows a semicolon. */
const DOT_SEGMENT = /^\.{1,2}(;|$)/;

/** The target, or what is wrong: `must …`, `names …`. */
export function parseOriginPlace({ url, hosts, addresses }: OriginPlace): OriginTarget | string {
  if (url.length > URL_BYTES_MAX) return `is longer than ${URL_BYTES_MAX} characters`;
  const [, authority = '', rest = ''] = URL_FORM.exec(url) ?? [];
  if (authority === '' || !URL.canParse(authority)) {
    return 'must be http:// or https://, a host without user or password, a path, and no #';
  }
  const { origin, host, hostname, port, protocol } = new URL(authority);
  const portUsed = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
  const isAllowed = hosts.some(name => [hostname, `${hostname}:${portUsed}`].includes(name.toLowerCase()));
  if (!isAllowed) return `names the host ${host}, which is not on the allowlist`;
  const mayConnect = parseAddressRule(addresses);
  if (typeof mayConnect === 'string') return mayConnect;
  const literal = hostname.replace(/^\[|\]$/g, '');
  // No lookup comes by here.
  if (isIP(literal) !== 0 && !mayConnect(literal)) {
    return `names the address ${literal}, which is neither public nor allowed`;
  }
  const paths = parsePath(rest.startsWith('/') ? rest : `/${rest}`);
  return typeof paths === 'string' ? paths : { origin, host, mayConnect, ...paths };
}

function parsePath(text: string): Pick<OriginTarget, 'pieces' | 'pathPieces'> | string {
  const pieces = text.split(PLACEHOLDER);
  if (!pieces.every(piece => PATH_FORM.test(piece))) {
    return 'has a path or query with a character that must be percent-encoded';
  }
  const [path = ''] = text.split('?', 1);
  let pathPieces: string[];
  try {
    pathPieces = path.split(PLACEHOLDER).map(decodeURIComponent);
  } catch {
    return 'has a path that is not UTF-8';
  }
  if (hasDotSegment(pathPieces.join('x'))) return 'has a path with the segment . or ..';
  return { pieces, pathPieces };
}

export function isBatchTarget(target: OriginTarget): boolean {
  return target.pieces.length === 1;
}

/** Path and query for a key. @throws TierRefusal for a key that cannot stand there. */
export function pathOfKey({ pieces, pathPieces }: OriginTarget, key: string): string {
  if (!key.isWellFormed()) throw new TierRefusal('the key is no valid Unicode', 'invalid-key');
  if (hasDotSegment(pathPieces.join(key))) {
    const reason = 'the key would change the path, by a segment . or ..';
    throw new TierRefusal(`the origin is not asked: ${reason}`, 'invalid-key');
  }
  return pieces.join(percentEncoded(key));
}

function hasDotSegment(path: string): boolean {
  return path.split(/[/\\]/).some(segment => DOT_SEGMENT.test(segment));
}

/** RFC 3986: all but the unreserved characters. */
function percentEncoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
