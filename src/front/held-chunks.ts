/**
 * Chunks of a body that arrive although reading is paused. uWebSockets.js reads a socket again and again for as long as
 * it finds 512 KiB in it, and looks at the pause only then: a fast client on the same machine can keep it there. The
 * pause takes hold once the system's buffer, 33 MB at most on Linux, runs dry; 10 to 20 MB come in a pause as a rule, 121
 * have been seen. Small chunks share a block: a body sent byte by byte takes no more memory than any other.
 */

/** Of all bodies together. */
const HELD_BYTES_MAX = 256 * 1024 * 1024;
/** What uWebSockets.js reads at most at a time. */
const BLOCK_BYTES = 512 * 1024;
/** Kept for the next pause: what the system gives anew, it has to clear. */
const BLOCKS_KEPT_MAX = 64;

let heldBytes = 0;
const freeBlocks: Uint8Array[] = [];

interface Held {
  readonly block: Uint8Array;
  length: number;
  last: boolean;
}

export class HeldChunks {
  #chunks: Held[] = [];

  /** Copies the chunk; false, and nothing held, when that would be too much. */
  add(chunk: ArrayBuffer, last: boolean): boolean {
    const length = chunk.byteLength;
    if (heldBytes + length > HELD_BYTES_MAX) return false;
    heldBytes += length;
    const newest = this.#chunks.at(-1);
    if (newest !== undefined && newest.length + length <= newest.block.length) {
      newest.block.set(new Uint8Array(chunk), newest.length);
      newest.length += length;
      newest.last = last;
      return true;
    }
    const free = length <= BLOCK_BYTES ? freeBlocks.pop() : undefined;
    const block = free ?? new Uint8Array(Math.max(length, BLOCK_BYTES));
    block.set(new Uint8Array(chunk));
    this.#chunks.push({ block, length, last });
    return true;
  }

  /** Hands the oldest bytes on, if there are any; its memory is used again afterwards. */
  take(deliver: (bytes: Uint8Array, last: boolean) => void): boolean {
    const held = this.#chunks.shift();
    if (held === undefined) return false;
    deliver(held.block.subarray(0, held.length), held.last);
    giveBack(held);
    return true;
  }

  clear(): void {
    for (const held of this.#chunks) giveBack(held);
    this.#chunks = [];
  }
}

function giveBack({ block, length }: Held): void {
  heldBytes -= length;
  if (block.length === BLOCK_BYTES && freeBlocks.length < BLOCKS_KEPT_MAX) freeBlocks.push(block);
}
