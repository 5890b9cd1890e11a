/**
 * Writes that can be checked whatever happens to the server in between: a record's features follow from its id and one
 * number in it, and a ledger knows, by id, the newest version that anybody was told of. A record is wrong when it is
 * older than that, newer than all that was ever sent, or not whole.
 */
import { isDeepStrictEqual } from 'node:util';

export const CHECKED_VIEW = {
  entity: 'doc',
  ttl: '7d',
  features: { n: 'int64', ratio: 'float64', text: 'string', vector: 'float32[8]' },
} as const;

export type Features = Readonly<Record<string, unknown>>;

/** Records of very different sizes, so that a mixture of two would not fit. */
export function featuresOf(id: string, n: number): Features {
  let hash = 0x811c9dc5;
  for (const character of `${id}/${n}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193) >>> 0;
  return {
    n,
    ratio: hash / 7,
    text: `${id}/${n};`.repeat(1 + (hash % 60)),
    vector: Array.from({ length: 8 }, (_, at) => (hash >>> at) & 0xffff),
  };
}

export interface Seen {
  readonly id: string;
  /** `undefined`: there is no record. */
  readonly version: number | undefined;
  readonly features: Features;
}

export class Ledger {
  /** By id: no reader may be shown less. */
  readonly #floors = new Map<string, number>();
  #sent = 0;
  acknowledged = 0;

  /** A version, and the number in the record, newer than every one before. */
  next(): number {
    this.#sent++;
    return this.#sent;
  }

  get ids(): string[] {
    return [...this.#floors.keys()];
  }

  floorOf(id: string): number {
    return this.#floors.get(id) ?? 0;
  }

  acknowledge(id: string, version: number): void {
    this.acknowledged++;
    this.#raise(id, version);
  }

  /**
   * What is wrong with what a reader was shown, or nothing. `floor` is what `floorOf` was when the reader asked. What
   * was shown once may not be taken back.
   */
  fault({ id, version, features }: Seen, floor: number): string | undefined {
    if (version === undefined) return floor === 0 ? undefined : `${id}: version ${floor} is lost`;
    if (version < floor) return `${id}: version ${version} after ${floor}`;
    const { n } = features;
    if (typeof n !== 'number' || n < 1 || n > this.#sent) return `${id}: ${n} was never sent`;
    if (!hasServerVersions(id) && n !== version) return `${id}: version ${version} has the features of ${n}`;
    if (!isDeepStrictEqual(features, featuresOf(id, n))) return `${id}: version ${version} is not whole`;
    this.#raise(id, version);
    return undefined;
  }

  #raise(id: string, version: number): void {
    if (version > this.floorOf(id)) this.#floors.set(id, version);
  }
}

/** Records whose versions the server's clock gives; the other ids' writes bring theirs. */
export function hasServerVersions(id: string): boolean {
  return id.startsWith('clock-');
}
