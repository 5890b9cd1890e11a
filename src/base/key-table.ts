/**
 * The keys an object is known to have, recognised without making strings of them.
 *
 * Producers write the same keys in the same order, record after record. So each key remembers which one followed it
 * the last time, and that one's bytes are compared first; only on another is the key read as a string and looked up.
 * Any steady order is as fast as any other, with keys missing or not.
 */
import type { JsonReader } from './json.js';
import { type JsonKey, jsonKey } from './json-syntax.js';
import { failDuplicate } from './json-value.js';

export class KeyTable {
  readonly #keys: readonly JsonKey[];
  readonly #places: ReadonlyMap<string, number>;
  /** By place, and at the end for the start of the object: the place of the key that came next. */
  readonly #next: Int32Array;
  /** By place, the number of the object that last had the key; counting objects is cheaper than clearing marks. */
  readonly #seen: Float64Array;
  #object = 1;
  readonly #unknownSeen = new Set<string>();
  #last: number;
  /** The key that `read` did not know. */
  unknown = '';

  constructor(names: readonly string[]) {
    this.#keys = names.map(jsonKey);
    this.#places = new Map(names.map((name, place) => [name, place]));
    this.#next = Int32Array.from({ length: names.length + 1 }, (_, place) => place + 1);
    this.#next[names.length] = 0;
    this.#seen = new Float64Array(names.length);
    this.#last = names.length;
  }

  /** Before the first key of an object. */
  begin(): void {
    this.#object++;
    if (this.#unknownSeen.size > 0) this.#unknownSeen.clear();
    this.#last = this.#keys.length;
  }

  /** True when the object had this key. */
  has(place: number): boolean {
    return this.#seen[place] === this.#object;
  }

  /**
   * Reads the next key and its colon. Its place among the names; -1 for another key, which is then in `unknown`.
   * @throws HeadraceError `bad-json` when the object had this key before.
   */
  read(reader: JsonReader): number {
    const start = reader.at;
    const guess = this.#next[this.#last] ?? 0;
    const expected = this.#keys[guess];
    const place = expected !== undefined && reader.matchKey(expected) ? guess : this.#lookUp(reader, start);
    if (place === -1) return place;
    if (this.#seen[place] === this.#object) failDuplicate(reader, this.#keys[place]?.name ?? '', start);
    this.#seen[place] = this.#object;
    this.#last = place;
    return place;
  }

  #lookUp(reader: JsonReader, start: number): number {
    const key = reader.readKey();
    const place = this.#places.get(key);
    if (place !== undefined) {
      this.#next[this.#last] = place;
      return place;
    }
    if (this.#unknownSeen.has(key)) failDuplicate(reader, key, start);
    this.#unknownSeen.add(key);
    this.unknown = key;
    return -1;
  }
}
