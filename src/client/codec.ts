/** How the values of a cached function become bytes, and values again. */

export interface Codec<T> {
  /** Entries of another type are not this function's, and count as missing. */
  readonly contentType: string;
  /** `undefined`: this value is not to be kept. */
  encode(value: T): Uint8Array | string | undefined;
  /** @throws when the bytes are no such value, which then counts as missing. */
  decode(bytes: Uint8Array): T;
}

/** JSON: what it loses (undefined, dates, maps), the cached value lacks too. */
export function jsonCodec<T>(): Codec<T> {
  return {
    contentType: 'application/json',
    encode: value => JSON.stringify(value) as string | undefined,
    decode: bytes =>
      JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as T,
  };
}

export const bytesCodec: Codec<Uint8Array> = {
  contentType: 'application/octet-stream',
  encode: value => value,
  decode: bytes => bytes,
};
