/** Real lanes over a real table and store, in a directory of their own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { releaseLane } from '../../src/l1/lane-owner.js';
import { createTable, shapeOf, type TableHandle } from '../../src/l1/layout.js';
import { TableReader } from '../../src/l1/table-reader.js';
import type { LaneEvent } from '../../src/lanes/lane-event.js';
import { Lanes, type LanesOptions } from '../../src/lanes/lanes.js';
import type { ViewDraft } from '../../src/lanes/messages.js';
import { breakerMemory } from '../../src/resolve/breaker.js';
import type { SharedStores } from '../../src/resolve/lane-worker-data.js';
import { sharedLists } from '../../src/resolve/list-figures.js';
import { sharedOrigins } from '../../src/resolve/origin-figures.js';
import { untoldMemory } from '../../src/resolve/untold.js';
import { copyEras } from '../../src/tiers/lmdb-copy.js';
import { RecordReader } from '../../src/views/record-reader.js';
import { catalogedViewOf, type FeatureType, type View, viewOf } from '../../src/views/schema.js';
import type { FaultyWorkerData } from './faulty-lane.js';

const FAULTY = new URL('./faulty-lane.js', import.meta.url);

export interface FixtureOptions {
  readonly count?: number;
  readonly clock?: Clock;
  readonly diskFreeMinBytes?: number;
  readonly opsMax?: number;
  readonly bytesMax?: number;
  readonly startFailures?: number;
  readonly dataDir?: string;
}

/** Neither Redis nor MongoDB. */
const EMBEDDED: SharedStores = {
  recordStore: 'lmdb',
  redisUrl: '',
  redisTimeoutMs: 100,
  mongodbUrl: '',
  mongodbTimeoutMs: 100,
  storeTimeoutMs: 1_000,
  slowCommandMs: 100,
  catalogLimits: { viewsMax: 8, builtInMax: 8 },
  breaker: { failuresMax: 5, halfOpenAfterMs: 30_000 },
  breakers: breakerMemory(2),
  untold: untoldMemory(8),
  eras: copyEras(),
  localCopyBytes: 0,
  negativeTtlMs: 0,
  staleMaxMs: 0,
};

export class LanesFixture {
  readonly table: TableHandle;
  readonly dataDir: string;
  readonly faults: Int32Array;
  readonly events: LaneEvent[] = [];
  readonly reader: TableReader;
  /** Threads that cannot be made. */
  readonly threadRefusals = { left: 0 };
  lanes!: Lanes;

  private constructor(dataDir: string, lanes: number) {
    this.dataDir = dataDir;
    this.faults = new Int32Array(new SharedArrayBuffer(16));
    const shape = shapeOf({ bytes: 32 * 1024 * 1024, lanes, caches: 8 });
    this.table = createTable(shape, { nowMs: Date.now(), hashKey: Int32Array.of(7, 8, 9, 10) });
    this.reader = new TableReader(this.table, lanes);
  }

  static async open(options: FixtureOptions = {}): Promise<LanesFixture> {
    const { count = 2, dataDir = mkdtempSync(join(tmpdir(), 'headrace-lanes-')) } = options;
    const fixture = new LanesFixture(dataDir, count);
    fixture.faults[0] = options.startFailures ?? 0;
    fixture.lanes = await Lanes.open(fixture.#lanesOptions(options, count));
    return fixture;
  }

  #lanesOptions(options: FixtureOptions, count: number): LanesOptions {
    const workerData: FaultyWorkerData = {
      table: this.table,
      dataDir: this.dataDir,
      diskFreeMinBytes: options.diskFreeMinBytes ?? 1024 * 1024,
      tombstoneTtlMs: 3_600_000,
      readTimeoutMs: 5_000,
      writeTimeoutMs: 30_000,
      flightsMax: 10_000,
      hotKeysMax: 1_000,
      warmRate: 0,
      compressAbove: new Map(),
      shared: EMBEDDED,
      origins: sharedOrigins([], 0),
      lists: sharedLists([], count),
      faults: this.faults,
    };
    const refusals = this.threadRefusals;
    return {
      count,
      workerUrl: FAULTY,
      // Read whenever a thread is made: what throws here is what the system's refusal of a thread looks like.
      workerData: {
        ...workerData,
        get dataDir() {
          if (refusals.left-- > 0) throw new Error('no thread on demand');
          return workerData.dataDir;
        },
      },
      clock: options.clock ?? systemClock,
      onExited: lane => releaseLane(this.table, lane),
      onEvent: event => this.events.push(event),
      ...(options.opsMax === undefined ? {} : { opsMax: options.opsMax }),
      ...(options.bytesMax === undefined ? {} : { bytesMax: options.bytesMax }),
    };
  }

  async declare(name = 'docs', type: FeatureType = 'int64', slot = 0): Promise<View> {
    const draft: ViewDraft = {
      name,
      schema: 1,
      entity: 'doc',
      ttlMs: 3_600_000,
      features: [['n', type]],
      l1Bytes: undefined,
      eviction: 's3-fifo',
    };
    const { view } = await this.lanes.createView(draft, 1);
    const stored = { ...view, slot };
    await this.lanes.declare(stored);
    return viewOf(stored);
  }

  async drop(view: View): Promise<void> {
    await this.lanes.dropView(catalogedViewOf(view));
    await this.lanes.forget(view);
  }

  laneOf(view: View, id: string): number {
    this.reader.key(view.slot, id);
    return this.lanes.laneOf(this.reader.shard);
  }

  write(view: View, id: string, n: number, version?: number, deadlineMs = soon()) {
    const body = Buffer.from(
      JSON.stringify({ features: { n }, ...(version === undefined ? {} : { version }) }),
    );
    return this.lanes.write(this.laneOf(view, id), view, id, body, deadlineMs);
  }

  /** The value of `n`, or the row's status. */
  async read(view: View, id: string, deadlineMs = soon()): Promise<number | 'absent' | 'unavailable'> {
    const rows = await this.lanes.read(this.laneOf(view, id), view, [id], deadlineMs);
    const record = rows.record(0);
    if (record === undefined) return rows.status(0) === 1 ? 'absent' : 'unavailable';
    const reader = new RecordReader();
    reader.reset(record);
    return reader.int64(0) ?? 'absent';
  }

  async close(): Promise<void> {
    await this.lanes.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

export function soon(ms = 20_000): number {
  return Date.now() + ms;
}

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
