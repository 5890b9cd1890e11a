/**
 * Chunks of a body that arrive although reading is paused. uWebSockets.js reads a socket again and again for as long as
 * it finds 512 KiB in it, and looks at the pause only then: a fast client on the same machine can keep it there. The
 * pause takes hold once the system's buffer runs dry, so holding a chunk must take less time than sending it: chunks
 * are copied to memory that was touched before, since the system gives out a new page in the time that it takes to
 * copy it. Small chunks share a block: a body sent byte by byte takes no more memory than any other.
 */

/** Of all bodies together. */
const HELD_BYTES_MAX = 256 * 1024 * 1024;
/** What uWebSockets.js reads at most at a time. */
const BLOCK_BYTES = 512 * 1024;
/** Blocks made ahead, more than a system's buffers fill (46 MB seen), and blocks kept for the next bodies. */
const BLOCKS_AHEAD = 144;
const BLOCKS_KEPT_MAX = 256;

let heldBytes = 0;
/** Made when the first chunk is held. */
let freeBlocks: Uint8Array[] | undefined;

function touchedBlocks(): Uint8Array[] {
  return Array.from({ length: BLOCKS_AHEAD }, () => new Uint8Array(BLOCK_BYTES).fill(1));
}

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
    freeBlocks ??= touchedBlocks();
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
  if (freeBlocks === undefined || freeBlocks.length >= BLOCKS_KEPT_MAX) return;
  if (block.length === BLOCK_BYTES) freeBlocks.push(block);
}
