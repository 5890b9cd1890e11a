/** What a lane needs of the shared table: its own shards, to read and to write. */
export interface LaneCache {
  /** Whether the key lies in a shard of this lane. */
  owns(slot: number, id: string): boolean;
  /** A copy of the value, or `undefined`. */
  get(slot: number, id: string, nowMs: number): Uint8Array | undefined;
  /** The larger version wins. A value that cannot be kept takes the place of nothing, and leaves no older one behind. */
  put(slot: number, id: string, value: Uint8Array, expiresAtMs: number): void;
  /** True when there was one. */
  remove(slot: number, id: string): boolean;
  /** Removes what passes the test, in steps: call `step` until it says it is done. The id is in UTF-8. */
  removeWhere(slot: number, test: (id: Uint8Array, value: Uint8Array) => boolean): CacheScan;
  /** Removes everything in the lane's shards. */
  empty(): void;
}

export interface CacheScan {
  /** One bounded step; true when the scan is over. */
  step(): boolean;
  readonly removed: number;
}
