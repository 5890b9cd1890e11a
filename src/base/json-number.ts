/**
 * JSON numbers: the grammar of RFC 8259, and the nearest double without making a string of the text.
 *
 * The digits are gathered as one integer, the point and the exponent as one power of ten. While the integer is below
 * 2^53 it is exact in a double, and so is a power of ten up to 10^22: one multiplication or division of the two is
 * rounded once, which is what `Number(text)` gives (Clinger, "How to read floating point numbers accurately", 1990).
 *
 * Doubles printed in full have up to 17 digits, often just beyond 2^53. For those the integer is known as a sum of two
 * doubles, and so is its product or quotient with the power of ten, to about 2^-104 (Dekker, "A floating-point
 * technique for extending the available precision", 1971). Unless that is within 2^-98 of the middle between two
 * doubles, it says which one is the nearest. What is left, one number in trillions and very long texts, takes the
 * text's way through `Number`.
 */

const TWO_53 = 2 ** 53;
const SPLITTER = 2 ** 27 + 1;
const DOUBT = 2 ** -98;
/** Past 2^53 the sum of digits is off by at most some units of 2^21 here, which its last 32 bits set right. */
const DIGITS_MAX = 22;
const POWERS_MAX = 22;
const POWERS_OF_TEN = Float64Array.from({ length: POWERS_MAX + 1 }, (_, power) => Number(`1e${power}`));
/** Where an exponent stops being counted: far beyond what a double or any digits before it can make up for. */
const EXPONENT_MAX = 1e9;

const [MINUS, PLUS, POINT, ZERO] = [0x2d, 0x2b, 0x2e, 0x30] as const;
/** `e`, and with this bit cleared `E`. */
const [E, CASE] = [0x65, 0x20] as const;

export class NumberScanner {
  /** The offset behind the number, or of the byte that breaks it. */
  end = 0;
  /** Whether `scan` gave the nearest double; if not, it must be read from the text. */
  exact = true;
  /** Whether it is, and the digits alone are below 2^53. */
  short = true;

  /** The number that starts at `start` (a digit or a minus), or NaN when it breaks the grammar at `end`. */
  scan(bytes: Uint8Array, start: number, limit: number): number {
    const negative = bytes[start] === MINUS;
    const whole = negative ? start + 1 : start;
    let at = whole;
    let mantissa = 0;
    /** The same integer's last 32 bits. */
    let bits = 0;
    // One comparison for both sides: what is no digit becomes a large unsigned number.
    for (; at < limit; at++) {
      const digit = ((bytes[at] ?? 0) - ZERO) >>> 0;
      if (digit > 9) break;
      mantissa = mantissa * 10 + digit;
      bits = (Math.imul(bits, 10) + digit) | 0;
    }
    if (at === whole) return this.#broken(at);
    if (at - whole > 1 && bytes[whole] === ZERO) return this.#broken(whole + 1);
    let scale = 0;
    if (at < limit && bytes[at] === POINT) {
      const fraction = ++at;
      for (; at < limit; at++) {
        const digit = ((bytes[at] ?? 0) - ZERO) >>> 0;
        if (digit > 9) break;
        mantissa = mantissa * 10 + digit;
        bits = (Math.imul(bits, 10) + digit) | 0;
      }
      scale = fraction - at;
      if (scale === 0) return this.#broken(at);
    }
    const digits = at - whole;
    if (at < limit && ((bytes[at] ?? 0) | CASE) === E) {
      const exponent = this.#scanExponent(bytes, at + 1, limit);
      if (Number.isNaN(exponent)) return exponent;
      scale += exponent;
      at = this.end;
    }
    this.end = at;
    const value = this.#scaled(mantissa, bits, digits, scale);
    return negative ? -value : value;
  }

  #scanExponent(bytes: Uint8Array, start: number, limit: number): number {
    const sign = start < limit ? bytes[start] : undefined;
    const first = sign === MINUS || sign === PLUS ? start + 1 : start;
    let at = first;
    let exponent = 0;
    for (; at < limit; at++) {
      const digit = ((bytes[at] ?? 0) - ZERO) >>> 0;
      if (digit > 9) break;
      exponent = Math.min(exponent * 10 + digit, EXPONENT_MAX);
    }
    if (at === first) return this.#broken(at);
    this.end = at;
    return sign === MINUS ? -exponent : exponent;
  }

  #scaled(mantissa: number, bits: number, digits: number, scale: number): number {
    this.exact = scale >= -POWERS_MAX && scale <= POWERS_MAX;
    this.short = this.exact && mantissa < TWO_53;
    if (!this.exact) return 0;
    const power = POWERS_OF_TEN[scale < 0 ? -scale : scale] ?? 1;
    if (this.short) return scale < 0 ? mantissa / power : mantissa * power;
    const rest = (bits - (mantissa | 0)) | 0;
    const value = digits <= DIGITS_MAX ? nearest(mantissa, rest, power, scale < 0) : Number.NaN;
    this.exact = !Number.isNaN(value);
    return this.exact ? value : 0;
  }

  #broken(at: number): number {
    this.end = at;
    return Number.NaN;
  }
}

/** The double nearest to `mantissa + rest`, an integer, divided or multiplied by a power of ten; NaN when in doubt. */
function nearest(mantissa: number, rest: number, power: number, divide: boolean): number {
  const high = mantissa + rest;
  const low = rest - (high - mantissa);
  const value = divide ? high / power : high * power;
  const product = divide ? value * power : value;
  const error = productError(divide ? value : high, power, product);
  const correction = divide ? (high - product - error + low) / power : error + low * power;
  const doubt = value * DOUBT;
  const result = value + (correction - doubt);
  return result === value + (correction + doubt) ? result : Number.NaN;
}

/** What `product`, the rounded product of the two, lacks to the exact one. */
function productError(a: number, b: number, product: number): number {
  const aHigh = upperHalf(a);
  const bHigh = upperHalf(b);
  const aLow = a - aHigh;
  const bLow = b - bHigh;
  return aLow * bLow - (product - aHigh * bHigh - aLow * bHigh - aHigh * bLow);
}

/** The upper 26 bits (Veltkamp). */
function upperHalf(value: number): number {
  const shifted = value * SPLITTER;
  return shifted - (shifted - value);
}

const PARTS = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;

/**
 * The integer that a JSON number's text stands for, however it is written (`1.0`, `10e-1`); NaN when its value is no
 * integer, an infinity when it is beyond ±(2^53 - 1). Exact for any length of text.
 */
export function integerOfText(text: string): number {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = PARTS.exec(text) ?? [];
  const digits = whole + fraction;
  let start = 0;
  let end = digits.length;
  // Not by /0+$/, which takes quadratic time on a long run of zeros in the middle.
  while (start < end && digits[start] === '0') start++;
  while (end > start && digits[end - 1] === '0') end--;
  if (start === end) return 0;
  const zeros = digits.length - end - fraction.length + Number(exponent);
  if (zeros < 0) return Number.NaN;
  const beyond = sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (end - start + zeros > 16) return beyond;
  const value = Number(`${sign}${digits.slice(start, end)}${'0'.repeat(zeros)}`);
  return Number.isSafeInteger(value) ? value : beyond;
}
