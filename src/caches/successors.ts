/**
 * Which key of a cache follows which, as sessions ask for them: a first-order table of fixed size.
 *
 *     session ─► its last key      direct-mapped: of two that meet, the later one stays
 *     key     ─► id, how often it came, and up to four followers with how often each came next
 *
 * Keys lie in sets of four, by hash. A key that is seen gains, to a bound; one that finds its set full takes from the
 * weakest of it, and its place when nothing is left: so what is asked for often stays, whatever else comes by. Followers of
 * a key are kept in the same way. (Misra and Gries, "Finding repeated elements", 1982; a first-order Markov predictor as
 * of Joseph and Grunwald, "Prefetching using Markov predictors", 1997.)
 *
 * Keys are told apart by 32 bits of a keyed hash: of two that have the same, the wrong one may be predicted, which costs
 * a fetch. To see a key that is known writes some words and makes nothing.
 */
const WAYS = 4;
const FOLLOWERS = 4;
const USES_MAX = 15;
const COUNT_MAX = 255;
const VISITS_MAX = 2 * COUNT_MAX;
const SESSIONS = 16_384;
/** Between two keys of one session. */
const GAP_MS_MAX = 5 * 60_000;
/** A follower that came but once may have been chance. */
const SEEN_MIN = 2;
/** What comes next less often than not would be fetched for nothing more often than not. */
const SHARE_MIN = 1 / 2;

export const NO_NODE = -1;

export class Successors {
  readonly #setMask: number;
  readonly #hashes: Int32Array;
  readonly #uses: Uint8Array;
  readonly #ids: string[];
  /** How often a key came, as far as its followers' counts go back. */
  readonly #visits: Uint16Array;
  readonly #followers: Int32Array;
  readonly #counts: Uint8Array;
  readonly #sessions = new Int32Array(SESSIONS);
  readonly #lastKeys = new Int32Array(SESSIONS);
  readonly #lastAtMs = new Float64Array(SESSIONS);

  /** @param keysMax rounded up to a power of two. */
  constructor(keysMax: number) {
    const keys = 2 ** Math.ceil(Math.log2(Math.max(keysMax, WAYS)));
    this.#setMask = keys / WAYS - 1;
    this.#hashes = new Int32Array(keys);
    this.#uses = new Uint8Array(keys);
    this.#ids = new Array<string>(keys).fill('');
    this.#visits = new Uint16Array(keys);
    this.#followers = new Int32Array(keys * FOLLOWERS);
    this.#counts = new Uint8Array(keys * FOLLOWERS);
  }

  /** How many keys are known. */
  get size(): number {
    return this.#hashes.reduce((count, hash) => count + (hash === 0 ? 0 : 1), 0);
  }

  /**
   * A session asks for a key: its node, for `predict`, or `NO_NODE` when it is not known yet.
   * @param session a hash, as `hash`; 0 stands for nothing in either.
   */
  saw(session: number, hash: number, id: string, nowMs: number): number {
    const place = session & (SESSIONS - 1);
    const last = this.#lastKeys[place]!;
    const isSame = this.#sessions[place] === session;
    const passedMs = nowMs - this.#lastAtMs[place]!;
    this.#sessions[place] = session;
    this.#lastKeys[place] = hash;
    this.#lastAtMs[place] = nowMs;
    const isNext = isSame && passedMs >= 0 && passedMs <= GAP_MS_MAX;
    if (isNext && last !== hash) this.#link(last, hash);
    const node = this.#use(hash, id);
    // Again the same is no step.
    if (node !== NO_NODE && !(isNext && last === hash) && ++this.#visits[node]! >= VISITS_MAX)
      this.#age(node);
    return node;
  }

  /** Writes the hashes of those who are likely to follow who is there now, from `into[0]` on: how many. */
  predict(node: number, into: Int32Array): number {
    const least = Math.max(SEEN_MIN, (this.#visits[node]! - 1) * SHARE_MIN);
    let found = 0;
    for (let at = node * FOLLOWERS; at < (node + 1) * FOLLOWERS && found < into.length; at++) {
      if (this.#counts[at]! >= least) into[found++] = this.#followers[at]!;
    }
    return found;
  }

  /** '' when the key is not known any more. */
  idOf(hash: number): string {
    const node = this.#find(hash);
    return node === NO_NODE ? '' : this.#ids[node]!;
  }

  #find(hash: number): number {
    const first = (hash & this.#setMask) * WAYS;
    for (let node = first; node < first + WAYS; node++) if (this.#hashes[node] === hash) return node;
    return NO_NODE;
  }

  #use(hash: number, id: string): number {
    const known = this.#find(hash);
    if (known !== NO_NODE) {
      if (this.#uses[known]! < USES_MAX) this.#uses[known]!++;
      return known;
    }
    const first = (hash & this.#setMask) * WAYS;
    let weakest = first;
    for (let node = first + 1; node < first + WAYS; node++)
      if (this.#uses[node]! < this.#uses[weakest]!) weakest = node;
    if (this.#uses[weakest]! > 0) {
      this.#uses[weakest]!--;
      return NO_NODE;
    }
    this.#hashes[weakest] = hash;
    this.#uses[weakest] = 1;
    // A copy: the request's own string may be a part of a longer one.
    this.#ids[weakest] = Buffer.from(id).toString();
    this.#visits[weakest] = 0;
    this.#counts.fill(0, weakest * FOLLOWERS, (weakest + 1) * FOLLOWERS);
    return weakest;
  }

  #link(from: number, to: number): void {
    const node = this.#find(from);
    if (node === NO_NODE) return;
    const first = node * FOLLOWERS;
    let weakest = first;
    for (let at = first; at < first + FOLLOWERS; at++) {
      if (this.#counts[at]! > 0 && this.#followers[at] === to) {
        if (++this.#counts[at]! === COUNT_MAX) this.#age(node);
        return;
      }
      if (this.#counts[at]! < this.#counts[weakest]!) weakest = at;
    }
    if (this.#counts[weakest]! > 0) this.#counts[weakest]!--;
    else {
      this.#followers[weakest] = to;
      this.#counts[weakest] = 1;
    }
  }

  /** So that what is new comes to count. */
  #age(node: number): void {
    this.#visits[node]! >>= 1;
    for (let at = node * FOLLOWERS; at < (node + 1) * FOLLOWERS; at++) this.#counts[at]! >>= 1;
  }
}
