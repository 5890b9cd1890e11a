/**
 * Scores of packed vectors: the inner loops. AssemblyScript, compiled to WebAssembly by `npm run build`, called by
 * `scorer.ts`. `places.ts` draws the memory.
 *
 * Every element becomes a float32, which is exact for all packings, and then a float64, in which all is multiplied and
 * summed. So no product of two finite elements is rounded (24 + 24 bits fit into 53), none is too large or too small,
 * and a sum that is not finite comes of an element that is not, and of nothing else: that is how those are found.
 */
import { COSINE, FLOAT16, FLOAT32, L2, QUERY_AT, SCALE_BYTES, SCALE_MAX, TOGETHER } from './places';

/** Bits of a float16: all but the sign, and the first pattern that is no finite number. */
const HALF_MAGNITUDE: i32 = 0x7fff;
const HALF_INFINITY: i32 = 0x7c00;
/** A float16's exponent is 112 below a float32's. */
const HALF_TO_SINGLE: f32 = reinterpret<f32>((127 + 112) << 23);

/**
 * Scores the candidate that begins at `at`, of which the 32 bytes behind it are overwritten. Not finite when the
 * candidate has an element that is not, or a scale that may not be.
 */
export function score(packing: u32, metric: u32, dimensions: u32, querySquares: f64, at: usize): f64 {
  if (packing === FLOAT32) return scoreOf<f32>(at, 1, metric, dimensions, querySquares);
  if (packing === FLOAT16) {
    return isFinite16(at, dimensions) ? scoreOf<u16>(at, 1, metric, dimensions, querySquares) : NaN;
  }
  const scale = load<f32>(at);
  if (!(scale >= 0 && scale <= <f32>SCALE_MAX)) return NaN;
  return scoreOf<i8>(at + SCALE_BYTES, scale, metric, dimensions, querySquares);
}

function scoreOf<T>(at: usize, scale: f64, metric: u32, dimensions: u32, querySquares: f64): f64 {
  const end = at + <usize>dimensions * sizeof<T>();
  v128.store(end, f64x2.splat(0));
  v128.store(end, f64x2.splat(0), 16);
  if (metric === L2) return Math.sqrt(distanceSquared<T>(at, end, scale));
  if (metric === COSINE) return cosine<T>(at, end, scale, querySquares);
  return dot<T>(at, end) * scale;
}

function dot<T>(start: usize, end: usize): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  let query: usize = QUERY_AT;
  for (let at = start; at < end; at += TOGETHER * sizeof<T>()) {
    const low = four<T>(at);
    const high = four<T>(at + 4 * sizeof<T>());
    a = f64x2.add(a, f64x2.mul(v128.load(query), firstTwo(low)));
    b = f64x2.add(b, f64x2.mul(v128.load(query, 16), lastTwo(low)));
    c = f64x2.add(c, f64x2.mul(v128.load(query, 32), firstTwo(high)));
    d = f64x2.add(d, f64x2.mul(v128.load(query, 48), lastTwo(high)));
    query += TOGETHER * 8;
  }
  return total(f64x2.add(f64x2.add(a, b), f64x2.add(c, d)));
}

/** The scale of the candidate does not matter, unless it is zero. */
function cosine<T>(start: usize, end: usize, scale: f64, querySquares: f64): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let aa = f64x2.splat(0);
  let bb = f64x2.splat(0);
  let query: usize = QUERY_AT;
  for (let at = start; at < end; at += 4 * sizeof<T>()) {
    const elements = four<T>(at);
    const first = firstTwo(elements);
    const last = lastTwo(elements);
    a = f64x2.add(a, f64x2.mul(v128.load(query), first));
    b = f64x2.add(b, f64x2.mul(v128.load(query, 16), last));
    aa = f64x2.add(aa, f64x2.mul(first, first));
    bb = f64x2.add(bb, f64x2.mul(last, last));
    query += 4 * 8;
  }
  const squares = total(f64x2.add(aa, bb)) * querySquares;
  if (squares === 0 || scale === 0) return 0;
  return Math.max(-1, Math.min(1, total(f64x2.add(a, b)) / Math.sqrt(squares)));
}

function distanceSquared<T>(start: usize, end: usize, scale: f64): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  let query: usize = QUERY_AT;
  for (let at = start; at < end; at += TOGETHER * sizeof<T>()) {
    const low = four<T>(at);
    const high = four<T>(at + 4 * sizeof<T>());
    a = f64x2.add(a, squared(f64x2.sub(v128.load(query), scaled<T>(firstTwo(low), scale))));
    b = f64x2.add(b, squared(f64x2.sub(v128.load(query, 16), scaled<T>(lastTwo(low), scale))));
    c = f64x2.add(c, squared(f64x2.sub(v128.load(query, 32), scaled<T>(firstTwo(high), scale))));
    d = f64x2.add(d, squared(f64x2.sub(v128.load(query, 48), scaled<T>(lastTwo(high), scale))));
    query += TOGETHER * 8;
  }
  return total(f64x2.add(f64x2.add(a, b), f64x2.add(c, d)));
}

/** Four elements as float32s. */
function four<T>(at: usize): v128 {
  if (sizeof<T>() === 4) return v128.load(at);
  if (sizeof<T>() === 1) {
    return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(at))));
  }
  const bits = v128.load16x4_u(at);
  const magnitudes = i32x4.shl(v128.and(bits, i32x4.splat(HALF_MAGNITUDE)), 13);
  const signs = i32x4.shl(v128.andnot(bits, i32x4.splat(HALF_MAGNITUDE)), 16);
  return v128.or(f32x4.mul(magnitudes, f32x4.splat(HALF_TO_SINGLE)), signs);
}

function isFinite16(start: usize, dimensions: u32): bool {
  const end = start + ((<usize>dimensions) << 1);
  v128.store(end, i64x2.splat(0));
  let largest = i16x8.splat(0);
  for (let at = start; at < end; at += 16) {
    largest = i16x8.max_u(largest, v128.and(v128.load(at), i16x8.splat(<i16>HALF_MAGNITUDE)));
  }
  return !v128.any_true(i16x8.ge_u(largest, i16x8.splat(<i16>HALF_INFINITY)));
}

function firstTwo(elements: v128): v128 {
  return f64x2.promote_low_f32x4(elements);
}

function lastTwo(elements: v128): v128 {
  return f64x2.promote_low_f32x4(i64x2.shuffle(elements, elements, 1, 1));
}

/** Only int8 has a scale. */
function scaled<T>(elements: v128, scale: f64): v128 {
  return sizeof<T>() === 1 ? f64x2.mul(elements, f64x2.splat(scale)) : elements;
}

function squared(elements: v128): v128 {
  return f64x2.mul(elements, elements);
}

function total(sums: v128): f64 {
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
}
