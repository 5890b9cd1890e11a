/**
 * How much each scenario does at each size. Tiny runs with the tests, so that no benchmark rots; its figures mean
 * little. Small is for everyday work, full for what is published.
 */

export const SIZE_NAMES = ['tiny', 'small', 'full'] as const;
export type SizeName = (typeof SIZE_NAMES)[number];

export interface Size {
  /** Documents that single reads and batches ask for: all fit into L1. */
  readonly documents: number;
  /** Documents of the miss scenario: far more than its L1 holds. */
  readonly missDocuments: number;
  readonly zipfDocuments: number;
  /** Queries that are made, in how many requests. */
  readonly queryRequests: number;
  /** Clients that ask a named cache at once, and a crowd of them. */
  readonly clients: number;
  readonly crowd: number;
  /** Keys that all clients want when nobody has them. */
  readonly coldKeys: number;
  /** Documents that the scenario of the tiers finds below L1: far more than L1 holds. */
  readonly coldDocuments: number;
  /** Of the ids of its lookups. */
  readonly missPercents: readonly number[];
  readonly loadRecords: number;
  readonly restartRecords: number;
  /** Length of an open-loop run, unless `--duration` says otherwise. */
  readonly durationMs: number;
  readonly roundMs: number;
  /** Length of a measurement that is one of a row, as the seconds after a restart. */
  readonly secondMs: number;
  /** Closed-loop rounds of headrace alone. */
  readonly rounds: number;
  /** Closed-loop rounds when rivals take turns with it. */
  readonly rivalRounds: number;
  /** Open-loop requests per second of single reads, unless `--rate` says otherwise; scenarios take a share. */
  readonly rate: number;
}

export const SIZES: Readonly<Record<SizeName, Size>> = {
  tiny: {
    documents: 1_000,
    missDocuments: 20_000,
    zipfDocuments: 10_000,
    queryRequests: 5_000,
    clients: 100,
    crowd: 500,
    coldKeys: 3,
    coldDocuments: 10_000,
    missPercents: [100],
    loadRecords: 20_000,
    restartRecords: 10_000,
    durationMs: 1_000,
    roundMs: 300,
    secondMs: 100,
    rounds: 1,
    rivalRounds: 5,
    rate: 1_000,
  },
  small: {
    documents: 5_000,
    missDocuments: 100_000,
    zipfDocuments: 100_000,
    queryRequests: 50_000,
    clients: 1_000,
    crowd: 5_000,
    coldKeys: 10,
    coldDocuments: 20_000,
    missPercents: [10, 50, 100],
    loadRecords: 500_000,
    restartRecords: 200_000,
    durationMs: 5_000,
    roundMs: 1_000,
    secondMs: 1_000,
    rounds: 3,
    rivalRounds: 5,
    rate: 5_000,
  },
  full: {
    documents: 10_000,
    missDocuments: 500_000,
    zipfDocuments: 1_000_000,
    queryRequests: 200_000,
    clients: 1_000,
    crowd: 5_000,
    coldKeys: 100,
    coldDocuments: 40_000,
    missPercents: [10, 50, 100],
    loadRecords: 25_000_000,
    restartRecords: 1_000_000,
    durationMs: 10_000,
    roundMs: 2_000,
    secondMs: 1_000,
    rounds: 5,
    rivalRounds: 7,
    rate: 5_000,
  },
};
