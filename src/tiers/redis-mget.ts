/**
 * MGET as bytes, made from storage keys without a string between: half the cost of a lookup of many keys.
 *
 * Measured, 500 keys: 0.16 ms to make strings of the keys and 0.18 ms for ioredis to write them, against 0.03 ms here.
 */
import { Command } from 'ioredis';
import { RAW_REPLY } from './redis-command.js';
import type { RedisKeys } from './redis-keys.js';

const CR = 0x0d;
const LF = 0x0a;
const DOLLAR = 0x24;
const ZERO = 0x30;
/** Around a key: `$`, its length in up to 4 digits, and two line ends. */
const FRAME_BYTES = 9;
/** Where copying by a call begins to be quicker than byte by byte. */
const COPY_BYTES_MIN = 40;

/** A command that is bytes already. */
class EncodedCommand extends Command {
  readonly #bytes: Buffer;

  constructor(name: string, bytes: Buffer) {
    super(name, [], RAW_REPLY);
    this.#bytes = bytes;
  }

  override toWritable(): Buffer {
    return this.#bytes;
  }
}

/** MGET of the storage keys `[start, end)`, for a server that has all of them. */
export function mgetCommand(
  keys: RedisKeys,
  storageKeys: readonly Uint8Array[],
  start: number,
  end: number,
): Command {
  const head = `*${end - start + 1}\r\n$4\r\nMGET\r\n`;
  let bound = head.length;
  for (let place = start; place < end; place++) {
    bound += (storageKeys[place]?.length ?? 0) + keys.growthBytesMax + FRAME_BYTES;
  }
  const out = Buffer.allocUnsafe(bound);
  let at = out.write(head, 'latin1');
  for (let place = start; place < end; place++) {
    const storageKey = storageKeys[place];
    if (storageKey !== undefined) at = writeKey(out, at, keys.viewBytesOf(storageKey), storageKey);
  }
  return new EncodedCommand('mget', out.subarray(0, at));
}

/** Writes the Redis key of a storage key as an argument, and returns where it ends. */
function writeKey(out: Buffer, start: number, view: Uint8Array, storageKey: Uint8Array): number {
  let at = start;
  out[at++] = DOLLAR;
  at = writeDecimal(out, at, view.length + storageKey.length - 4);
  out[at++] = CR;
  out[at++] = LF;
  for (let from = 0; from < view.length; from++) out[at++] = view[from] ?? 0;
  if (storageKey.length < COPY_BYTES_MIN) {
    for (let from = 4; from < storageKey.length; from++) out[at++] = storageKey[from] ?? 0;
  } else {
    out.set(storageKey.subarray(4), at);
    at += storageKey.length - 4;
  }
  out[at++] = CR;
  out[at++] = LF;
  return at;
}

/** A number below 10,000. */
function writeDecimal(out: Buffer, start: number, value: number): number {
  let at = start;
  if (value >= 1000) out[at++] = ZERO + Math.floor(value / 1000);
  if (value >= 100) out[at++] = ZERO + (Math.floor(value / 100) % 10);
  if (value >= 10) out[at++] = ZERO + (Math.floor(value / 10) % 10);
  out[at++] = ZERO + (value % 10);
  return at;
}
