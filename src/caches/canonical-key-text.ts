/**
 * The canonical form of a query in any language. Two texts have one form when they differ only in
 *
 * - compatibility (NFKC): full width, ligatures, Arabic presentation forms, Hangul as letters or syllables;
 * - case, by Unicode's full folding, of no locale: ß is ss, İ is i with a dot above, and ı is not i;
 * - white space and control characters: a run of them is one space, none at the ends;
 * - marks that only steer the direction of display (Bidi_Control): they go;
 * - lone surrogates, which no UTF-8 can carry: they are U+FFFD.
 *
 * (The first two are Unicode's compatibility caseless matching, D146 of its core specification.)
 *
 * All else tells texts apart, also what is not seen: joiners (Persian words and emoji are written with them), variation
 * selectors, accents. The form of a form is itself.
 *
 * Forms are those of the engine's Unicode version; a character is never folded otherwise once it is assigned. So engines
 * of different versions disagree at most on characters that only one of them knows, and what is made then is a miss.
 */

const DISPLAY_ONLY = /\p{Bidi_Control}/gu;
const GAPS = /[\p{White_Space}\p{Cc}]+/gu;
const ENDS = /^ | $/g;
const PRINTABLE_ASCII = /^[ -~]*$/;
const FOLDED_OTHERWISE = /\p{Changes_When_Casefolded}/gu;
const CHEROKEE = /\p{Script=Cherokee}/u;

export function canonicalQuery(text: string): string {
  if (PRINTABLE_ASCII.test(text)) return text.toLowerCase().replace(/ +/g, ' ').replace(ENDS, '');
  const plain = text.toWellFormed().replace(DISPLAY_ONLY, '');
  // Folded in parts: so it does not matter how the text was composed, and what comes of folding cannot be folded again.
  return foldCase(plain.normalize('NFKD')).normalize('NFKC').replace(GAPS, ' ').replace(ENDS, '');
}

/**
 * Full case folding of a text in NFKD. JavaScript has none: made of its mappings of single characters, whose results
 * are those of Unicode's CaseFolding.txt.
 */
function foldCase(text: string): string {
  return text.replace(FOLDED_OTHERWISE, character => {
    // The one script whose small letters are the younger ones, and folded to the capitals.
    if (CHEROKEE.test(character)) return character.toUpperCase();
    // ẞ becomes ß before it becomes two letters. One character at a time: no sigma is a final one.
    return character.toLowerCase().toUpperCase().toLowerCase();
  });
}
