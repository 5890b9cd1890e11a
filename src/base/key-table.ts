/**
 * The keys an object is known to have, recognised without making strings of them.
 *
 * Producers write the same keys in the same order, record after record. So each key remembers which one followed it
 * the last time, and that one's bytes are compared first; only on another is the key read as a string and looked up.
 * Any steady order is as fast as any other, with keys missing or not. Keys that are not among the names but come all the
 * same (the flat form of a record has such) are remembered as well, a limited number of them.
 */
import type { JsonReader } from './json.js';
import { type JsonKey, jsonKey } from './json-syntax.js';
import { failDuplicate } from './json-value.js';

const STRANGERS_MAX = 256;
const STRANGER_LENGTH_MAX = 64;

export class KeyTable {
  /** The names, then the strangers. */
  readonly #keys: JsonKey[];
  readonly #names: number;
  readonly #places: Map<string, number>;
  /** By place, and at the end for the start of the object: the place of the key that came next. */
  readonly #next: Int32Array;
  /** By place, the number of the object that last had the key; counting objects is cheaper than clearing marks. */
  readonly #seen: Float64Array;
  #object = 1;
  /** Strangers beyond those remembered that this object had. */
  readonly #rare = new Set<string>();
  #last: number;
  /** The key that `read` did not know. */
  unknown = '';

  constructor(names: readonly string[]) {
    const places = names.length + STRANGERS_MAX;
    this.#keys = names.map(jsonKey);
    this.#names = names.length;
    this.#places = new Map(names.map((name, place) => [name, place]));
    this.#next = Int32Array.from({ length: places + 1 }, (_, place) => (place === places ? 0 : place + 1));
    this.#seen = new Float64Array(places);
    this.#last = places;
  }

  /** Before the first key of an object. */
  begin(): void {
    this.#object++;
    this.#last = this.#seen.length;
    if (this.#rare.size > 0) this.#rare.clear();
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
    const name = this.#keys[place]?.name ?? '';
    if (this.#seen[place] === this.#object) failDuplicate(reader, name, start);
    this.#seen[place] = this.#object;
    this.#last = place;
    if (place < this.#names) return place;
    this.unknown = name;
    return -1;
  }

  #lookUp(reader: JsonReader, start: number): number {
    const key = reader.readKey();
    const place = this.#places.get(key) ?? this.#remember(key);
    if (place !== -1) {
      this.#next[this.#last] = place;
      return place;
    }
    if (this.#rare.has(key)) failDuplicate(reader, key, start);
    this.#rare.add(key);
    this.unknown = key;
    return -1;
  }

  /** The new place of a stranger, or -1 when there is no room for it. */
  #remember(key: string): number {
    const place = this.#keys.length;
    if (place === this.#seen.length || key.length > STRANGER_LENGTH_MAX) return -1;
    this.#keys.push(jsonKey(key));
    this.#places.set(key, place);
    return place;
  }
}
