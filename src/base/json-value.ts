/**
 * Whole JSON values: for control bodies, which are then validated, and for values that are only checked. Duplicate keys
 * are errors in both.
 */
import type { JsonReader } from './json.js';
import { shown } from './problem-list.js';

/** Objects are Maps: they keep the text's order, also for keys like "1", and `__proto__` is a key like any other. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = Map<string, JsonValue>;

/**
 * Reads the next value. Numbers are doubles; one that is none (1e999) and an integer that a double cannot tell from
 * its neighbours (beyond 2^53 - 1, written without point and exponent) are errors.
 */
export function readValue(reader: JsonReader): JsonValue {
  switch (reader.kind()) {
    case 'object':
      return readObject(reader);
    case 'array': {
      const elements: JsonValue[] = [];
      for (let more = reader.beginArray(); more; more = reader.nextElement())
        elements.push(readValue(reader));
      return elements;
    }
    case 'string':
      return reader.readString();
    case 'number':
      return readNumber(reader);
    case 'boolean':
      return reader.readBoolean();
    case 'null':
      reader.readNull();
      return null;
  }
}

/** Reads a whole text that is one value. */
export function readText(reader: JsonReader, bytes: Uint8Array): JsonValue {
  reader.open(bytes);
  const value = readValue(reader);
  reader.finish();
  return value;
}

function readObject(reader: JsonReader): JsonObject {
  const members: JsonObject = new Map();
  for (let more = reader.beginObject(); more; more = reader.nextMember()) {
    const at = reader.at;
    const key = reader.readKey();
    if (members.has(key)) failDuplicate(reader, key, at);
    members.set(key, readValue(reader));
  }
  return members;
}

function readNumber(reader: JsonReader): number {
  const start = reader.at;
  const value = reader.readFloat64();
  if (!Number.isFinite(value)) reader.fail('the number is beyond the range of float64', start);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    const text = reader.text(start, reader.at);
    if (!/[.eE]/.test(text)) reader.fail('the integer is beyond 2^53 - 1 and would be rounded', start);
  }
  return value;
}

/** Checks the next value without keeping it. Numbers of any size pass: nobody computes with them. */
export function skipValue(reader: JsonReader): void {
  switch (reader.kind()) {
    case 'object':
      skipObject(reader);
      break;
    case 'array':
      for (let more = reader.beginArray(); more; more = reader.nextElement()) skipValue(reader);
      break;
    case 'string':
      reader.skipString();
      break;
    case 'number':
      reader.skipNumber();
      break;
    case 'boolean':
      reader.readBoolean();
      break;
    case 'null':
      reader.readNull();
      break;
  }
}

function skipObject(reader: JsonReader): void {
  const seen = new Set<string>();
  for (let more = reader.beginObject(); more; more = reader.nextMember()) {
    const at = reader.at;
    const key = reader.readKey();
    if (seen.has(key)) failDuplicate(reader, key, at);
    seen.add(key);
    skipValue(reader);
  }
}

/** @throws HeadraceError `bad-json` that names the key and its second place. */
export function failDuplicate(reader: JsonReader, key: string, at: number): never {
  reader.fail(`the key ${JSON.stringify(shown(key))} is there twice`, at);
}
