/**
 * What a canonical query is by definition, told with Unicode's own table of case foldings instead of the engine's
 * mappings, and character by character: what the tests hold the real one against.
 */
import { readFileSync } from 'node:fs';

const TABLE = new URL('../../../test/fixtures/case-folding.txt', import.meta.url);

const lines = readFileSync(TABLE, 'utf8').split('\n');
const fromHex = (codes: string) =>
  String.fromCodePoint(...codes.split(' ').map(code => Number.parseInt(code, 16)));

/** Unicode's full case folding, by character. */
export const CASE_FOLDING: ReadonlyMap<string, string> = new Map(
  lines
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => {
      const [from = '', to = ''] = line.split('; ');
      return [fromHex(from), fromHex(to)];
    }),
);

/** LRM, RLM, ALM; the embeddings and overrides; the isolates. */
const DISPLAY_ONLY = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
/** Unicode's White_Space, and the controls C0, DEL and C1. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it is for.
const GAP = /[\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

export function referenceQuery(text: string): string {
  const characters = Array.from(text, character =>
    /^[\ud800-\udfff]$/.test(character) ? '\ufffd' : character,
  );
  const parts = characters
    .filter(character => !DISPLAY_ONLY.test(character))
    .join('')
    .normalize('NFKD');
  const form = Array.from(parts, character => CASE_FOLDING.get(character) ?? character)
    .join('')
    .normalize('NFKC');
  const words = [''];
  for (const character of form) {
    if (GAP.test(character)) words.push('');
    else words.push(words.pop() + character);
  }
  return words.filter(word => word !== '').join(' ');
}
