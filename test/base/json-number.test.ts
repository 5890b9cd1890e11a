import { expect, test } from 'vitest';
import { JsonReader } from '../../src/base/json.js';
import { integerOfText } from '../../src/base/json-number.js';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from './seeded.js';

const TEXTS = FULL ? 10_000_000 : 1_000_000;
const random = new Seeded(SEED);
console.log(`json-number: seed ${SEED}, ${TEXTS} texts`);

const scratch = new DataView(new ArrayBuffer(8));

function digits(count: number): string {
  let text = '';
  for (let i = 0; i < count; i++) text += String(random.below(10));
  return text;
}

/** Any double but NaN and the infinities, all exponents alike. */
function anyDouble(): number {
  for (;;) {
    scratch.setUint32(0, random.below(2 ** 32));
    scratch.setUint32(4, random.below(2 ** 32));
    const value = scratch.getFloat64(0);
    if (Number.isFinite(value)) return value;
  }
}

/** The middle between two neighbouring float32s, or a text that differs from it far behind the point. */
function betweenFloat32s(): string {
  scratch.setUint32(0, 0x3f000000 + random.below(0x01000000));
  const low = scratch.getFloat32(0);
  scratch.setUint32(0, scratch.getUint32(0) + 1);
  const middle = String((low + scratch.getFloat32(0)) / 2);
  return middle.includes('.') ? middle + random.pick(['', '0', '1', '000000000001', '9']) : middle;
}

/** The middle between two neighbouring doubles, or a text that differs from it far behind. */
function betweenDoubles(): string {
  const middle = 2n ** 53n + BigInt(random.below(2 ** 32)) * 2n + 1n;
  const text = String(middle * 2n ** BigInt(random.below(15)));
  return text + random.pick(['', '.0', '.1', '.0001', 'e0', '0e-1', 'e-5', 'e7']);
}

const MAKERS: readonly (() => string)[] = [
  () => String(anyDouble()),
  () => String(random.below(2 ** 32) / 2 ** 32),
  () => String(Math.fround(random.below(2 ** 32) / 2 ** 32)),
  () => `${random.pick(['', '-'])}${random.below(10 ** 9)}.${digits(1 + random.below(20))}`,
  () => `${random.pick(['', '-'])}0.${digits(1 + random.below(30))}`,
  () =>
    `${1 + random.below(9)}${digits(random.below(25))}${random.pick(['e', 'E'])}${random.pick(['', '+', '-'])}${random.below(330)}`,
  () => `${1 + random.below(9)}.${digits(1 + random.below(22))}e${random.pick(['', '-'])}${random.below(45)}`,
  // Around 2^53, where the fast path ends.
  () =>
    `${random.pick(['', '-'])}${9007199254740000n + BigInt(random.below(2000))}${random.pick(['', '.0', '.5', 'e-3', 'e5'])}`,
  betweenFloat32s,
  betweenDoubles,
  () => `0.${digits(16 + random.below(3))}`,
  () =>
    random.pick([
      '0',
      '-0',
      '0.0',
      '-0.0e5',
      '0e999',
      '1e999',
      '-1e999',
      '5e-324',
      '2e-324',
      '3.4028235677973366e38',
    ]),
];

function sameOrShow(got: number, wanted: number, text: string, as: string): void {
  if (!Object.is(got, wanted)) throw new Error(`${text} as ${as}: ${got}, not ${wanted} (seed ${SEED})`);
}

test(
  'numbers are what Number() makes of their text, bit for bit, and its nearest float32',
  FULL_TIMEOUT,
  () => {
    const reader = new JsonReader();
    for (let i = 0; i < TEXTS; i++) {
      const text = (MAKERS[i % MAKERS.length] ?? (() => '0'))();
      const bytes = Buffer.from(text);
      const wanted = Number(text);
      sameOrShow(reader.open(bytes).readFloat64(), wanted, text, 'float64');
      reader.finish();
      sameOrShow(reader.open(bytes).readFloat32(), Math.fround(wanted), text, 'float32');
      reader.finish();
    }
  },
);

/** Exact, by BigInt; exponents must be small. */
function integerModel(text: string): number {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const power = Number(exponent) - fraction.length;
  let value = BigInt(whole + fraction);
  if (power >= 0) value *= 10n ** BigInt(power);
  else if (value % 10n ** BigInt(-power) !== 0n) return Number.NaN;
  else value /= 10n ** BigInt(-power);
  const sign = text.startsWith('-') ? -1 : 1;
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? sign * Number.POSITIVE_INFINITY : sign * Number(value) + 0;
}

test('integers are exact however they are written, and nothing else passes for one', FULL_TIMEOUT, () => {
  const reader = new JsonReader();
  for (let i = 0; i < TEXTS / 5; i++) {
    const text = (MAKERS[i % MAKERS.length] ?? (() => '0'))();
    const wanted = integerModel(text);
    sameOrShow(reader.open(Buffer.from(text)).readInteger(), wanted, text, 'integer');
    sameOrShow(integerOfText(text), wanted, text, 'integer of text');
  }
});

test.each([
  ['1.0', 1],
  ['1e3', 1000],
  ['10e-1', 1],
  ['-0', 0],
  ['-0.0', 0],
  ['9007199254740991', 9007199254740991],
  ['-9007199254740991', -9007199254740991],
  ['90071992547409910e-1', 9007199254740991],
  ['9007199254740992', Number.POSITIVE_INFINITY],
  ['-9007199254740992', Number.NEGATIVE_INFINITY],
  ['9007199254740991.4', Number.NaN],
  ['0.99999999999999999999', Number.NaN],
  ['1e-400', Number.NaN],
  ['1e999999999999', Number.POSITIVE_INFINITY],
  ['0e999999999999', 0],
  ['1.5', Number.NaN],
])('%s as an integer is %d', (text, wanted) => {
  expect(new JsonReader().open(Buffer.from(text)).readInteger()).toBe(wanted);
});

test.each([
  '01',
  '-01',
  '00',
  '-',
  '+1',
  '.5',
  '1.',
  '1.e1',
  '1e',
  '1e+',
  '0x10',
  '1_000',
  'NaN',
  '-Infinity',
  '--1',
  '١',
])('%s is no number', text => {
  const reader = new JsonReader().open(Buffer.from(text));
  expect(() => {
    reader.kind();
    reader.skipNumber();
    reader.finish();
  }).toThrow(expect.objectContaining({ code: 'bad-json' }));
});

test('a number of a million digits is read in time', () => {
  const zeros = '0'.repeat(1_000_000);
  const integer = (text: string) => new JsonReader().open(Buffer.from(text)).readInteger();
  expect(integer(`1${zeros}1`)).toBe(Number.POSITIVE_INFINITY);
  expect(integer(`0.${zeros}1e1000001`)).toBe(1);
  expect(integer(`1${zeros}e-1000000`)).toBe(1);
  expect(new JsonReader().open(Buffer.from(`0.1${zeros}1`)).readFloat64()).toBe(0.1);
});
