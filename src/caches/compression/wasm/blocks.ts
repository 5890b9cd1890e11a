/**
 * LZ4 blocks (Collet, "LZ4 block format description"): the loops. AssemblyScript, compiled to WebAssembly by
 * `npm run build`, called by `lz4.ts`. `places.ts` draws the memory.
 *
 * A block is a chain of sequences, each of them literals and a match: a token (how many literals, how long the match, four
 * bits each), more of the first number if it is 15, the literals, how far back the match lies (2 bytes), more of the second
 * number. The last has literals alone. Nothing matches within the last five bytes, nor begins to within the last twelve.
 *
 * Whatever a block holds, `expand` reads none but its bytes, writes none but as many as are expected (and up to sixteen
 * behind them, for which there is room), and ends.
 */
import { SOURCE_AT, TABLE_AT, TABLE_LOG, TARGET_AT } from './places';

const TABLE: usize = TABLE_AT;
const SOURCE: usize = SOURCE_AT;
const TARGET: usize = TARGET_AT;
const TABLE_BYTES: usize = 4 << TABLE_LOG;
const DISTANCE_MAX: usize = 65535;
const MATCH_MIN: u32 = 4;
const LITERALS_LAST: usize = 5;
const SEARCHED_NOT: usize = 12;
/** A number of four bits that goes on in bytes behind it. */
const GOES_ON: u32 = 15;
/** After so many places without a match, steps grow by one: what does not compress takes little time. */
const STEP_LOG: u32 = 6;

/**
 * Places in the table count on from call to call: what is below is of a block before, and the table need not be emptied.
 * That is done before places go beyond 32 bits.
 */
let base: u32 = 1;
const BASE_MAX: u32 = 0xfff00000 - 1048576;

let out: usize = 0;

/** Compresses the `length` bytes of the source: how many it takes, 0 when it would be more than `limit`. */
export function compress(length: u32, limit: u32): u32 {
  if (base > BASE_MAX) {
    memory.fill(TABLE, 0, TABLE_BYTES);
    base = 1;
  }
  const first = base;
  // Also for a block that is given up: its places are nobody's any more.
  base += length;
  const end: usize = SOURCE + length;
  const outEnd: usize = TARGET + limit;
  let anchor: usize = SOURCE;
  let at: usize = SOURCE;
  let tries: u32 = 1 << STEP_LOG;
  out = TARGET;
  while (at + SEARCHED_NOT <= end) {
    const slot = slotOf(load<u64>(at));
    const seen = load<u32>(slot);
    store<u32>(slot, first + <u32>(at - SOURCE));
    let from: usize = SOURCE + (seen - first);
    if (seen < first || at - from > DISTANCE_MAX || load<u32>(from) !== load<u32>(at)) {
      at += tries++ >> STEP_LOG;
      continue;
    }
    while (at > anchor && from > SOURCE && load<u8>(at - 1) === load<u8>(from - 1)) {
      at--;
      from--;
    }
    const matched = MATCH_MIN + alike(at + MATCH_MIN, from + MATCH_MIN, end - LITERALS_LAST);
    if (!write(anchor, at, at - from, matched, outEnd)) return 0;
    at += matched;
    anchor = at;
    tries = 1 << STEP_LOG;
    if (at + SEARCHED_NOT <= end) store<u32>(slotOf(load<u64>(at - 2)), first + <u32>(at - 2 - SOURCE));
  }
  return write(anchor, end, 0, MATCH_MIN, outEnd) ? <u32>(out - TARGET) : 0;
}

/** Of five bytes: that finds longer matches than of four. */
function slotOf(word: u64): usize {
  return TABLE + ((<usize>(((word << 24) * 889523592379) >> (64 - TABLE_LOG))) << 2);
}

/** How many bytes from both places on are the same, up to `end`. */
function alike(at: usize, from: usize, end: usize): u32 {
  const begin = at;
  while (at + 8 <= end) {
    const differ = load<u64>(at) ^ load<u64>(from);
    if (differ !== 0) return <u32>(at - begin) + <u32>(ctz(differ) >> 3);
    at += 8;
    from += 8;
  }
  while (at < end && load<u8>(at) === load<u8>(from)) {
    at++;
    from++;
  }
  return <u32>(at - begin);
}

/** Writes a sequence; without a match at distance 0. False: it would go beyond `outEnd`. */
function write(anchor: usize, at: usize, distance: usize, matched: u32, outEnd: usize): bool {
  const literals = <u32>(at - anchor);
  const beyond = matched - MATCH_MIN;
  const match: u32 = distance === 0 ? 0 : 2 + more(beyond);
  if (out + 1 + literals + more(literals) + match > outEnd) return false;
  const token = out++;
  store<u8>(token, (min(literals, GOES_ON) << 4) | min(beyond, GOES_ON));
  if (literals >= GOES_ON) writeMore(literals - GOES_ON);
  copy(out, anchor, literals);
  out += literals;
  if (distance === 0) return true;
  store<u16>(out, <u16>distance);
  out += 2;
  if (beyond >= GOES_ON) writeMore(beyond - GOES_ON);
  return true;
}

/** Bytes that a number takes beside its four bits. */
function more(number: u32): u32 {
  return number < GOES_ON ? 0 : (number - GOES_ON) / 255 + 1;
}

function writeMore(number: u32): void {
  for (; number >= 255; number -= 255) store<u8>(out++, 255);
  store<u8>(out++, number);
}

/** Up to fifteen bytes more than asked for, sixteen if that is none. */
function copy(to: usize, from: usize, length: u32): void {
  const end = to + length;
  do {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  } while (to < end);
}

/** Expands the `length` bytes of the source. False when they are no block of so many bytes as are expected. */
export function expand(length: u32, expected: u32): bool {
  const end: usize = SOURCE + length;
  const toEnd: usize = TARGET + expected;
  let at: usize = SOURCE;
  let to: usize = TARGET;
  while (at < end) {
    const token = <u32>load<u8>(at++);
    let literals = token >> 4;
    if (literals === GOES_ON) {
      at = readMore(at, end);
      literals += number;
    }
    if (literals > <u32>(end - at) || literals > <u32>(toEnd - to)) return false;
    copy(to, at, literals);
    at += literals;
    to += literals;
    if (at === end) return to === toEnd;
    if (end - at < 2) return false;
    const distance = <usize>load<u16>(at);
    at += 2;
    let matched = token & 15;
    if (matched === GOES_ON) {
      at = readMore(at, end);
      matched += number;
    }
    matched += MATCH_MIN;
    if (distance === 0 || distance > to - TARGET || matched > <u32>(toEnd - to)) return false;
    if (distance >= 16) copy(to, to - distance, matched);
    else repeat(to, distance, matched);
    to += matched;
  }
  return false;
}

let number: u32 = 0;

/**
 * Sets `number`, and returns where it ends. What goes beyond the end adds nothing: the next step sees that there is nothing
 * left.
 */
function readMore(at: usize, end: usize): usize {
  number = 0;
  while (at < end) {
    const more = load<u8>(at++);
    number += more;
    if (more < 255) break;
  }
  return at;
}

/** What is repeated overlaps with what it becomes. */
function repeat(to: usize, distance: usize, length: u32): void {
  if (distance === 1) {
    memory.fill(to, load<u8>(to - 1), length);
    return;
  }
  for (const end = to + length; to < end; to++) store<u8>(to, load<u8>(to - distance));
}
