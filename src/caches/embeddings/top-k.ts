/**
 * The best k of many scores, in a total order, so that how the candidates were divided among threads changes no answer:
 * the better score first, of equal scores the candidate that was named first. A heap of k places with the last of them on
 * top; nothing is allocated while scores are offered. It is kept from one question to the next, as V8 discards code made
 * for objects of which a garbage collection found none.
 */

export const METRICS = ['dot', 'cosine', 'l2'] as const;
/** `l2` is the distance, so the smallest is best; of the others the largest. */
export type Metric = (typeof METRICS)[number];

export interface Match {
  /** Of the candidate, among all that are asked for. */
  readonly place: number;
  readonly score: number;
}

export class TopK {
  #sign: 1 | -1 = 1;
  #k = 0;
  #size = 0;
  #scores = new Float64Array(0);
  #places = new Int32Array(0);

  /** Holds none from now on, and at most `k`, at least 1. */
  begin(metric: Metric, k: number): void {
    this.#sign = metric === 'l2' ? -1 : 1;
    this.#k = k;
    this.#size = 0;
    if (k <= this.#scores.length) return;
    this.#scores = new Float64Array(k);
    this.#places = new Int32Array(k);
  }

  /** @param score finite. */
  offer(score: number, place: number): void {
    const size = this.#size;
    if (size < this.#k) {
      this.#size = size + 1;
      this.#rise(size, score, place);
    } else if (this.#isBefore(score, place, 0)) this.#sink(size, score, place);
  }

  /** All that are held, best first; none is held afterwards. */
  take(): Match[] {
    const matches = new Array<Match>(this.#size);
    while (this.#size > 0) {
      const last = this.#size - 1;
      matches[last] = { place: this.#places[0] ?? 0, score: this.#scores[0] ?? 0 };
      this.#size = last;
      this.#sink(last, this.#scores[last] ?? 0, this.#places[last] ?? 0);
    }
    return matches;
  }

  /** Whether that match comes before the one at `at`. */
  #isBefore(score: number, place: number, at: number): boolean {
    const difference = (score - (this.#scores[at] ?? 0)) * this.#sign;
    return difference === 0 ? place < (this.#places[at] ?? 0) : difference > 0;
  }

  /** Puts the match where `from` has become free, or above. */
  #rise(from: number, score: number, place: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#isBefore(score, place, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#put(at, score, place);
  }

  /** Puts the match where the top was, or below, in a heap of `size`. */
  #sink(size: number, score: number, place: number): void {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isHeldBefore(child, child + 1)) child++;
      if (!this.#isBefore(score, place, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, score, place);
  }

  #isHeldBefore(at: number, other: number): boolean {
    return this.#isBefore(this.#scores[at] ?? 0, this.#places[at] ?? 0, other);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#scores[from] ?? 0, this.#places[from] ?? 0);
  }

  #put(at: number, score: number, place: number): void {
    this.#scores[at] = score;
    this.#places[at] = place;
  }
}

/** The best `k` of several lists of matches. */
export function bestOf(metric: Metric, k: number, lists: readonly (readonly Match[])[]): readonly Match[] {
  const [only] = lists;
  if (only !== undefined && lists.length === 1) return only;
  const top = new TopK();
  top.begin(metric, k);
  for (const matches of lists) for (const { score, place } of matches) top.offer(score, place);
  return top.take();
}
