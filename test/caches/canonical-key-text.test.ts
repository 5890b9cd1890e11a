/** The canonical form of queries: what is one, what is not, and that it is what Unicode says, character by character. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalQuery } from '../../src/caches/canonical-key-text.js';
import { FULL, FULL_TIMEOUT, SEED } from '../base/seeded.js';
import { CASE_FOLDING, referenceQuery } from './canonical-reference.js';

const RUNS = { numRuns: FULL ? 200_000 : 20_000, seed: SEED };

/** What the table of foldings is of. An older engine does not know the characters of this one that it cannot fold. */
const TABLE_VERSION = 17;
const isOlder = Number.parseInt(process.versions['unicode'] ?? '0', 10) < TABLE_VERSION;
const isKnown = (character: string) => !isOlder || !/\p{Cn}/u.test(character);

/** Every character there is, but for surrogates. */
function* characters(): Generator<string> {
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code === 0xd800) code = 0xe000;
    const character = String.fromCodePoint(code);
    if (isKnown(character)) yield character;
  }
}

/** Pieces that meet badly: marks that reorder, compose and fold, letters of several, gaps, halves of pairs. */
const PIECES = [
  ...[
    'a',
    'I',
    'i',
    'İ',
    'ı',
    'ſ',
    'K',
    'Å',
    'ß',
    'ẞ',
    'SS',
    'ŉ',
    'ǆ',
    'ﬃ',
    'ﬅ',
    'Ａ',
    '①',
    '½',
    '㎏',
    'ᾳ',
    'ᾼ',
    'ΐ',
    'Σ',
    'ς',
  ],
  ...[
    '\u0300',
    '\u0301',
    '\u0307',
    '\u0308',
    '\u0327',
    '\u0323',
    '\u0342',
    '\u0345',
    '\u037a',
    '\u00a8',
    '\u0344',
    '\u1fbe',
  ],
  ...[
    '가',
    '각',
    'ᄀ',
    'ᅡ',
    'ᆨ',
    'ㄱ',
    'ﾡ',
    'ﷺ',
    'ﻻ',
    'ﹰ',
    'ﺎ',
    'لا',
    'ا',
    'ـ',
    '\u064e',
    '\u0651',
    'ש',
    '\u05c1',
    'שּׁ',
  ],
  ...[
    'क',
    '\u093c',
    'क़',
    'ཱི',
    'が',
    'か',
    '\u3099',
    'ｶ',
    'ﾞ',
    'Ꭰ',
    'ꭰ',
    'Ᏸ',
    'ᏸ',
    'ა',
    'Ა',
    'Ⴀ',
    'և',
    '𐐀',
    '𞤀',
    '𝐀',
    '🄰',
  ],
  ...[
    '👨',
    '👩',
    '\u200d',
    '\u200c',
    '\ufe0f',
    '❤',
    '🇩',
    '🇪',
    '🏽',
    '\u{e0067}',
    '\u00ad',
    '\u034f',
    '\ufeff',
    '\u200b',
  ],
  ...['\u200e', '\u200f', '\u061c', '\u202a', '\u202e', '\u202c', '\u2066', '\u2069'],
  ...[
    ' ',
    '\t',
    '\n',
    '\0',
    '\u007f',
    '\u0085',
    '\u00a0',
    '\u1680',
    '\u2003',
    '\u2028',
    '\u3000',
    '\ud83d',
    '\udc68',
    '\ufffd',
  ],
];
const pieces = fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map(parts => parts.join(''));
const anyText = fc.oneof(pieces, fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.string());

describe('the canonical form of a query', () => {
  // The first of each is the form of all.
  test.each([
    ['width, case, white space', ['café noir', 'Ｃafé  NOIR', ' CAFÉ\u3000noir\n', 'cafe\u0301\t\u00a0NOIR']],
    ['German ß', ['strasse', 'STRASSE', 'straße', 'Straẞe', 'STRAẞE', 'ſtraſſe']],
    [
      'a Turkish capital İ is an i with its dot',
      ['i\u0307stanbul', 'İstanbul', 'İSTANBUL', 'I\u0307stanbul'],
    ],
    [
      'Greek: the final sigma, and the iota below',
      ['οδυσσευσ αι', 'ΟΔΥΣΣΕΥΣ ᾼ', 'οδυσσευς ᾳ', 'ΟΔΥΣΣΕΥΣ ΑΙ'],
    ],
    [
      'Hangul: syllables, letters, half width',
      ['한글', '\u1112\u1161\u11ab\u1100\u1173\u11af', '한\u1100\u1173\u11af'],
    ],
    ['Arabic presentation forms', ['لا إله', 'ﻻ إله', 'ﻼ ﺇﻟﻪ']],
    ['Japanese, half and full width', ['ガイド 10', 'ｶﾞｲﾄﾞ １０', 'カ\u3099イト\u3099 10']],
    ['ligatures and numbers', ['ffi 1 kg', 'ﬃ ① ㎏', 'FFI １ KG']],
    ['Cherokee', ['ᎠᏰ', 'ꭰᏸ', 'ꭰᏰ']],
    [
      'marks that steer display',
      ['abc שלום', '\u200fabc\u200e שלום', 'a\u202ebc\u202c \u2067שלום\u2069', 'abc\u061c שלום'],
    ],
    ['control characters', ['a b', 'a\0b', 'a\u0007\r\n\u009fb', '\u0001a b\u007f']],
    ['lone surrogates', ['a\ufffdb', 'a\ud83db', 'a\udc68b']],
    ['nothing', ['', ' ', '\u3000\n', '\u200e\u2069', '\0']],
  ])('is one: %s', (_, texts) => {
    expect(new Set(texts.map(canonicalQuery))).toEqual(new Set(texts.slice(0, 1)));
  });

  test.each([
    ['ı is not i', 'ısı', 'isi'],
    ['İ is not i', 'İ', 'i'],
    ['an accent counts', 'cafe', 'café'],
    ['words are words', 'ab', 'a b'],
    ['joined emoji are not a row of them', '👨\u200d👩\u200d👧', '👨👩👧'],
    ['skin', '👍', '👍🏽'],
    ['flags', '🇩🇪', '🇪🇩'],
    ['an emoji or a sign', '❤', '❤\ufe0f'],
    ['Persian words keep their joiner', 'می\u200cخواهم', 'میخواهم'],
    ['Arabic and Persian yeh', 'ي', 'ی'],
    ['kana', 'は', 'ハ'],
    ['letters that look alike', 'a', 'а'],
    ['a syllable or its letters without sound', '가', 'ㄱ'],
    ['what is not a gap', 'a\u200bb', 'a b'],
  ])('is another: %s', (_, one, other) => {
    expect(canonicalQuery(one)).not.toBe(canonicalQuery(other));
  });

  test('is what Unicode says, and its own form, for every character there is', () => {
    const wrong: string[] = [];
    let count = 0;
    for (const character of characters()) {
      count++;
      const form = canonicalQuery(character);
      // Others than marks and what is folded are as they are beside any neighbour.
      const isPlain = form === character && !/\p{M}/u.test(character);
      for (const text of isPlain ? [character] : [character, `${character}я`, `é${character}`]) {
        const formed = canonicalQuery(text);
        if (formed !== referenceQuery(text) || canonicalQuery(formed) !== formed) wrong.push(text);
      }
    }
    expect(wrong).toEqual([]);
    if (!isOlder) expect(count).toBe(0x110000 - 0x800);
    expect(CASE_FOLDING.size).toBe(1585);
  });

  test('is what Unicode says for any text', FULL_TIMEOUT, () => {
    fc.assert(
      fc.property(
        anyText.filter(text => Array.from(text).every(isKnown)),
        text => {
          expect(canonicalQuery(text)).toBe(referenceQuery(text));
        },
      ),
      RUNS,
    );
  });

  test('made twice equals once', FULL_TIMEOUT, () => {
    fc.assert(
      fc.property(anyText, text => {
        const form = canonicalQuery(text);
        expect(canonicalQuery(form)).toBe(form);
      }),
      RUNS,
    );
  });

  test(
    'does not depend on how the same text was composed, spaced or marked for display',
    FULL_TIMEOUT,
    () => {
      const gap = fc.constantFrom(' ', '\t', '\u3000', '\0', ' \u2028\u0085 ');
      const mark = fc.constantFrom('\u200e', '\u200f', '\u061c', '\u202e', '\u2068');
      fc.assert(
        fc.property(pieces, gap, mark, fc.nat(12), (text, space, steer, at) => {
          const form = canonicalQuery(text);
          const plain = text.toWellFormed();
          for (const name of ['NFC', 'NFD', 'NFKC', 'NFKD']) {
            // Normalised as they stand, display marks would keep what they part from being composed.
            const bare = plain.replace(/\p{Bidi_Control}/gu, '');
            expect(canonicalQuery(bare.normalize(name))).toBe(form);
          }
          expect(canonicalQuery(space + text.replaceAll(' ', space) + space)).toBe(form);
          const letters = Array.from(plain);
          expect(canonicalQuery([...letters.slice(0, at), steer, ...letters.slice(at)].join(''))).toBe(form);
        }),
        RUNS,
      );
    },
  );

  test('has no gap but single spaces between words, and is well formed', FULL_TIMEOUT, () => {
    fc.assert(
      fc.property(anyText, text => {
        const form = canonicalQuery(text);
        expect(form).not.toMatch(/^ | $| {2}|[\p{Cc}\p{Bidi_Control}]/u);
        expect(form.isWellFormed()).toBe(true);
      }),
      RUNS,
    );
  });
});
