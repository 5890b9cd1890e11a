/** The entries that benchmarks put: payloads of a given size, made from the seed, under keys that nobody else has. */
import { Random } from './random.js';
import { documentId } from './records.js';

/** Named so that nobody else's entries are met. */
export const KEY_PREFIX = 'headraceBench-';

export class EntryMaker {
  readonly cache: string;
  /** Digits and letters at random, in JSON. */
  readonly payload: string;

  constructor(cache: string, bytes: number, seed: number) {
    const random = new Random(seed, `entries of ${bytes} bytes`);
    const text = Array.from({ length: bytes - 2 }, () => random.below(36).toString(36)).join('');
    this.cache = cache;
    this.payload = `"${text}"`;
  }

  keyOf(entry: number): string {
    return KEY_PREFIX + documentId(entry);
  }

  path(key: string): string {
    return entryPath(this.cache, key);
  }
}

export function entryPath(cache: string, key: string): string {
  return `/v1/caches/${cache}/entries/${encodeURIComponent(key)}`;
}
