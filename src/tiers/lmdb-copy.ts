/**
 * The tier on local disk where another store holds the record: copies, bounded in bytes, the oldest going first.
 *
 * The copies are a log with an index by key beside it (`lmdb-copy-layout.ts`). The log is written at its end and removed
 * from its front, so that its pages are full and freed as a whole: 7 of 10 bytes on disk are records of 250 bytes and
 * their keys. (By storage key, with the order beside it, 5 of 10 were.) Copies are made as fast as records are put.
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
 * without a count of our own. Every batch makes room for itself. A copy is written before its entry in the index and
 * removed after it, so that whatever is cut short leaves nothing that does not go in its turn.
 */
import { randomBytes } from 'node:crypto';
import type { Database } from 'lmdb';
import { assert } from '../base/assert.js';
import { type Clock, HybridClock, type Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import type { Tier, TierRead, TierWrite } from '../base/tier.js';
import type { DiskGuard } from './disk-guard.js';
import {
  copyOf,
  INSTANCE_BYTES,
  isEntryOf,
  isKey,
  keyOf,
  leadsTo,
  newEntry,
  PLACE_BYTES,
  placeOf,
  recordBytes,
  recordOf,
  treeBytes,
  versionOf,
} from './lmdb-copy-layout.js';
import type { LmdbEnvironment } from './lmdb-environment.js';
import { getLastVersion } from './lmdb-module.js';
import { diskBytes, nameOf, PAGE_BYTES_PER_CHANGE, unavailable } from './lmdb-writes.js';

export const COPY_BYTES_MAX_DEFAULT = 1024 * 1024 * 1024;
export const COPY_BYTES_MAX_MIN = 1024 * 1024;

/** Of what is queued for the disk by one lane; beyond, new copies are not made. */
const QUEUED_BYTES_MAX = 16 * 1024 * 1024;
/** A value that would take more than this part of the whole is not kept. */
const PART_MAX = 1 / 8;
/** Of the whole, kept free for pages that are split; of a large one, less. */
const SPARE_PART = 1 / 16;
const SPARE_BYTES_MAX = 4 * 1024 * 1024;
/** Copies that one call removes beyond those it makes: a bound that was lowered is reached step by step. */
const EVICTIONS_MAX = 1024;

export interface LmdbCopyOptions {
  readonly environment: LmdbEnvironment;
  readonly guard: DiskGuard;
  readonly clock: Clock;
  /** One for all lanes, see `copyEras`. */
  readonly eras: SharedArrayBuffer;
  /** Bytes of disk for the copies of all lanes. */
  readonly bytesMax?: number;
}

const DAMAGED = new Uint8Array(0);

/** The memory in which lanes share the era. */
export function copyEras(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** What is queued for a key and not yet on disk; without a value, the removal of its copy. */
interface Queued {
  readonly value: Uint8Array | undefined;
  readonly version: Version;
  readonly era: number;
  readonly place: Uint8Array | undefined;
  /** The call that queued it. */
  readonly call: Call;
}

interface Call {
  /** Of all changes queued; most are one and the same promise, that of their commit. */
  readonly waits: Set<Promise<boolean>>;
  readonly names: string[];
  bytes: number;
  isEvicting: boolean;
}

/** What a key has, on disk or queued. */
interface Held {
  readonly version: Version;
  readonly place: Uint8Array | undefined;
  readonly isCurrent: boolean;
}

export class LmdbCopyTier implements Tier {
  readonly name = 'lmdb';
  readonly #options: LmdbCopyOptions;
  readonly #bytesMax: number;
  readonly #eras: Int32Array;
  readonly #instance = randomBytes(INSTANCE_BYTES);
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
    const { copies, copyIndex } = this.#options.environment;
    return bytesOf(copies) + bytesOf(copyIndex);
  }

  /** Changes queued and not yet on disk. */
  get queuedCount(): number {
    return this.#queued.size;
  }

  getMany(keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    const { era } = this;
    const { copies, copyIndex } = this.#options.environment;
    return keys.map(key => {
      const queued = this.#queued.size === 0 ? undefined : this.#queued.get(nameOf(key));
      if (queued !== undefined) return queued.era === era ? queued.value : undefined;
      const entry = copyIndex.getBinaryFast(key);
      if (entry === undefined || !isEntryOf(entry, this.#instance, era)) return undefined;
      const copy = copies.getBinary(placeOf(entry));
      // A place that has changed on disk may be that of another key's copy, or of none.
      return copy && keyOf(copy).equals(key) ? recordOf(copy) : DAMAGED;
    });
  }

  /** As every tier, but a value may be forgotten at any time, or not be kept at all: it is then said to be applied. */
  async putMany(writes: readonly TierWrite[]): Promise<(Version | null)[]> {
    const { era } = this;
    this.#checkDisk(writes, era);
    return this.#commit(call => {
      const results = writes.map(write => this.#put(write, era, call));
      if (!this.#isEvicting) this.#makeRoom(call);
      return results;
    });
  }

  /** A key's copy is not seen any more as soon as this is called. */
  async deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    const { era } = this;
    const held = keys.map(key => this.#held(key, era));
    if (held.every(one => one === undefined)) return;
    try {
      this.#options.guard.checkReserve(keys.length * PAGE_BYTES_PER_CHANGE);
    } catch {
      if (held.some(one => one?.isCurrent)) this.newEra();
      return;
    }
    await this.#commit(call => {
      keys.forEach((key, index) => {
        const one = held[index];
        if (one !== undefined) this.#remove(key, one, era, call);
      });
    });
  }

  async discardMany(reads: readonly TierRead[]): Promise<void> {
    const held = this.getMany(reads.map(({ key }) => key));
    const same = reads.filter(({ value }, place) => held[place] && Buffer.compare(held[place], value) === 0);
    await this.deleteMany(same.map(({ key }) => key));
  }

  close(): Promise<void> {
    return this.#options.environment.close();
  }

  #put(write: TierWrite, era: number, call: Call): Version | null {
    const { key, value, version } = write;
    const held = this.#held(key, era);
    if (held?.isCurrent && held.version >= version) return held.version;
    const bytes = treeBytes(value.byteLength, key.byteLength);
    const fits = bytes <= this.#bytesMax * PART_MAX && this.#queuedBytes + bytes <= QUEUED_BYTES_MAX;
    if (!fits || (write.era ?? era) !== era) {
      if (held?.isCurrent) this.#remove(key, held, era, call);
      return null;
    }
    const { copies, copyIndex } = this.#options.environment;
    const entry = newEntry({ place: this.#places.next(), instance: this.#instance, version, era });
    const place = entry.subarray(0, PLACE_BYTES);
    call.waits.add(copies.put(place, copyOf(value, key))).add(copyIndex.put(key, entry, version));
    if (held?.place !== undefined) call.waits.add(copies.remove(held.place));
    call.bytes += bytes;
    this.#queuedBytes += bytes;
    this.#queue(key, { value, version, era, place, call });
    return null;
  }

  #remove(key: Uint8Array, held: Held, era: number, call: Call): void {
    const { copies, copyIndex } = this.#options.environment;
    call.waits.add(copyIndex.remove(key));
    if (held.place !== undefined) call.waits.add(copies.remove(held.place));
    this.#queue(key, { value: undefined, version: held.version, era, place: undefined, call });
  }

  #queue(key: Uint8Array, queued: Queued): void {
    const name = nameOf(key);
    this.#queued.set(name, queued);
    queued.call.names.push(name);
  }

  #held(key: Uint8Array, era: number): Held | undefined {
    const queued = this.#queued.size === 0 ? undefined : this.#queued.get(nameOf(key));
    if (queued !== undefined) {
      const { version, place, value } = queued;
      return value === undefined ? undefined : { version, place, isCurrent: queued.era === era };
    }
    const entry = this.#options.environment.copyIndex.getBinaryFast(key);
    if (entry === undefined) return undefined;
    const isCurrent = isEntryOf(entry, this.#instance, era);
    return { version: versionOf(entry), place: placeOf(entry), isCurrent };
  }

  /** Removes the oldest copies for what the call adds. The queue is in order: they go with its commit. */
  #makeRoom(call: Call): void {
    const { copyIndex, copies } = this.#options.environment;
    const spare = Math.min(this.#bytesMax * SPARE_PART, SPARE_BYTES_MAX);
    const excess = this.bytesUsed + this.#queuedBytes + spare - this.#bytesMax;
    if (excess <= 0) return;
    this.#isEvicting = true;
    call.isEvicting = true;
    for (const [place, key] of this.#oldest(excess, EVICTIONS_MAX + 2 * call.names.length)) {
      const entry = isKey(key) ? copyIndex.getBinaryFast(key) : undefined;
      // Only as it was seen: it may be written anew in between, by its own lane.
      if (entry !== undefined && leadsTo(entry, place)) {
        call.waits.add(copyIndex.remove(key, getLastVersion()));
      }
      call.waits.add(copies.remove(place));
      this.evicted++;
    }
  }

  /** Places and keys of the copies that come first, until they take so many bytes. */
  #oldest(bytes: number, limit: number): [place: Uint8Array, key: Uint8Array][] {
    const oldest: [Uint8Array, Uint8Array][] = [];
    let freed = 0;
    for (const { key: place, value } of this.#options.environment.copies.getRange({ limit })) {
      const copy = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      const key = keyOf(copy);
      oldest.push([place, key]);
      freed += treeBytes(recordBytes(copy), key.length);
      if (freed >= bytes) break;
    }
    return oldest;
  }

  /** Queues changes, and resolves when they are on disk. */
  async #commit<T>(change: (call: Call) => T): Promise<T> {
    const call: Call = { waits: new Set(), names: [], bytes: 0, isEvicting: false };
    try {
      const result = change(call);
      await Promise.all(call.waits);
      return result;
    } catch (error) {
      // Some of what was to be replaced or removed may be there as before.
      this.newEra();
      throw unavailable(error);
    } finally {
      if (call.isEvicting) this.#isEvicting = false;
      this.#queuedBytes -= call.bytes;
      for (const name of call.names) if (this.#queued.get(name)?.call === call) this.#queued.delete(name);
    }
  }

  /** @throws HeadraceError `disk-full`; then no copy is left that is older than what could not be written. */
  #checkDisk(writes: readonly TierWrite[], era: number): void {
    try {
      this.#options.guard.check(diskBytes(writes));
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

/** What LMDB says of a tree, as far as it is needed. */
interface TreeStats {
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

/** A few microseconds. */
function bytesOf(tree: Database<Uint8Array, Uint8Array>): number {
  const stats = tree.getStats() as TreeStats;
  return (stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages) * stats.pageSize;
}
