/**
 * The tier on local disk where another store holds the record: copies, bounded in bytes, the oldest going first.
 *
 *   copies       storage key → place in the order (8) · instance (8) · era (4) · zero (4) · the record
 *   copy order   place in the order (8) · instance (8) → storage key
 *
 * **No copy outlives the knowledge that it is current.** It is served only in the era it was made in. An era ends when
 * the connection is lost that tells of changes made elsewhere (`newEra`, in shared memory, at once for all lanes), and
 * with the lane's thread: each instance of this class has a random number of its own, so that what an earlier process
 * or a lane that died has left, or had still to remove, is a miss. What a copy is made of must have been asked for in
 * its era as well: a write carries the era in which its reading began (`TierWrite.era`), and one of an older era is not
 * kept. What is left of older eras is removed in time as the oldest.
 *
 * **A lane never sees an older copy than one it was given**, also while the commit is under way: what is queued is
 * remembered and hides what is on disk. A newer value that cannot be kept (too large, too much queued, of an older era)
 * removes the copy; where even that fails, with the disk full or failing, the era ends.
 *
 * The bound is on the pages the two trees take, which LMDB counts itself: it holds across lanes, deaths and restarts
 * without a count of our own. Every batch first makes room for itself. The order is written before the copy and removed
 * after it, so that there is never a copy which is not in it; an entry without its copy does no harm.
 */
import { randomBytes } from 'node:crypto';
import { type Database, getLastVersion } from 'lmdb';
import { assert } from '../base/assert.js';
import { type Clock, HybridClock, type Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import type { Tier, TierWrite } from '../base/tier.js';
import type { DiskGuard } from './disk-guard.js';
import type { LmdbEnvironment } from './lmdb-environment.js';
import { nameOf, PAGE_BYTES_PER_CHANGE, unavailable } from './lmdb-writes.js';

export const COPY_BYTES_MAX_DEFAULT = 1024 * 1024 * 1024;
export const COPY_BYTES_MAX_MIN = 1024 * 1024;

/** Of what is queued for the disk by one lane; beyond, new copies are not made. */
const QUEUED_BYTES_MAX = 16 * 1024 * 1024;
/** A value that would take more than this part of the whole is not kept. */
const PART_MAX = 1 / 8;
/** Copies that one call removes beyond those it makes: a bound that was lowered is reached step by step. */
const EVICTIONS_MAX = 1024;

const ORDER_BYTES = 16;
const INSTANCE_AT = 8;
const ERA_AT = 16;
const HEADER_BYTES = 24;

export interface LmdbCopyOptions {
  readonly environment: LmdbEnvironment;
  readonly guard: DiskGuard;
  readonly clock: Clock;
  /** One for all lanes, see `copyEras`. */
  readonly eras: SharedArrayBuffer;
  /** Bytes of disk for the copies of all lanes. */
  readonly bytesMax?: number;
}

/** The memory in which lanes share the era. */
export function copyEras(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** What is queued for a key and not yet on disk; without a value, the removal of its copy. */
interface Queued {
  readonly value: Uint8Array | undefined;
  readonly version: Version;
  readonly era: number;
  readonly order: Uint8Array | undefined;
  /** The call that queued it. */
  readonly call: Call;
}

interface Call {
  /** Settles with the last change queued. */
  last: Promise<boolean> | undefined;
  readonly names: string[];
  bytes: number;
}

/** What a key has, on disk or queued. */
interface Held {
  readonly version: Version;
  readonly order: Uint8Array | undefined;
  readonly isCurrent: boolean;
}

export class LmdbCopyTier implements Tier {
  readonly name = 'lmdb';
  readonly #options: LmdbCopyOptions;
  readonly #bytesMax: number;
  readonly #eras: Int32Array;
  readonly #instance = randomBytes(8);
  readonly #places: HybridClock;
  readonly #queued = new Map<string, Queued>();
  #queuedBytes = 0;
  #isEvicting = false;
  /** Copies removed to make room. */
  evicted = 0;

  constructor(options: LmdbCopyOptions) {
    this.#options = options;
    this.#bytesMax = options.bytesMax ?? COPY_BYTES_MAX_DEFAULT;
    assert(this.#bytesMax >= COPY_BYTES_MAX_MIN, 'copies have some room');
    this.#eras = new Int32Array(options.eras);
    this.#places = new HybridClock(options.clock);
  }

  /** To be noted before the tier below is asked or written, and given with what is then put here. */
  get era(): number {
    return Atomics.load(this.#eras, 0);
  }

  /** From now on no copy made so far is served, in any lane: changes made elsewhere may not have been told of. */
  newEra(): void {
    Atomics.add(this.#eras, 0, 1);
  }

  /** Bytes of the pages that hold the copies of all lanes, of all eras. */
  get bytesUsed(): number {
    const { copies, copyOrder } = this.#options.environment;
    return pagesOf(copies).bytes + pagesOf(copyOrder).bytes;
  }

  /** Changes queued and not yet on disk. */
  get queuedCount(): number {
    return this.#queued.size;
  }

  getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    const { era } = this;
    return keys.map(key => {
      const queued = this.#queued.size === 0 ? undefined : this.#queued.get(nameOf(key));
      if (queued !== undefined) return queued.era === era ? queued.value : undefined;
      const bytes = this.#options.environment.copies.getBinary(key);
      return bytes !== undefined && this.#isOf(bytes, era) ? bytes.subarray(HEADER_BYTES) : undefined;
    });
  }

  /** As every tier, but a value may be forgotten at any time, or not be kept at all: it is then said to be applied. */
  async putMany(writes: readonly TierWrite[]): Promise<(Version | null)[]> {
    const { era } = this;
    this.#checkDisk(writes, era);
    const call: Call = { last: undefined, names: [], bytes: 0 };
    const results = writes.map(write => this.#put(write, era, call));
    await this.#commit(call, this.#makeRoom(call));
    return results;
  }

  /** A key's copy is not seen any more as soon as this is called. */
  async deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    const { era } = this;
    const held = keys.map(key => this.#held(key, era));
    try {
      this.#options.guard.checkReserve(keys.length * PAGE_BYTES_PER_CHANGE);
    } catch {
      if (held.some(one => one?.isCurrent)) this.newEra();
      return;
    }
    const call: Call = { last: undefined, names: [], bytes: 0 };
    keys.forEach((key, index) => {
      const one = held[index];
      if (one !== undefined) this.#remove(key, one, era, call);
    });
    await this.#commit(call);
  }

  close(): Promise<void> {
    return this.#options.environment.close();
  }

  #put(write: TierWrite, era: number, call: Call): Version | null {
    const { key, value, version } = write;
    const held = this.#held(key, era);
    if (held?.isCurrent && held.version >= version) return held.version;
    const bytes = value.byteLength + PAGE_BYTES_PER_CHANGE;
    const fits = bytes <= this.#bytesMax * PART_MAX && this.#queuedBytes + bytes <= QUEUED_BYTES_MAX;
    if (!fits || (write.era ?? era) !== era) {
      if (held?.isCurrent) this.#remove(key, held, era, call);
      return null;
    }
    const { copies, copyOrder } = this.#options.environment;
    const copy = this.#stamped(value, era);
    const order = copy.subarray(0, ORDER_BYTES);
    copyOrder.put(order, key);
    call.last = copies.put(key, copy, version);
    if (held?.order !== undefined) call.last = copyOrder.remove(held.order);
    call.bytes += bytes;
    this.#queuedBytes += bytes;
    this.#queue(key, { value, version, era, order, call });
    return null;
  }

  #remove(key: Uint8Array, held: Held, era: number, call: Call): void {
    const { copies, copyOrder } = this.#options.environment;
    call.last = copies.remove(key);
    if (held.order !== undefined) call.last = copyOrder.remove(held.order);
    this.#queue(key, { value: undefined, version: held.version, era, order: undefined, call });
  }

  #queue(key: Uint8Array, queued: Queued): void {
    const name = nameOf(key);
    this.#queued.set(name, queued);
    queued.call.names.push(name);
  }

  #held(key: Uint8Array, era: number): Held | undefined {
    const queued = this.#queued.size === 0 ? undefined : this.#queued.get(nameOf(key));
    if (queued !== undefined) {
      const { version, order, value } = queued;
      return value === undefined ? undefined : { version, order, isCurrent: queued.era === era };
    }
    const bytes = this.#options.environment.copies.getBinaryFast(key);
    if (bytes === undefined) return undefined;
    const version = getLastVersion() as Version;
    return { version, order: orderOf(bytes), isCurrent: this.#isOf(bytes, era) };
  }

  #stamped(value: Uint8Array, era: number): Buffer {
    const copy = Buffer.allocUnsafe(HEADER_BYTES + value.byteLength);
    copy.writeBigUInt64BE(BigInt(this.#places.next()), 0);
    copy.set(this.#instance, INSTANCE_AT);
    copy.writeInt32LE(era, ERA_AT);
    copy.writeInt32LE(0, ERA_AT + 4);
    copy.set(value, HEADER_BYTES);
    return copy;
  }

  #isOf(copy: Buffer, era: number): boolean {
    return (
      copy.length >= HEADER_BYTES &&
      copy.readInt32LE(ERA_AT) === era &&
      this.#instance.compare(copy, INSTANCE_AT, INSTANCE_AT + this.#instance.length) === 0
    );
  }

  /** Removes the oldest copies for what the call adds. The queue is in order: they go with its commit. */
  #makeRoom(call: Call): boolean {
    if (this.#isEvicting) return false;
    const { copies, copyOrder } = this.#options.environment;
    const order = pagesOf(copyOrder);
    const used = pagesOf(copies).bytes + order.bytes;
    const excess = used + this.#queuedBytes - this.#bytesMax;
    if (excess <= 0 || order.entries === 0) return false;
    const wanted = Math.ceil((excess * order.entries) / used);
    const limit = Math.min(wanted, EVICTIONS_MAX + 2 * call.names.length);
    for (const { key, value } of [...copyOrder.getRange({ limit })]) {
      const copy = copies.getBinaryFast(value);
      // Only as it was seen: it may be written anew in between, by its own lane.
      if (copy !== undefined && orderOf(copy)?.equals(key)) copies.remove(value, getLastVersion());
      call.last = copyOrder.remove(key);
      this.evicted++;
    }
    this.#isEvicting = true;
    return true;
  }

  async #commit(call: Call, isEvicting = false): Promise<void> {
    try {
      await call.last;
    } catch (error) {
      // Some of what was to be replaced or removed may be there as before.
      this.newEra();
      throw unavailable(error);
    } finally {
      if (isEvicting) this.#isEvicting = false;
      this.#queuedBytes -= call.bytes;
      for (const name of call.names) if (this.#queued.get(name)?.call === call) this.#queued.delete(name);
    }
  }

  /** @throws HeadraceError `disk-full`; then no copy is left that is older than what could not be written. */
  #checkDisk(writes: readonly TierWrite[], era: number): void {
    try {
      this.#options.guard.check(
        writes.reduce((sum, { value }) => sum + value.byteLength + PAGE_BYTES_PER_CHANGE, 0),
      );
    } catch (error) {
      if (!(error instanceof HeadraceError)) throw error;
      const isOlder = ({ key, version }: TierWrite) => {
        const held = this.#held(key, era);
        return held?.isCurrent && held.version < version;
      };
      if (writes.some(isOlder)) this.newEra();
      throw error;
    }
  }
}

/** A copy of its own: the bytes may be those of the next read. */
function orderOf(copy: Buffer): Buffer | undefined {
  return copy.length < HEADER_BYTES ? undefined : Buffer.from(copy.subarray(0, ORDER_BYTES));
}

/** What LMDB says of a tree, as far as it is needed. */
interface TreeStats {
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly entryCount: number;
}

/** A few microseconds. */
function pagesOf(tree: Database<Uint8Array, Uint8Array>): {
  readonly bytes: number;
  readonly entries: number;
} {
  const stats = tree.getStats() as TreeStats;
  const pages = stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
  return { bytes: pages * stats.pageSize, entries: stats.entryCount };
}
