/**
 * JSON numbers: the grammar of RFC 8259, and the value without making a string where that is exact.
 *
 * The digits are gathered as one integer in a double, the point and the exponent as one power of ten. While that
 * integer is below 2^53 it is exact, and so is a power of ten up to 10^22; one multiplication or division of two exact
 * doubles is rounded once, which is what `Number(text)` gives (Clinger, "How to read floating point numbers
 * accurately", 1990). Beyond that, the product is still close: each step adds at most half a unit in the last place.
 * `close` says so, and a caller that wants less precision may get along with it (see `JsonReader.readFloat32`).
 */

/** `exact`: the value is the nearest double. `close`: within `CLOSE` of it, relatively. `far`: read the text. */
export type NumberTrust = 'exact' | 'close' | 'far';

/**
 * At most 25 digits: 10 steps past 2^53 of two roundings each, then the scaling and the nearest double itself: 22
 * roundings of 2^-53 are below 2^-48.
 */
export const CLOSE = 2 ** -48;
const CLOSE_DIGITS_MAX = 25;

const TWO_53 = 2 ** 53;
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
  trust: NumberTrust = 'exact';

  /** The number that starts at `start` (a digit or a minus), or NaN when it breaks the grammar at `end`. */
  scan(bytes: Uint8Array, start: number, limit: number): number {
    const negative = bytes[start] === MINUS;
    const whole = negative ? start + 1 : start;
    let at = whole;
    let mantissa = 0;
    // One comparison for both sides: what is no digit becomes a large unsigned number.
    for (; at < limit; at++) {
      const digit = ((bytes[at] ?? 0) - ZERO) >>> 0;
      if (digit > 9) break;
      mantissa = mantissa * 10 + digit;
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
    return this.#scaled(negative ? -mantissa : mantissa, scale, digits);
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

  #scaled(mantissa: number, scale: number, digits: number): number {
    const exact = mantissa < TWO_53 && mantissa > -TWO_53;
    if (scale < -POWERS_MAX || scale > POWERS_MAX || (!exact && digits > CLOSE_DIGITS_MAX)) {
      this.trust = 'far';
      return 0;
    }
    this.trust = exact ? 'exact' : 'close';
    return scale < 0 ? mantissa / (POWERS_OF_TEN[-scale] ?? 1) : mantissa * (POWERS_OF_TEN[scale] ?? 1);
  }

  #broken(at: number): number {
    this.end = at;
    return Number.NaN;
  }
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
