/**
 * Canonical keys: one key for one question, whoever asks and however it was typed. Server and client library make them
 * with this module, which needs nothing of Node.js.
 *
 * A key is a row of netstrings (`length:text,`, the length in bytes of UTF-8), each with a letter before it that says
 * what it is; parts that are not given are left out, params come in the order of their names' UTF-16 units:
 *
 *   t4:acme,q10:café noir,p1:k,n2:10,p4:user,s2:u1,
 *
 *   t tenant   q query, canonical   p name of a param, followed by its value:
 *   s string   n number   b true or false   z null   a array, the netstrings of its elements within
 *
 * So two keys are equal only when tenant, params and the canonical form of the query are: lengths keep one part from
 * looking like two, letters keep `10` from being `"10"`. A number is a double, as the shortest text that reads back to
 * it: 10, 10.0 and 1e1 are one, as are 0 and -0.
 *
 * A key longer than 448 bytes is its tenant and a digest of all of it: `t4:acme,#` and 32 characters, 192 bits of
 * SHA-256. No key as it stands has a `#` there. All keys of a tenant begin alike, so a prefix invalidates them.
 */
import { HeadraceError } from '../base/errors.js';
import { digestOf } from './canonical-key-digest.js';
import {
  checkKeyParts,
  KEY_LIMITS,
  type KeyParts,
  type ParamValue,
  utf8Bytes,
} from './canonical-key-parts.js';
import { canonicalQuery } from './canonical-key-text.js';

/** @throws HeadraceError `invalid-key` that names all that is wrong with the parts. */
export function canonicalKey(parts: KeyParts): string {
  checkKeyParts(parts);
  const { tenant, query, params } = parts;
  const whose = tenantPrefix(tenant);
  let key = whose;
  if (query !== undefined) key += `q${netstring(canonicalQuery(query))}`;
  if (params !== undefined) key += paramsText(params);
  return shortened(key, whose);
}

/** What all keys of a tenant begin with, and no other's; of no tenant, nothing. */
export function tenantPrefix(tenant: string | undefined): string {
  return tenant === undefined ? '' : `t${netstring(tenant)}`;
}

/** The key, or what stands for one that is too long. */
export function shortened(key: string, whose: string): string {
  return utf8Bytes(key) <= KEY_LIMITS.keyBytes ? key : `${whose}#${digestOf(key)}`;
}

function paramsText(params: Readonly<Record<string, ParamValue | undefined>>): string {
  let text = '';
  for (const name of Object.keys(params).sort()) {
    const value = params[name];
    if (value !== undefined) text += `p${netstring(name)}${valueText(value)}`;
  }
  const { paramsLength } = KEY_LIMITS;
  if (text.length > paramsLength) {
    const detail = `are ${text.length} characters of key, ${paramsLength} are allowed`;
    throw new HeadraceError('invalid-key', `params ${detail}`, [{ at: 'params', detail }]);
  }
  return text;
}

function valueText(value: ParamValue): string {
  switch (typeof value) {
    case 'string':
      return `s${netstring(value)}`;
    case 'number':
      return `n${netstring(String(value))}`;
    case 'boolean':
      return `b${netstring(String(value))}`;
    default:
      return value === null ? 'z0:,' : `a${netstring(value.map(valueText).join(''))}`;
  }
}

function netstring(text: string): string {
  return `${utf8Bytes(text)}:${text},`;
}
