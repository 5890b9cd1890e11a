/**
 * Vectors as bytes. Little-endian; a vector has one packed form in each packing, so equal vectors have equal bytes:
 *
 * ```
 * float32  │ N × float32                          4 N bytes
 * float16  │ N × float16                          2 N bytes
 * int8     │ scale, float32 │ N × int8            4 + N bytes: an element is its code times the scale
 * ```
 *
 * Which packing and how many dimensions is the cache's to say; bytes of another length are refused. -0 becomes 0.
 *
 * **What is lost**, with q the query, x the vector, x' what was packed, m the largest |x_i|, u the scale:
 *
 * - float32: nothing.
 * - float16: an element is rounded to the nearest of 11 bits, so |x'_i - x_i| ≤ max(2^-11 |x_i|, 2^-25).
 *   Dot product, at worst: 2^-11 Σ|q_i x_i| + 2^-25 Σ|q_i|. Typically: errors are independent, and as often above as below.
 *   That of an element with exponent e is even over ± 2^(e-11), of deviation 2^(e-11)/√3, which is 1.41e-4 to 2.82e-4 of
 *   the element. Magnitudes spread evenly over the logarithm have a mean square of 3/(2 ln 2) × 4^e: then the dot
 *   product's deviation is 2^-11 / √(4.5 / ln 2) = 1.92e-4, of √Σ(q_i x_i)².
 *   Numbers from 65520 on in magnitude are too large and refused.
 * - int8: u is m / 127, rounded up to 17 bits so that each code times u is a float32 and nothing more is rounded, and
 *   at least 2^-126. The largest element becomes ± 127 (unless below 127 × 2^-126), and |x'_i - x_i| ≤ u / 2.
 *   Dot product, at worst: u/2 Σ|q_i|. Typically: an error even over ± u/2 has the deviation u/√12, so the dot product
 *   has u/√12 × √Σq_i², about m/440 times the length of the query.
 *   m above 127 × SCALE_MAX is refused: 127/128 of the largest float32.
 *
 * The distance |q - x| changes by |x' - x| at most: 2^-11 |x| + 2^-25 √N, or u/2 √N. The cosine by 2 |x' - x| / |x| at most.
 */
import { HeadraceError } from '../../base/errors.js';
import { FLOAT16_OVERFLOW, float16Bits, float16Value } from './float16.js';
import { SCALE_BYTES, SCALE_MAX } from './wasm/places.js';

export const PACKINGS = ['float32', 'float16', 'int8'] as const;
export type Packing = (typeof PACKINGS)[number];

/** What the vectors of a cache have in common. */
export interface VectorFormat {
  readonly packing: Packing;
  /** From 1 to `DIMENSIONS_MAX` (`wasm/places.ts`). */
  readonly dimensions: number;
}

const CODE_MAX = 127;
const SCALE_MIN = 2 ** -126;
/** Bits of a float32 scale that are zero. */
const SCALE_ZEROS = 0x7f;

const single = new Float32Array(1);
const singleBits = new Int32Array(single.buffer);

export function packedBytes({ packing, dimensions }: VectorFormat): number {
  if (packing === 'float32') return 4 * dimensions;
  return packing === 'float16' ? 2 * dimensions : SCALE_BYTES + dimensions;
}

/**
 * @throws HeadraceError `invalid-vector` that names the first element that is NaN, infinite, no float32, or too large for
 * the packing, or says that there are not as many as the format has dimensions.
 */
export function pack(format: VectorFormat, vector: ArrayLike<number>): Uint8Array {
  checkVector(format.dimensions, vector);
  const bytes = new Uint8Array(packedBytes(format));
  const data = new DataView(bytes.buffer);
  if (format.packing === 'int8') packInt8(vector, data);
  else if (format.packing === 'float16') packFloat16(vector, data);
  else for (let n = 0; n < vector.length; n++) data.setFloat32(4 * n, element(vector, n), true);
  return bytes;
}

/** @throws HeadraceError `invalid-vector` when the bytes are no vector of that format. */
export function unpack(format: VectorFormat, bytes: Uint8Array): Float32Array {
  const vector = new Float32Array(format.dimensions);
  if (bytes.length !== packedBytes(format)) {
    throw wrong(
      `has ${bytes.length} bytes; ${format.packing} packs ${format.dimensions} elements into ${packedBytes(format)}`,
    );
  }
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (format.packing === 'int8') unpackInt8(data, vector);
  else if (format.packing === 'float16') {
    for (let n = 0; n < vector.length; n++) vector[n] = float16Value(data.getUint16(2 * n, true));
  } else new Uint8Array(vector.buffer).set(bytes); // Little-endian, as the CPU has to be: see `record-layout.ts`.
  checkVector(format.dimensions, vector);
  return vector;
}

/** @throws HeadraceError `invalid-vector` unless it has as many elements as that, all of them finite float32s. */
export function checkVector(dimensions: number, vector: ArrayLike<number>): void {
  if (vector.length !== dimensions) throw wrong(`has ${vector.length} elements, not ${dimensions}`);
  for (let n = 0; n < dimensions; n++) {
    if (!Number.isFinite(element(vector, n))) throw wrong(`has an element ${n} that is not a finite float32`);
  }
}

/** As a float32, without the sign of zero. */
function element(vector: ArrayLike<number>, n: number): number {
  return Math.fround(vector[n] ?? Number.NaN) + 0;
}

function packFloat16(vector: ArrayLike<number>, data: DataView): void {
  for (let n = 0; n < vector.length; n++) {
    const value = element(vector, n);
    if (Math.abs(value) >= FLOAT16_OVERFLOW) throw wrong(`has an element ${n} that is too large for float16`);
    // A negative number may round to -0.
    const bits = float16Bits(value);
    data.setUint16(2 * n, bits === 0x8000 ? 0 : bits, true);
  }
}

function packInt8(vector: ArrayLike<number>, data: DataView): void {
  let largest = 0;
  for (let n = 0; n < vector.length; n++) largest = Math.max(largest, Math.abs(element(vector, n)));
  const scale = scaleOf(largest);
  if (scale > SCALE_MAX) throw wrong('has an element that is too large for int8');
  data.setFloat32(0, scale, true);
  for (let n = 0; n < vector.length; n++) {
    const value = element(vector, n);
    // Halves away from zero, so that the opposite vector has the opposite codes.
    const code = Math.floor(Math.abs(value) / scale + 0.5);
    data.setInt8(SCALE_BYTES + n, value < 0 ? -code : code);
  }
}

function unpackInt8(data: DataView, vector: Float32Array): void {
  const scale = data.getFloat32(0, true);
  if (!(scale >= 0 && scale <= SCALE_MAX))
    throw wrong('has a scale that is negative, too large or no number');
  for (let n = 0; n < vector.length; n++) vector[n] = scale * data.getInt8(SCALE_BYTES + n);
}

/** `largest` / 127, rounded up to 17 bits. */
function scaleOf(largest: number): number {
  const exact = largest / CODE_MAX;
  if (exact <= SCALE_MIN) return SCALE_MIN;
  const scale = truncatedScale(exact);
  if (scale >= exact) return scale;
  singleBits[0] = (singleBits[0] ?? 0) + SCALE_ZEROS + 1;
  return single[0] ?? 0;
}

/** To 17 bits, towards zero or, where the float32 nearest is above, to that. It stays in `single`. */
function truncatedScale(exact: number): number {
  single[0] = exact;
  singleBits[0] = (singleBits[0] ?? 0) & ~SCALE_ZEROS;
  return single[0] ?? 0;
}

function wrong(what: string): HeadraceError {
  return new HeadraceError('invalid-vector', `The vector ${what}.`);
}
