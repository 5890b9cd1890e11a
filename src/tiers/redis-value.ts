/**
 * A value in Redis: the version in 7 bytes, big-endian, a check byte, then what the tier was given.
 *
 *   0        7      8
 *   ┌────────┬──────┬─────────────────
 *   │ version│ check│ value …
 *   └────────┴──────┴─────────────────
 *
 * Beside the value and not in it, as tiers do not know what they hold; in the same string and not in a hash, since
 * MGET reads strings. The check byte is what the sum of the seven is short of 255: with any one bit flipped a write
 * takes the key for absent, else a version made larger by a flipped bit would refuse every write until it expired.
 */
import type { Version } from '../base/clock.js';

export const REDIS_HEADER_BYTES = 8;

export function packRedisValue(version: Version, value: Uint8Array): Buffer {
  const packed = Buffer.allocUnsafe(REDIS_HEADER_BYTES + value.length);
  packed.writeUIntBE(Math.floor(version / 2 ** 32), 0, 3);
  packed.writeUInt32BE(version % 2 ** 32, 3);
  packed[7] = checkOf(packed);
  packed.set(value, REDIS_HEADER_BYTES);
  return packed;
}

const DAMAGED = new Uint8Array(0);

/** The value without its header, in the same memory; `undefined` when there is none, empty when its header is damaged. */
export function unpackRedisValue(packed: unknown): Uint8Array | undefined {
  if (!Buffer.isBuffer(packed)) return undefined;
  if (packed.length < REDIS_HEADER_BYTES || packed[7] !== checkOf(packed)) return DAMAGED;
  return packed.subarray(REDIS_HEADER_BYTES);
}

function checkOf(bytes: Buffer): number {
  // Written out: this is run for every value of a lookup.
  const sum = bytes[0]! + bytes[1]! + bytes[2]! + bytes[3]! + bytes[4]! + bytes[5]! + bytes[6]!;
  return 255 - (sum & 255);
}
