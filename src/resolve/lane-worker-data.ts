/** What the front gives the thread of every lane when it starts it; see `workers/lane.ts`. */
import type { TableHandle } from '../l1/layout.js';

export interface LaneWorkerData {
  readonly table: TableHandle;
  readonly dataDir: string;
  /** Bytes that stay free on the disk of `dataDir`; below, writes fail with `disk-full`. */
  readonly diskFreeMinBytes: number;
  /** How long a deletion outlives its record. */
  readonly tombstoneTtlMs: number;
  /** Of one call into a tier. */
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  /** Keys being fetched from tiers that do not answer at once. */
  readonly flightsMax: number;
}
