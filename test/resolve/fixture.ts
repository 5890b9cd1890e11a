/** The parts of a lane in the test's own thread: real records, a plain map for the shared table, any tier. */
import { HybridClock, ManualClock, type Version } from '../../src/base/clock.js';
import { viewUidOfStorageKey } from '../../src/base/keys.js';
import type { Tier, TierWrite } from '../../src/base/tier.js';
import type { PutOp, ReadReply } from '../../src/lanes/messages.js';
import { PackedRows, ROW } from '../../src/lanes/packed-rows.js';
import { type Found, TierChain } from '../../src/resolve/chain.js';
import { Coherence } from '../../src/resolve/coherence.js';
import type { LaneCache } from '../../src/resolve/lane-cache.js';
import { LaneViews } from '../../src/resolve/lane-views.js';
import { NegativeEntries } from '../../src/resolve/negative-entries.js';
import { ReadResolver } from '../../src/resolve/read-resolver.js';
import { RecordInspector } from '../../src/resolve/record-inspector.js';
import { RecordWriter } from '../../src/resolve/record-writer.js';
import { SingleFlight } from '../../src/resolve/single-flight.js';
import { Untold, untoldMemory } from '../../src/resolve/untold.js';
import { recordVersion } from '../../src/views/record-codec.js';
import { RecordReader } from '../../src/views/record-reader.js';
import type { StoredView } from '../../src/views/schema.js';

export const VIEW: StoredView = {
  name: 'docs',
  uid: 3,
  slot: 1,
  schema: 1,
  entity: 'doc',
  ttlMs: 60_000,
  features: [
    ['n', 'int64'],
    ['text', 'string'],
  ],
  l1Bytes: undefined,
  eviction: 's3-fifo',
};

export const NEVER = Number.MAX_SAFE_INTEGER;

export function putOf(id: string, start: number, end: number): PutOp {
  return { kind: 'put', viewUid: VIEW.uid, id, start, end, flat: false, deadlineMs: NEVER };
}

/** The value of `n`, or the status. */
export function rowsOf(reply: ReadReply, total: number): (number | string | null)[] {
  const rows = new PackedRows(reply.rows, total);
  return Array.from({ length: total }, (_, row) => {
    const record = rows.record(row);
    if (record === undefined) return rows.status(row) === ROW.notFound ? 'absent' : 'unavailable';
    const reader = new RecordReader();
    reader.reset(record);
    return reader.int64(0);
  });
}

export class MapTier implements Tier {
  readonly name = 'lmdb';
  readonly kept = new Map<string, TierWrite>();
  asked = 0;

  getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    this.asked += keys.length;
    return keys.map(key => this.kept.get(Buffer.from(key).toString('hex'))?.value);
  }

  async putMany(writes: readonly TierWrite[]): Promise<(Version | null)[]> {
    return writes.map(write => {
      const name = Buffer.from(write.key).toString('hex');
      const held = this.kept.get(name);
      if (held !== undefined && held.version >= write.version) return held.version;
      this.kept.set(name, write);
      return null;
    });
  }

  async *keysOf(viewUid: number): AsyncGenerator<readonly Uint8Array[]> {
    for (const { key } of this.kept.values()) if (viewUidOfStorageKey(key) === viewUid) yield [key];
  }

  async deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    for (const key of keys) this.kept.delete(Buffer.from(key).toString('hex'));
  }

  async close(): Promise<void> {}
}

export class MapCache implements LaneCache {
  readonly kept = new Map<string, Uint8Array>();
  /** Of what was put back. */
  readonly heats = new Map<string, number>();
  /** Ids that nobody has read. */
  readonly unused = new Set<string>();
  entriesMax = Number.POSITIVE_INFINITY;

  get isFull(): boolean {
    return this.kept.size >= this.entriesMax;
  }

  canAdd(slot: number, id: string): boolean {
    return !this.isFull && this.get(slot, id) === undefined;
  }

  addHot(slot: number, id: string, value: Uint8Array, _expiresAtMs: number, heat: number): boolean {
    if (!this.canAdd(slot, id)) return false;
    this.put(slot, id, value);
    this.heats.set(`${slot}/${id}`, heat);
    return true;
  }

  owns(_slot: number, id: string): boolean {
    return !id.startsWith('other');
  }

  get(slot: number, id: string): Uint8Array | undefined {
    return this.kept.get(`${slot}/${id}`);
  }

  put(slot: number, id: string, value: Uint8Array): void {
    const held = this.get(slot, id);
    if (held === undefined || recordVersion(held) <= recordVersion(value))
      this.kept.set(`${slot}/${id}`, value.slice());
  }

  remove(slot: number, id: string): boolean {
    return this.kept.delete(`${slot}/${id}`);
  }

  removeWhere(slot: number, test: Parameters<LaneCache['removeWhere']>[1]) {
    const names = [...this.kept.keys()].filter(name => name.startsWith(`${slot}/`));
    const scan = {
      removed: 0,
      step: () => {
        const name = names.pop();
        if (name === undefined) return true;
        const id = Buffer.from(name.slice(`${slot}/`.length));
        const value = this.kept.get(name);
        // It has left by itself.
        if (value === undefined) return false;
        const bytes = Buffer.concat([id, value]);
        if (
          test(bytes, 0, id.length, id.length, bytes.length, !this.unused.has(String(id))) &&
          this.kept.delete(name)
        )
          scan.removed++;
        return false;
      },
    };
    return scan;
  }

  empty(): void {
    this.kept.clear();
  }
}

/** `isShared`: as if other servers wrote the same records. */
export function laneOver(tiers: readonly Tier[], isShared = false) {
  const clock = new ManualClock();
  const inspector = new RecordInspector();
  const cache = new MapCache();
  const views = new LaneViews();
  views.declare(VIEW);
  const chain = new TierChain(
    tiers.map(tier => ({ tier })),
    inspector,
    { isHidden: (key, value) => views.isHidden(key, value) },
  );
  const flights = new SingleFlight<Found>(10_000);
  const versions = new HybridClock(clock);
  const negative = new NegativeEntries({ ttlMs: isShared ? 5_000 : 0 });
  const coherence = new Coherence({
    views,
    cache,
    negative,
    flights,
    copies: undefined,
    emptySlot: () => cache.empty(),
    clock,
    isShared,
    staleMaxMs: 1_000,
    untold: new Untold(untoldMemory(1), 0),
    review: () => undefined,
    later: () => () => undefined,
  });
  const reads = new ReadResolver({ views, cache, chain, flights, negative, coherence, inspector, clock });
  const writes = new RecordWriter({ views, cache, chain, coherence, inspector, clock, versions });
  return { clock, inspector, cache, views, chain, flights, negative, coherence, versions, reads, writes };
}
