/**
 * Keeps the driver from endless loops over a reply that was damaged on the way.
 *
 * The driver (7.8) cuts what comes into messages by the size before each. A size of 0 leaves it where it is, for ever; one
 * flipped bit is enough, when the bytes behind a message that is said to be too short are zeros. A message has a header
 * of 16 bytes at the least. What says that it is shorter is told as negative, which the driver refuses.
 *
 * It reads an OP_MSG section by section and goes on behind each by the size that it gives. A size whose
 * sign bit has flipped sends it 2^31 bytes back, from where it looks at one place after the other: 9 s. One of -1 holds it
 * for ever. What says that it is less than a document, or more than the message, is refused before it is read.
 *
 * It takes a message that is no OP_MSG for an OP_REPLY, whose head says how many documents follow, and
 * makes a slice for each, up to 2^31 of them, however few bytes there are. One bit flipped in the operation code of a
 * message is enough: the thread is busy for minutes and runs out of memory. A document has five bytes at the least, so
 * what says that it has more than fit is refused before it is read; the driver then closes the connection.
 */
import { createRequire } from 'node:module';
import { assert } from '../base/assert.js';

interface Reply {
  readonly data: Uint8Array;
  parse(): unknown;
}

/** A connection's bytes that are not yet cut into messages. */
interface Bytes {
  /** The first four, as a message's size; null while there are fewer. */
  getInt32(): number | null;
}

/** Size, two numbers and the operation code. */
const HEADER_BYTES = 16;

/** Flags, cursor, place and number: then the documents. */
const HEAD_BYTES = 20;
const NUMBER_AT = 16;
const DOCUMENT_BYTES_MIN = 5;

/** Flags: then the sections, each a byte that says its kind before it. */
const SECTIONS_AT = 4;
const DOCUMENT_KIND = 0;

const require = createRequire(import.meta.url);
const { OpReply, OpMsgResponse } = require('mongodb/lib/cmap/commands.js') as {
  readonly OpReply?: { readonly prototype: Reply };
  readonly OpMsgResponse?: { readonly prototype: Reply };
};
const { BufferPool } = require('mongodb/lib/utils.js') as {
  readonly BufferPool?: { readonly prototype: Bytes };
};
assert(
  OpReply !== undefined && OpMsgResponse !== undefined && BufferPool !== undefined,
  "the driver's readers of replies are where they were",
);
const reply = OpReply.prototype;
const message = OpMsgResponse.prototype;
const { parse: parseReply } = reply;
const { parse: parseMessage } = message;
const bytes = BufferPool.prototype;
const { getInt32: sizeOf } = bytes;

/** To be called before the driver is used; once, or again. */
export function boundReplies(): void {
  reply.parse = boundedReply;
  message.parse = boundedMessage;
  bytes.getInt32 = boundedSize;
}

function boundedSize(this: Bytes): number | null {
  const size = sizeOf.call(this);
  return size !== null && size < HEADER_BYTES ? Math.min(size, -1) : size;
}

function boundedReply(this: Reply): unknown {
  const { byteLength } = this.data;
  const most = (byteLength - HEAD_BYTES) / DOCUMENT_BYTES_MIN;
  if (most < 0 || int32At(this.data, NUMBER_AT) > most) throw tooShort();
  return parseReply.call(this);
}

function boundedMessage(this: Reply): unknown {
  const { data } = this;
  let at = SECTIONS_AT;
  while (at < data.length) {
    if (data[at++] !== DOCUMENT_KIND) continue;
    const left = data.length - at;
    const size = left < DOCUMENT_BYTES_MIN ? 0 : int32At(data, at);
    if (size < DOCUMENT_BYTES_MIN || size > left) throw tooShort();
    at += size;
  }
  return parseMessage.call(this);
}

function int32At({ buffer, byteOffset }: Uint8Array, at: number): number {
  return new DataView(buffer, byteOffset).getInt32(at, true);
}

function tooShort(): RangeError {
  return new RangeError('a reply is shorter than the documents that it says it has');
}
