/**
 * Numbers as decimal text, written as ASCII bytes: float32 in the fewest digits that read back to the same float32.
 *
 * How: scale the number by a power of ten, so that it and its rounding interval (the reals that read back to it) lie
 * between 1e8 and 2e9. There the interval always holds an integer. Drop digits from its ends for as long as a shorter
 * decimal remains inside; of the decimals left, the closest to the number is the answer. A double does all of it: for
 * powers 0 to 12 (numbers from about 1e-4 on) the 25 bits of an end times 5^12 fit its 53 bits, so nothing is rounded.
 * For other powers, a decision that lies within the rounding error is made again exactly, by the engine's toPrecision.
 * The idea of shortening an interval is Steele and White's, "How to print floating-point numbers accurately" (1990).
 */

/** The most bytes one number can take: a sign, and 0.0000012345678 or 21 digits or d.dddddddde-dd. */
export const NUMBER_TEXT_BYTES_MAX = 25;

const EXACT_POWER_MAX = 12;
/** Bounds the error of a scaled number: values below 2e9, three roundings of 2^-53 each, and one of a sum. */
const MARGIN = 1e-6;

const bits = new Int32Array(1);
const float = new Float32Array(bits.buffer);

/** By biased exponent: the power of ten that scales, the scale, and half a unit in the last place, scaled. */
const POWERS = new Int32Array(255);
const SCALES = new Float64Array(255);
const HALF_UNITS = new Float64Array(255);
for (let exponent = 0; exponent < 255; exponent++) {
  const normal = Math.max(exponent, 1);
  const power = 8 - Math.floor(Math.log10(2 ** (normal - 127)));
  POWERS[exponent] = power;
  SCALES[exponent] = Number(`1e${power}`);
  HALF_UNITS[exponent] = 2 ** (normal - 151) * Number(`1e${power}`);
}

const TENS = new Int32Array(10).map((_, power) => 10 ** power);
const PAIRS = Uint8Array.from(
  { length: 200 },
  (_, at) => 48 + (at & 1 ? (at >> 1) % 10 : Math.floor(at / 20)),
);

const ZERO = 0x30;
const DOT = 0x2e;
const MINUS = 0x2d;
const PLUS = 0x2b;
const LETTER_E = 0x65;

/** What the digit search found: the decimal is `foundDigits` times ten to `foundPower`. */
let foundDigits = 0;
let foundPower = 0;

/**
 * Writes a finite float32 as JSON number text at `at`, and returns the offset behind it. What is no number (NaN, an
 * infinity) is written as `null`. -0 is `-0`, which reads back as it was. `bytes` must have room for
 * `NUMBER_TEXT_BYTES_MAX`.
 */
export function writeFloat32(bytes: Uint8Array, at: number, value: number): number {
  if ((value | 0) === value && value < 16777216 && value > -16777216) {
    return writeSmallInteger(bytes, at, value);
  }
  float[0] = value;
  const raw = bits[0] ?? 0;
  const exponent = (raw >>> 23) & 0xff;
  if (exponent === 0xff) return writeNull(bytes, at);
  if (raw < 0) bytes[at++] = MINUS;
  const magnitude = Math.abs(Math.fround(value));
  if (!searchDigits(magnitude, raw)) searchDigitsExactly(magnitude);
  return writeDecimal(bytes, at, foundDigits, foundPower);
}

/** The digits of a positive float32 and its bits; false when the error of doubles could decide wrongly. */
function searchDigits(magnitude: number, raw: number): boolean {
  const exponent = (raw >>> 23) & 0xff;
  const power = POWERS[exponent] ?? 0;
  const exact = power >= 0 && power <= EXACT_POWER_MAX;
  const scaled = magnitude * (SCALES[exponent] ?? 0);
  const half = HALF_UNITS[exponent] ?? 0;
  // Below a power of two the numbers lie twice as close.
  const low = scaled - ((raw & 0x7fffff) === 0 && exponent > 1 ? half / 2 : half);
  const high = scaled + half;
  let first = low | 0;
  const lowRest = low - first;
  if (lowRest > 0) first++;
  let last = high | 0;
  const highRest = high - last;
  if (exact) {
    // The ends of the interval read back to the even neighbour.
    if ((raw & 1) === 1) {
      if (lowRest === 0) first++;
      if (highRest === 0) last--;
    }
  } else if (lowRest < MARGIN || lowRest > 1 - MARGIN || highRest < MARGIN || highRest > 1 - MARGIN) {
    return false;
  }
  let dropped = 0;
  for (;;) {
    const shorterFirst = ((first + 9) / 10) | 0;
    const shorterLast = (last / 10) | 0;
    if (shorterFirst > shorterLast) break;
    first = shorterFirst;
    last = shorterLast;
    dropped++;
  }
  const ten = TENS[dropped] ?? 1;
  let digits = (scaled / ten) | 0;
  const beyondMiddle = (scaled - digits * ten) * 2 - ten;
  if (!exact && Math.abs(beyondMiddle) < 4 * MARGIN) return false;
  if (beyondMiddle > 0 || (beyondMiddle === 0 && (digits & 1) === 1)) digits++;
  foundDigits = Math.max(first, Math.min(digits, last));
  foundPower = dropped - power;
  return true;
}

/** The same by trial: the closest decimal of 1, 2, … digits, and the one above it, until one reads back. */
function searchDigitsExactly(magnitude: number): void {
  for (let precision = 1; precision <= 9; precision++) {
    const text = magnitude.toExponential(precision - 1);
    const mark = text.indexOf('e');
    const digits = Number(text.slice(0, mark).replace('.', ''));
    const power = Number(text.slice(mark + 1)) - precision + 1;
    // Above a power of two the interval reaches twice as far as below: the closest may miss where the next does not.
    for (const candidate of [digits, digits + 1]) {
      if (Math.fround(Number(`${candidate}e${power}`)) !== magnitude) continue;
      foundDigits = candidate;
      foundPower = power;
      return;
    }
  }
}

/** `digits` (positive, under 2^31) times ten to `power`, set out as JavaScript sets out numbers. */
function writeDecimal(bytes: Uint8Array, at: number, digits: number, power: number): number {
  const count = digitCount(digits);
  const point = count + power;
  if (point > 21 || point <= -6) return writeScientific(bytes, at, digits, count, point - 1);
  if (point <= 0) {
    bytes[at++] = ZERO;
    bytes[at++] = DOT;
    for (let zeros = point; zeros < 0; zeros++) bytes[at++] = ZERO;
    return writeDigits(bytes, at, digits, count);
  }
  if (power >= 0) {
    at = writeDigits(bytes, at, digits, count);
    for (let zeros = power; zeros > 0; zeros--) bytes[at++] = ZERO;
    return at;
  }
  return writeAroundPoint(bytes, at, digits, count, point);
}

function writeScientific(
  bytes: Uint8Array,
  at: number,
  digits: number,
  count: number,
  exponent: number,
): number {
  at = count === 1 ? writeDigits(bytes, at, digits, 1) : writeAroundPoint(bytes, at, digits, count, 1);
  bytes[at++] = LETTER_E;
  bytes[at++] = exponent < 0 ? MINUS : PLUS;
  return writeInteger(bytes, at, Math.abs(exponent));
}

function writeAroundPoint(
  bytes: Uint8Array,
  at: number,
  digits: number,
  count: number,
  point: number,
): number {
  const end = writeDigits(bytes, at + 1, digits, count);
  for (let place = 0; place < point; place++) bytes[at + place] = bytes[at + place + 1] ?? 0;
  bytes[at + point] = DOT;
  return end;
}

/** Writes a safe integer, and returns the offset behind it; what is none is written as `null`. */
export function writeInteger(bytes: Uint8Array, at: number, value: number): number {
  if (!Number.isSafeInteger(value)) return writeNull(bytes, at);
  if (value < 0) {
    bytes[at++] = MINUS;
    value = -value;
  }
  if (value < 2147483648) return writeDigits(bytes, at, value, digitCount(value));
  const billions = Math.floor(value / 1e9);
  at = writeDigits(bytes, at, billions, digitCount(billions));
  return writeDigits(bytes, at, value - billions * 1e9, 9);
}

/** Writes a finite float64 as JavaScript prints it (-0 as `-0`), and returns the offset behind it; else `null`. */
export function writeFloat64(bytes: Uint8Array, at: number, value: number): number {
  if (!Number.isFinite(value)) return writeNull(bytes, at);
  if ((value | 0) === value) return writeSmallInteger(bytes, at, value);
  const text = String(value);
  for (let place = 0; place < text.length; place++) bytes[at + place] = text.charCodeAt(place);
  return at + text.length;
}

/** An int32 that may be -0. */
function writeSmallInteger(bytes: Uint8Array, at: number, value: number): number {
  if (value === 0) {
    if (1 / value < 0) bytes[at++] = MINUS;
    bytes[at] = ZERO;
    return at + 1;
  }
  return writeInteger(bytes, at, value);
}

export function writeNull(bytes: Uint8Array, at: number): number {
  bytes[at] = 0x6e;
  bytes[at + 1] = 0x75;
  bytes[at + 2] = 0x6c;
  bytes[at + 3] = 0x6c;
  return at + 4;
}

/** The last `count` digits of an integer from 0 to 2^31 - 1, with leading zeros where it has fewer. */
function writeDigits(bytes: Uint8Array, at: number, value: number, count: number): number {
  let place = at + count;
  let rest = value | 0;
  while (place - at >= 2) {
    const hundreds = (rest / 100) | 0;
    const pair = (rest - hundreds * 100) << 1;
    bytes[--place] = PAIRS[pair + 1] ?? 0;
    bytes[--place] = PAIRS[pair] ?? 0;
    rest = hundreds;
  }
  if (place > at) bytes[at] = ZERO + rest;
  return at + count;
}

function digitCount(value: number): number {
  if (value < 100000) return value < 100 ? (value < 10 ? 1 : 2) : value < 1000 ? 3 : value < 10000 ? 4 : 5;
  if (value < 10000000) return value < 1000000 ? 6 : 7;
  return value < 100000000 ? 8 : value < 1000000000 ? 9 : 10;
}
