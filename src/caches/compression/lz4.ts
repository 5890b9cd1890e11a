/**
 * LZ4 blocks, in the thread that has the bytes: copied into the memory of `wasm/blocks.ts`, and the outcome out of it.
 *
 * Own code: a package with native code is one more thing to build and to trust, and a call into one takes longer than a
 * kibibyte does here. `docs/benchmarks.md` has the figures, beside those of zlib, Brotli and Zstandard.
 */
import { readFileSync } from 'node:fs';
import { assert } from '../../base/assert.js';
import * as places from './wasm/places.js';

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** What `wasm/blocks.ts` exports. */
interface BlocksCode {
  readonly memory: { readonly buffer: ArrayBuffer };
  compress(length: number, limit: number): number;
  expand(length: number, expected: number): number;
}

/** Copies go by so many bytes, and at least once. */
const BEYOND_MAX = 16;

assert(
  places.TABLE_AT + (4 << places.TABLE_LOG) <= places.SOURCE_AT,
  'the table ends where the source begins',
);
assert(
  places.SOURCE_AT + places.BLOCK_BYTES_MAX + BEYOND_MAX <= places.TARGET_AT &&
    places.TARGET_AT + places.BLOCK_BYTES_MAX + BEYOND_MAX <= places.MEMORY_BYTES,
  'the largest block has room, and what is copied beyond it',
);

export const BLOCK_BYTES_MAX = places.BLOCK_BYTES_MAX;

const code = readFileSync(new URL('./wasm/blocks.wasm', import.meta.url));

/** One for each thread. What it returns is valid until it is called again. */
export class Lz4 {
  readonly #code: BlocksCode;
  readonly #memory: Uint8Array;

  constructor() {
    this.#code = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as BlocksCode;
    const { buffer } = this.#code.memory;
    assert(buffer.byteLength === places.MEMORY_BYTES, 'both know the size of the memory');
    this.#memory = new Uint8Array(buffer);
  }

  /** The bytes as a block of `limit` bytes at most; `undefined` when it would be larger. */
  compress(bytes: Uint8Array, limit: number): Uint8Array | undefined {
    assert(bytes.length <= BLOCK_BYTES_MAX && limit <= BLOCK_BYTES_MAX, 'a block has room in the memory');
    this.#memory.set(bytes, places.SOURCE_AT);
    const length = this.#code.compress(bytes.length, limit);
    return length === 0 ? undefined : this.#target(length);
  }

  /** What the block was made of; `undefined` when it is no block of so many bytes, whatever else it is. */
  expand(block: Uint8Array, length: number): Uint8Array | undefined {
    if (block.length > BLOCK_BYTES_MAX || length > BLOCK_BYTES_MAX) return undefined;
    this.#memory.set(block, places.SOURCE_AT);
    return this.#code.expand(block.length, length) === 0 ? undefined : this.#target(length);
  }

  #target(length: number): Uint8Array {
    return this.#memory.subarray(places.TARGET_AT, places.TARGET_AT + length);
  }
}
