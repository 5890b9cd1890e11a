/** What a lane needs of the shared table, and the table as that: its own shards, to read and to write. */
import type { Clock } from '../base/clock.js';
import type { TableHandle } from '../l1/layout.js';
import type { Removal, RemovalTest } from '../l1/removal.js';
import { TableReader } from '../l1/table-reader.js';
import type { TableWriter } from '../l1/table-writer.js';
import { recordVersion } from '../views/record-codec.js';

export interface LaneCache {
  /** Whether the key lies in a shard of this lane. */
  owns(slot: number, id: string): boolean;
  /** A copy of the value, or `undefined`. */
  get(slot: number, id: string): Uint8Array | undefined;
  /** The larger version wins. A value that cannot be kept leaves no older one behind. */
  put(slot: number, id: string, value: Uint8Array, expiresAtMs: number): void;
  /** True when there was one. */
  remove(slot: number, id: string): boolean;
  /** Removes what passes the test, in steps: call `step` until it says it is done. */
  removeWhere(slot: number, test: RemovalTest): Pick<Removal, 'step' | 'removed'>;
  /** Removes all of a cache that is in this lane, in one go. */
  empty(slot: number): void;
}

/** Nobody is to be shown less than somebody was: a copy goes that is older than what cannot be kept in its place. */
export function dropOlder(cache: LaneCache, slot: number, id: string, version: number): void {
  const cached = cache.get(slot, id);
  if (cached !== undefined && recordVersion(cached) < version) cache.remove(slot, id);
}

export interface TableCacheOptions {
  readonly lane: number;
  readonly lanes: number;
  readonly clock: Clock;
}

export class TableCache implements LaneCache {
  readonly #reader: TableReader;
  readonly #writer: TableWriter;
  readonly #options: TableCacheOptions;

  constructor(handle: TableHandle, writer: TableWriter, options: TableCacheOptions) {
    this.#reader = new TableReader(handle, options.lane);
    this.#writer = writer;
    this.#options = options;
  }

  owns(slot: number, id: string): boolean {
    this.#reader.key(slot, id);
    return this.#reader.shard % this.#options.lanes === this.#options.lane;
  }

  get(slot: number, id: string): Uint8Array | undefined {
    this.#reader.key(slot, id);
    const length = this.#reader.get(this.#options.clock.now());
    return length < 0 ? undefined : this.#reader.bytes.slice(0, length);
  }

  put(slot: number, id: string, value: Uint8Array, expiresAtMs: number): void {
    this.#writer.put(slot, id, value, expiresAtMs);
  }

  remove(slot: number, id: string): boolean {
    return this.#writer.remove(slot, id);
  }

  removeWhere(slot: number, test: RemovalTest): Pick<Removal, 'step' | 'removed'> {
    return this.#writer.removeWhere(slot, test);
  }

  empty(slot: number): void {
    const scan = this.#writer.removeWhere(slot, () => true);
    while (!scan.step(Number.MAX_SAFE_INTEGER));
  }
}
