/**
 * Keeps the driver from an endless loop over a reply that was damaged on the way.
 *
 * The driver (7.8) takes a message that is no OP_MSG for an OP_REPLY, whose head says how many documents follow, and
 * makes a slice for each, up to 2^31 of them, however few bytes there are. One bit flipped in the operation code of a
 * message is enough: the thread is busy for minutes and runs out of memory. A document has five bytes at the least, so
 * what says that it has more than fit is refused before it is read; the driver then closes the connection.
 */
import { createRequire } from 'node:module';
import { assert } from '../base/assert.js';

interface OpReply {
  readonly data: Uint8Array;
  parse(): unknown;
}

/** Flags, cursor, place and number: then the documents. */
const HEAD_BYTES = 20;
const NUMBER_AT = 16;
const DOCUMENT_BYTES_MIN = 5;

const { OpReply } = createRequire(import.meta.url)('mongodb/lib/cmap/commands.js') as {
  readonly OpReply?: { readonly prototype: OpReply };
};
assert(OpReply !== undefined, "the driver's reader of replies is where it was");
const { prototype } = OpReply;
const { parse } = prototype;

/** To be called before the driver is used; once, or again. */
export function boundReplies(): void {
  prototype.parse = boundedParse;
}

function boundedParse(this: OpReply): unknown {
  const { byteLength, byteOffset, buffer } = this.data;
  const most = (byteLength - HEAD_BYTES) / DOCUMENT_BYTES_MIN;
  if (most < 0 || new DataView(buffer, byteOffset).getInt32(NUMBER_AT, true) > most) {
    throw new RangeError('a reply is shorter than the documents that it says it has');
  }
  return parse.call(this);
}
