import { describe, expect, test } from 'vitest';
import {
  NUMBER_TEXT_BYTES_MAX,
  writeFloat32,
  writeFloat64,
  writeInteger,
} from '../../src/views/float32-text.js';
import { FULL, PATIENCE, SEED, seededWords } from './arbitrary-records.js';

const buffer = Buffer.alloc(64);
type Write = (bytes: Uint8Array, at: number, value: number) => number;

/** Also sees to it that nothing is written past the promised room. */
function textOf(write: Write, value: number): string {
  buffer.fill(0x7e);
  const end = write(buffer, 3, value);
  if (end > 3 + NUMBER_TEXT_BYTES_MAX) throw new Error(`${value} took ${end - 3} bytes`);
  for (let at = Math.max(end, 3 + NUMBER_TEXT_BYTES_MAX); at < buffer.length; at++) {
    if (buffer[at] !== 0x7e) throw new Error(`${value} wrote at ${at - 3}`);
  }
  return buffer.toString('latin1', 3, end);
}

/** The number of significant digits of a decimal's text. */
function digitsOf(text: string): number {
  const mantissa = text.split('e')[0] ?? '';
  return mantissa.replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length;
}

/** The distance of a decimal from a float, times 2^149 and 10^60: exact. */
function distance(text: string, value: number): bigint {
  const [mantissa = '', exponent = '0'] = text.split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const decimal =
    BigInt(whole + fraction) * 10n ** BigInt(60 + Number(exponent) - fraction.length) * 2n ** 149n;
  // A float32 times 2^149 is an integer below 2^277; a double holds it exactly.
  const float = BigInt(value * 2 ** 149) * 10n ** 60n;
  return decimal > float ? decimal - float : float - decimal;
}

/** What is wrong with the text of a float32, by trial of all shorter decimals and of its neighbours. */
function problemWith(value: number, text: string): string | undefined {
  const reread = Math.fround(Number(text));
  if (!Object.is(reread, value)) return `reads back as ${reread}`;
  if (value === 0) return undefined;
  const magnitude = Math.abs(value);
  const digits = digitsOf(text);
  for (let precision = 1; precision <= digits; precision++) {
    const [mantissa = '', exponent = '0'] = magnitude.toExponential(precision - 1).split('e');
    const closest = Number(mantissa.replace('.', ''));
    for (const candidate of [closest, closest + 1, closest - 1]) {
      const other = `${candidate}e${Number(exponent) - precision + 1}`;
      if (Math.fround(Number(other)) !== magnitude) continue;
      if (precision < digits) return `${other} is shorter`;
      if (Number(other) === Math.abs(Number(text))) return undefined;
      if (distance(other, magnitude) < distance(text.replace('-', ''), magnitude))
        return `${other} is closer`;
    }
  }
  return undefined;
}

function checkFloat32(value: number): void {
  const text = textOf(writeFloat32, value);
  const problem = problemWith(value, text);
  if (problem !== undefined) throw new Error(`${value} as ${text}: ${problem} (seed ${SEED})`);
}

describe('float32 as text', () => {
  const cell = new DataView(new ArrayBuffer(4));
  const fromBits = (bits: number): number => {
    cell.setUint32(0, bits);
    return cell.getFloat32(0);
  };

  test(
    `random bit patterns read back, are shortest, and closest among the shortest (seed ${SEED})`,
    PATIENCE,
    () => {
      const words = seededWords(SEED);
      for (let count = FULL ? 1e7 : 200_000; count > 0; count--) {
        const value = fromBits(words());
        if (Number.isFinite(value)) checkFloat32(value);
      }
    },
  );

  test(`random numbers between 0 and 1 do (seed ${SEED})`, PATIENCE, () => {
    const words = seededWords(SEED + 1);
    for (let count = FULL ? 1e6 : 50_000; count > 0; count--) checkFloat32(Math.fround(words() / 2 ** 32));
  });

  test('the first, middle and last numbers of every power of two do', () => {
    for (let exponent = 0; exponent < 255; exponent++) {
      for (const mantissa of [0, 1, 2, 3, 0x3fffff, 0x400000, 0x400001, 0x7ffffe, 0x7fffff]) {
        checkFloat32(fromBits((exponent << 23) | mantissa));
        checkFloat32(fromBits(((exponent << 23) | mantissa | 0x80000000) >>> 0));
      }
    }
  });

  test('every power of ten and its neighbours do', () => {
    for (let power = -45; power <= 38; power++) {
      cell.setFloat32(0, 10 ** power);
      const bits = cell.getUint32(0);
      for (let near = Math.max(0, bits - 20); near < bits + 20; near++) checkFloat32(fromBits(near));
    }
  });

  test('thousandths print as they are written', () => {
    for (let thousandths = 0; thousandths < 1_000_000; thousandths++) {
      const text = textOf(writeFloat32, Math.fround(thousandths / 1000));
      if (text !== String(thousandths / 1000)) throw new Error(`${thousandths} / 1000 is ${text}`);
    }
  });

  test.each([
    [0, '0'],
    [-0, '-0'],
    [1, '1'],
    [-1.5, '-1.5'],
    [0.1, '0.1'],
    [1 / 3, '0.33333334'],
    [16777216, '16777216'],
    [16777217, '16777216'],
    [123456.789, '123456.79'],
    [1e-6, '0.000001'],
    [1e-7, '1e-7'],
    [1.5e-10, '1.5e-10'],
    [1e20, '100000000000000000000'],
    [1e21, '1e+21'],
    [3.4028234663852886e38, '3.4028235e+38'],
    [1.401298464324817e-45, '1e-45'],
    [2 ** -44, '5.684342e-14'],
    // Too close to call in doubles: decided by trial.
    [5.479404899350687e-39, '5.479405e-39'],
    [1.0480247449999986e-35, '1.04802474e-35'],
    [2.6916409952056237e-34, '2.691641e-34'],
    [Number.NaN, 'null'],
    [Number.POSITIVE_INFINITY, 'null'],
    [Number.NEGATIVE_INFINITY, 'null'],
  ])('%s is %s', (value, text) => {
    expect(textOf(writeFloat32, Math.fround(value))).toBe(text);
  });
});

describe('integers and float64 as text', () => {
  const words = seededWords(SEED + 2);
  const special = [0, 1, 9, 10, 99, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 1e9, 1e9 - 1, 1e15, 2 ** 53 - 1];

  test(`safe integers print as JavaScript prints them (seed ${SEED})`, () => {
    const random = Array.from({ length: 50_000 }, () =>
      Math.trunc((words() * 2 ** 21 + (words() >>> 11)) / 10 ** (words() % 16)),
    );
    for (const value of [...special, ...random]) {
      if (textOf(writeInteger, value) !== String(value)) throw new Error(String(value));
      if (value !== 0 && textOf(writeInteger, -value) !== String(-value)) throw new Error(String(-value));
    }
    for (const value of [2 ** 53, 0.5, Number.NaN, Number.NEGATIVE_INFINITY]) {
      expect(textOf(writeInteger, value)).toBe('null');
    }
  });

  test(`float64 reads back, also -0; what is no number is null (seed ${SEED})`, () => {
    const cell = new DataView(new ArrayBuffer(8));
    const random = Array.from({ length: 50_000 }, () => {
      cell.setUint32(0, words());
      cell.setUint32(4, words());
      return cell.getFloat64(0);
    });
    const extreme = [-0, Number.MAX_VALUE, Number.MIN_VALUE, -1.234567890123457e-300, -1.234567890123457e-6];
    for (const value of [...special, ...extreme, ...random]) {
      const text = textOf(writeFloat64, value);
      if (!Number.isFinite(value)) expect(text).toBe('null');
      else if (!Object.is(JSON.parse(text), value)) throw new Error(`${value} is ${text}`);
    }
  });
});
