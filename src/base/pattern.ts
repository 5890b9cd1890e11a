/**
 * Wildcard patterns: `*` stands for any bytes, also none; everything else for itself.
 *
 * The texts between the stars must occur one behind the other, the first at the start and the last at the end. Taking
 * each at its first place never spoils a match, so nothing is ever tried twice; and each is found with the failure
 * table of Knuth, Morris and Pratt, so a match takes at most two steps a byte, whatever the pattern.
 */

const STAR = 0x2a;

interface Part {
  readonly bytes: Uint8Array;
  /** By length matched: the length of the longest proper prefix of the part that ends there too. */
  readonly fallback: Uint16Array;
}

export class Pattern {
  /** Before the first star, or the whole pattern when there is none. */
  readonly #head: Uint8Array;
  readonly #middle: readonly Part[];
  /** Behind the last star; `undefined` when there is none. */
  readonly #tail: Uint8Array | undefined;

  /** @param pattern of at most 65,535 bytes of UTF-8 */
  constructor(pattern: string) {
    const parts = split(Buffer.from(pattern));
    this.#head = parts[0] ?? new Uint8Array(0);
    this.#tail = parts.length > 1 ? parts.at(-1) : undefined;
    this.#middle = parts
      .slice(1, -1)
      .filter(bytes => bytes.length > 0)
      .map(bytes => ({ bytes, fallback: fallbackOf(bytes) }));
  }

  /** Whether the pattern covers all bytes from `start` to `end`. */
  matches(text: Uint8Array, start = 0, end = text.length): boolean {
    const head = this.#head;
    const tail = this.#tail;
    if (!standsAt(head, text, start, end)) return false;
    if (tail === undefined) return end - start === head.length;
    const limit = end - tail.length;
    let at = start + head.length;
    if (at > limit || !standsAt(tail, text, limit, end)) return false;
    for (const part of this.#middle) {
      at = findEnd(part, text, at, limit);
      if (at === -1) return false;
    }
    return true;
  }
}

/** For one text; many are better matched with one `Pattern`. */
export function matchesPattern(pattern: string, text: string): boolean {
  return new Pattern(pattern).matches(Buffer.from(text));
}

function split(pattern: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let star = pattern.indexOf(STAR); star !== -1; star = pattern.indexOf(STAR, start)) {
    parts.push(pattern.subarray(start, star));
    start = star + 1;
  }
  parts.push(pattern.subarray(start));
  return parts;
}

function standsAt(part: Uint8Array, text: Uint8Array, at: number, end: number): boolean {
  if (part.length > end - at) return false;
  for (let i = 0; i < part.length; i++) if (part[i] !== text[at + i]) return false;
  return true;
}

function fallbackOf(bytes: Uint8Array): Uint16Array {
  const fallback = new Uint16Array(bytes.length + 1);
  let matched = 0;
  for (let i = 1; i < bytes.length; i++) {
    while (matched > 0 && bytes[i] !== bytes[matched]) matched = fallback[matched] ?? 0;
    if (bytes[i] === bytes[matched]) matched++;
    fallback[i + 1] = matched;
  }
  return fallback;
}

/** The offset behind the part's first place between `start` and `end`, or -1. */
function findEnd({ bytes, fallback }: Part, text: Uint8Array, start: number, end: number): number {
  let matched = 0;
  for (let at = start; at < end; at++) {
    while (matched > 0 && bytes[matched] !== text[at]) matched = fallback[matched] ?? 0;
    if (bytes[matched] === text[at]) matched++;
    if (matched === bytes.length) return at + 1;
  }
  return -1;
}
