/**
 * Where input and output lie in the memory of the code that compresses (`blocks.ts`), known to it and to its caller
 * (`lz4.ts`). Plain literals, since two compilers read this file.
 *
 * ```
 * 0        TABLE_AT         SOURCE_AT            TARGET_AT            MEMORY_BYTES
 * │ unused │ where a hash   │ input              │ output             │
 * │        │ was last seen  │                    │                    │
 * ```
 *
 * Copies go by sixteen bytes, so both regions have room behind the largest block.
 */

/** Of what is compressed, and of what it may become again. */
export const BLOCK_BYTES_MAX = 1048576;

export const TABLE_AT = 65536;
/** Two to this power are the slots of the table, of four bytes each. */
export const TABLE_LOG = 13;
export const SOURCE_AT = 131072;
export const TARGET_AT = 1245184;
export const MEMORY_BYTES = 2359296;
