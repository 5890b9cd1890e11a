/** An entry of a named cache as the client has read it. */
import { localError } from './client-error.js';

export interface CacheEntry {
  readonly bytes: Uint8Array;
  readonly contentType: string;
  readonly etag: string;
  /** Whole seconds since it was written. */
  readonly ageSeconds: number;
  /** Seconds for which it is still fresh, below 0 when it is stale; `undefined` where the server does not say. */
  readonly ttlSeconds: number | undefined;
  text(): string;
  /** @throws ClientError `bad-answer` when it is no JSON. */
  json(): unknown;
}

export function cacheEntry(facts: Omit<CacheEntry, 'text' | 'json'>): CacheEntry {
  const { bytes } = facts;
  const text = () => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
  return {
    ...facts,
    text,
    json() {
      try {
        return JSON.parse(text()) as unknown;
      } catch (error) {
        throw localError('bad-answer', 'the entry is no JSON', error);
      }
    },
  };
}
