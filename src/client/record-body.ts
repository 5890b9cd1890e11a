/** Records on their way out: a row of features as the JSON that the server reads. */
import { HeadraceError } from '../base/errors.js';
import type { FeatureRowInput, Features } from './feature-types.js';

export interface RecordOptions {
  /** The larger wins; without one the server's clock gives one. */
  readonly version?: number | undefined;
  /** `1h`; without one that of the view. */
  readonly ttl?: string | undefined;
  /** For invalidation. */
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** @throws HeadraceError `invalid-record` that names what JSON would make null in silence. */
export function recordBody<F extends Features>(
  features: FeatureRowInput<F>,
  { version, ttl, tags, metadata }: RecordOptions,
  id?: string,
): string {
  const values: [string, unknown][] = [];
  for (const [name, value] of Object.entries(features)) {
    if (value !== undefined) values.push([name, jsonValue(name, value)]);
  }
  return JSON.stringify({ id, features: Object.fromEntries(values), version, ttl, tags, metadata });
}

function jsonValue(name: string, value: unknown): unknown {
  if (typeof value === 'number') return finite(name, value);
  if (value instanceof Float32Array) return Array.from(value, number => finite(name, number));
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (Array.isArray(value)) return value.map(number => finite(name, Number(number)));
  return value;
}

function finite(name: string, value: number): number {
  if (Number.isFinite(value)) return value;
  const detail = `is ${value}, which no record can hold`;
  const at = `features.${name}`;
  throw new HeadraceError('invalid-record', `${at} ${detail}`, [{ at, detail }]);
}
