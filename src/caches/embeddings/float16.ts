/** IEEE 754 binary16 as bits, since this version of JavaScript has no such numbers. */

/** The largest magnitude that still rounds to a finite float16 is below this. */
export const FLOAT16_OVERFLOW = 65520;

const NORMAL_MIN = 2 ** -14;
/** Subnormal float16s are multiples of 2^-24. */
const SUBNORMALS_PER_ONE = 2 ** 24;
/** A float64 this large has no bits behind the point: adding it rounds to a whole number, ties to even. */
const WHOLE = 2 ** 52;
const SIGN = 0x8000;
const MANTISSA_BITS_DROPPED = 13;
/** A float16's exponent is 112 below a float32's. */
const EXPONENT_DIFFERENCE = 112 << 10;
const TO_SINGLE = 2 ** 112;

const single = new Float32Array(1);
const bits = new Int32Array(single.buffer);

/** The nearest float16 of a float32 below `FLOAT16_OVERFLOW` in magnitude, ties to even. */
export function float16Bits(value: number): number {
  const magnitude = Math.abs(value);
  const sign = value < 0 ? SIGN : 0;
  if (magnitude < NORMAL_MIN) return sign | (magnitude * SUBNORMALS_PER_ONE + WHOLE - WHOLE);
  single[0] = magnitude;
  const whole = bits[0] ?? 0;
  const odd = (whole >> MANTISSA_BITS_DROPPED) & 1;
  return sign | (((whole + 0xfff + odd) >> MANTISSA_BITS_DROPPED) - EXPONENT_DIFFERENCE);
}

/** The number that the bits stand for, exactly; NaN for all that are not finite. */
export function float16Value(half: number): number {
  const magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return Number.NaN;
  bits[0] = magnitude << MANTISSA_BITS_DROPPED;
  const value = (single[0] ?? 0) * TO_SINGLE;
  return (half & SIGN) === 0 ? value : -value;
}
