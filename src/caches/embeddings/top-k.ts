/**
 * The best k of many scores, in a total order, so that neither the order of the candidates nor how they were divided
 * among lanes changes an answer: the better score first, of equal scores the smaller key (by UTF-16 code units), of equal
 * keys the smaller index. A heap of k places with the last of them on top; nothing is allocated while scores are offered. It is kept from one question
 * to the next, as V8 discards code made for objects of which a garbage collection found none.
 */

export const METRICS = ['dot', 'cosine', 'l2'] as const;
/** `l2` is the distance, so the smallest is best; of the others the largest. */
export type Metric = (typeof METRICS)[number];

export interface Match {
  /** Of the candidate, among those that were offered. */
  readonly index: number;
  readonly key: string;
  readonly score: number;
}

export class TopK {
  #sign: 1 | -1 = 1;
  #k = 0;
  #size = 0;
  #scores = new Float64Array(0);
  #indexes = new Int32Array(0);
  readonly #keys: string[] = [];

  /** Holds none from now on, and at most `k`, at least 1. */
  begin(metric: Metric, k: number): void {
    this.#sign = metric === 'l2' ? -1 : 1;
    this.#k = k;
    this.#size = 0;
    if (k <= this.#scores.length) return;
    this.#scores = new Float64Array(k);
    this.#indexes = new Int32Array(k);
  }

  /** @param score finite. */
  offer(score: number, key: string, index: number): void {
    const size = this.#size;
    if (size < this.#k) {
      this.#size = size + 1;
      this.#rise(size, score, key, index);
    } else if (this.#isBefore(score, key, index, 0)) this.#sink(size, score, key, index);
  }

  /** All that are held, best first; none is held afterwards. */
  take(): Match[] {
    const matches = new Array<Match>(this.#size);
    while (this.#size > 0) {
      const last = this.#size - 1;
      matches[last] = { index: this.#indexes[0] ?? 0, key: this.#keys[0] ?? '', score: this.#scores[0] ?? 0 };
      this.#size = last;
      this.#sink(last, this.#scores[last] ?? 0, this.#keys[last] ?? '', this.#indexes[last] ?? 0);
    }
    this.#keys.length = 0;
    return matches;
  }

  /** Whether that match comes before the one at that place. */
  #isBefore(score: number, key: string, index: number, place: number): boolean {
    const difference = (score - (this.#scores[place] ?? 0)) * this.#sign;
    if (difference !== 0) return difference > 0;
    const other = this.#keys[place] ?? '';
    return key === other ? index < (this.#indexes[place] ?? 0) : key < other;
  }

  /** Puts the match where place `from` has become free, or above. */
  #rise(from: number, score: number, key: string, index: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#isBefore(score, key, index, parent)) break;
      this.#move(parent, place);
      place = parent;
    }
    this.#put(place, score, key, index);
  }

  /** Puts the match in the place of the top, or below, in a heap of `size`. */
  #sink(size: number, score: number, key: string, index: number): void {
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isPlaceBefore(child, child + 1)) child++;
      if (!this.#isBefore(score, key, index, child)) break;
      this.#move(child, place);
      place = child;
    }
    this.#put(place, score, key, index);
  }

  #isPlaceBefore(place: number, other: number): boolean {
    return this.#isBefore(
      this.#scores[place] ?? 0,
      this.#keys[place] ?? '',
      this.#indexes[place] ?? 0,
      other,
    );
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#scores[from] ?? 0, this.#keys[from] ?? '', this.#indexes[from] ?? 0);
  }

  #put(place: number, score: number, key: string, index: number): void {
    this.#scores[place] = score;
    this.#keys[place] = key;
    this.#indexes[place] = index;
  }
}
