/** Answers in JSON, as far as a caller is to rely on them. */
import { localError } from './client-error.js';
import type { Answer } from './transport.js';

/** @throws ClientError `bad-answer` when it is no JSON object. */
export function objectOf({ bytes }: Answer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch (error) {
    throw localError('bad-answer', 'it is no JSON', error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw localError('bad-answer', 'it is no JSON object');
  return { ...value };
}

type Kinds = { readonly number: number; readonly string: string; readonly boolean: boolean };

/** @throws ClientError `bad-answer` unless the member is of that type. */
export function member<K extends keyof Kinds>(
  object: Readonly<Record<string, unknown>>,
  name: string,
  kind: K,
): Kinds[K] {
  const value = object[name];
  if (typeof value !== kind) throw localError('bad-answer', `'${name}' is no ${kind}`);
  return value as Kinds[K];
}

/** The same for one that may be null. */
export function memberOrNull<K extends keyof Kinds>(
  object: Readonly<Record<string, unknown>>,
  name: string,
  kind: K,
): Kinds[K] | null {
  return object[name] === null ? null : member(object, name, kind);
}

/** @throws ClientError `bad-answer` unless the member is a list. */
export function listOf(object: Readonly<Record<string, unknown>>, name: string): readonly unknown[] {
  const value = object[name];
  if (!Array.isArray(value)) throw localError('bad-answer', `'${name}' is no list`);
  return value;
}

/** @throws ClientError `bad-answer` unless it is an object. */
export function asObject(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw localError('bad-answer', `${what} is no object`);
}
