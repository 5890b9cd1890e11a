/**
 * Where what is scored lies in the scorer's memory, and the numbers of packings and metrics, known to the code that scores
 * (`score.ts`) and to its caller (`scorer.ts`). Plain literals, since two compilers read this file.
 *
 * ```
 * 0        QUERY_AT                       CANDIDATE_AT                   MEMORY_BYTES
 * │ unused │ query, as float64, zeros     │ candidate, zeros             │
 * ```
 */

/** Elements that one step takes: query and candidate end in zeros up to a multiple of it. */
export const TOGETHER = 8;
export const DIMENSIONS_MAX = 8192;

export const QUERY_AT = 64;
export const CANDIDATE_AT = 65600;
export const MEMORY_BYTES = 131072;

export const FLOAT32 = 0;
export const FLOAT16 = 1;
export const INT8 = 2;

export const DOT = 0;
export const COSINE = 1;
export const L2 = 2;

/** Of an int8 vector, before its codes. */
export const SCALE_BYTES = 4;
/** The largest that it may have, (2 - 2^-16) × 2^120: no code times it is beyond float32. */
export const SCALE_MAX = 2.658435709160228e36;
