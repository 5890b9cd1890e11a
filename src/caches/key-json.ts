/** What a canonical key is made of, as JSON has it. */
import { JsonReader } from '../base/json.js';
import { type JsonValue, readText } from '../base/json-value.js';
import { plainObject } from '../base/zod-json.js';
import { canonicalKey } from './canonical-key.js';
import type { KeyParts } from './canonical-key-parts.js';

/** @throws HeadraceError `bad-json`, `invalid-key` */
export function keyOfJson(body: Uint8Array): string {
  return keyOfParts(readText(new JsonReader(), body));
}

/** @throws HeadraceError `invalid-key` */
export function keyOfParts(value: JsonValue): string {
  // Whatever it is: `canonicalKey` checks what it is given.
  return canonicalKey(objectOf(value) as KeyParts);
}

/** The parts and their params as objects; what else there is stays a Map, which no part may be. */
function objectOf(value: JsonValue): unknown {
  if (!(value instanceof Map)) return value;
  const params = value.get('params');
  const members = new Map<string, unknown>(value);
  if (params instanceof Map) members.set('params', plainObject(params));
  return plainObject(members);
}
