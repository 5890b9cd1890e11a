/**
 * Lists of hot keys on local disk, for a warm restart: one a lane, hottest first, bounded, replaced as a whole or not at
 * all. Read are all of them at once, whichever lanes wrote them: a key's lane is another after a restart.
 *
 *   01/current            {"number":7,"chunks":2}
 *   01/…7/000000          checksum (4) · count (4) · keys, each behind its length (2) and its heat (1)
 *   01/…7/000001
 *
 * A list is written in chunks, each a short write of its own, under a number of its own; one last write names it the
 * current one, and only then the former is removed. What a list that was cut short has left is removed by the next.
 * A list has one writer at a time. Losing it is no harm, so nothing of it is taken from the disk's last reserve.
 */
import { assert } from '../base/assert.js';
import { checksum } from '../views/checksum.js';
import type { DiskGuard } from './disk-guard.js';
import type { LmdbEnvironment } from './lmdb-environment.js';

export interface HotKeysOptions {
  /** Whose list is saved. */
  readonly lane: number;
  /** How many lanes there are: lists of others are what an earlier start has left. */
  readonly lanes: number;
  /** Of one list. */
  readonly keysMax: number;
  /** Of all keys of one list, with three bytes each for length and heat. */
  readonly bytesMax: number;
}

export interface HotEntry {
  /** A storage key. */
  readonly key: Uint8Array;
  /** A byte, of whoever found it. */
  readonly heat: number;
}

/** What was saved, as it was when it was read; it takes as much memory as it has on disk. */
export interface HotKeyLists {
  /** Of all keys. */
  readonly count: number;
  /** Parts that could not be read, and are left out. */
  readonly damaged: number;
  /** The hottest of each list first. */
  entries(): Generator<HotEntry>;
}

const CHUNK_BYTES = 32 * 1024;
const CHECK_BYTES = 4;
const CHUNK_HEADER_BYTES = 8;
const HEAT_AT = 2;
const ENTRY_HEADER_BYTES = 3;
const KEY_BYTES_MAX = 0xffff;
/** A chunk's pages, and those that lead to it. */
const CHUNK_DISK_BYTES = CHUNK_BYTES + 8 * 4096;
/** Chunks read without a pause. */
const READ_CHUNKS = 8;
/** Of names: behind digits, and before letters. */
const END = ':';
const CURRENT = /^(\d\d)\/current$/;

interface List {
  readonly number: number;
  readonly chunks: number;
}

export class LmdbHotKeys {
  readonly #environment: LmdbEnvironment;
  readonly #guard: DiskGuard;
  readonly #options: HotKeysOptions;
  #isSaving = false;

  constructor(environment: LmdbEnvironment, guard: DiskGuard, options: HotKeysOptions) {
    this.#environment = environment;
    this.#guard = guard;
    this.#options = options;
  }

  /**
   * Puts a new list in the place of the lane's old one, as much of it as there is room for; resolves to how many keys.
   * The first lane also removes lists of lanes that are no more.
   * @throws HeadraceError `disk-full`, or the signal's reason; the old list is then there as before.
   */
  async save(entries: Iterable<HotEntry>, signal?: AbortSignal): Promise<number> {
    assert(!this.#isSaving, 'one list is saved at a time');
    this.#isSaving = true;
    try {
      const { hotKeys } = this.#environment;
      const { lane, lanes } = this.#options;
      const former = listFrom(hotKeys.getBinary(currentName(lane)));
      await this.#removeOthers(former);
      const number = (former?.number ?? 0) + 1;
      let chunks = 0;
      let count = 0;
      for (const chunk of this.#chunks(entries)) {
        signal?.throwIfAborted();
        this.#guard.check(CHUNK_DISK_BYTES);
        await hotKeys.put(chunkName(lane, number, chunks++), chunk.bytes);
        count += chunk.count;
      }
      signal?.throwIfAborted();
      const list: List = { number, chunks };
      await hotKeys.put(currentName(lane), Buffer.from(JSON.stringify(list)));
      await this.#removeOthers(list);
      if (lane === 0) await this.#remove([...hotKeys.getKeys({ start: `${twoDigits(lanes)}/` })]);
      return count;
    } finally {
      this.#isSaving = false;
    }
  }

  /** The current lists of all lanes. `pause` is called between steps. */
  async read(pause: () => Promise<void>): Promise<HotKeyLists> {
    const { hotKeys } = this.#environment;
    const lists: Buffer[][] = [];
    let damaged = 0;
    let read = 0;
    for (const name of [...hotKeys.getKeys()]) {
      const lane = CURRENT.exec(name)?.[1];
      if (lane === undefined) continue;
      const list = listFrom(hotKeys.getBinary(name));
      if (list === undefined) damaged++;
      const chunks: Buffer[] = [];
      for (let at = 0; at < (list?.chunks ?? 0); at++) {
        const chunk = hotKeys.getBinary(chunkName(Number(lane), list?.number ?? 0, at));
        if (chunk !== undefined && isWhole(chunk)) chunks.push(chunk);
        else damaged++;
        if (chunk === undefined) break;
        if (++read % READ_CHUNKS === 0) await pause();
      }
      lists.push(chunks);
    }
    const count = lists.flat().reduce((sum, chunk) => sum + chunk.readUInt32LE(CHECK_BYTES), 0);
    return { count, damaged, entries: () => inTurn(lists.map(entriesOf)) };
  }

  *#chunks(entries: Iterable<HotEntry>): Generator<{ readonly bytes: Buffer; readonly count: number }> {
    const { keysMax, bytesMax } = this.#options;
    let parts: Buffer[] = [];
    let partBytes = 0;
    let bytesLeft = bytesMax;
    let keysLeft = keysMax;
    for (const { key, heat } of entries) {
      assert(key.length <= KEY_BYTES_MAX, 'a key has a length of two bytes');
      const bytes = ENTRY_HEADER_BYTES + key.length;
      if (keysLeft === 0 || bytes > bytesLeft) break;
      if (partBytes + bytes > CHUNK_BYTES) {
        yield { bytes: chunkOf(parts), count: parts.length };
        parts = [];
        partBytes = 0;
      }
      const part = Buffer.allocUnsafe(bytes);
      part.writeUInt16LE(key.length);
      part.writeUInt8(heat, HEAT_AT);
      part.set(key, ENTRY_HEADER_BYTES);
      parts.push(part);
      partBytes += bytes;
      bytesLeft -= bytes;
      keysLeft--;
    }
    if (parts.length > 0) yield { bytes: chunkOf(parts), count: parts.length };
  }

  /** Of this lane. */
  async #removeOthers(list: List | undefined): Promise<void> {
    const { lane } = this.#options;
    const prefix = list && chunkPrefix(lane, list.number);
    const range = { start: `${twoDigits(lane)}/`, end: `${twoDigits(lane)}/${END}` };
    const names = [...this.#environment.hotKeys.getKeys(range)];
    await this.#remove(names.filter(name => prefix === undefined || !name.startsWith(prefix)));
  }

  async #remove(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    this.#guard.checkReserve(names.length * 2 * 4096);
    let last: Promise<boolean> | undefined;
    for (const name of names) last = this.#environment.hotKeys.remove(name);
    await last;
  }
}

const NUMBER_DIGITS = 16;

function twoDigits(lane: number): string {
  return String(lane).padStart(2, '0');
}

function currentName(lane: number): string {
  return `${twoDigits(lane)}/current`;
}

function chunkPrefix(lane: number, number: number): string {
  return `${twoDigits(lane)}/${String(number).padStart(NUMBER_DIGITS, '0')}/`;
}

/** In the order of the chunks. */
function chunkName(lane: number, number: number, chunk: number): string {
  return `${chunkPrefix(lane, number)}${String(chunk).padStart(6, '0')}`;
}

function chunkOf(parts: readonly Buffer[]): Buffer {
  const chunk = Buffer.concat([Buffer.alloc(CHUNK_HEADER_BYTES), ...parts]);
  chunk.writeUInt32LE(parts.length, CHECK_BYTES);
  chunk.writeUInt32LE(checksum(chunk, CHECK_BYTES, chunk.length));
  return chunk;
}

function isWhole(chunk: Buffer): boolean {
  return (
    chunk.length >= CHUNK_HEADER_BYTES && chunk.readUInt32LE() === checksum(chunk, CHECK_BYTES, chunk.length)
  );
}

/** Of chunks that are whole. */
function* entriesOf(chunks: readonly Buffer[]): Generator<HotEntry> {
  for (const chunk of chunks) {
    for (let start = CHUNK_HEADER_BYTES; start < chunk.length; ) {
      const heat = chunk.readUInt8(start + HEAT_AT);
      const keyStart = start + ENTRY_HEADER_BYTES;
      start = keyStart + chunk.readUInt16LE(start);
      yield { key: chunk.subarray(keyStart, start), heat };
    }
  }
}

/** One of each, then the next of each: lists are parts of one, cut by a hash, and so equally hot at equal places. */
function* inTurn<T>(sources: readonly Generator<T>[]): Generator<T> {
  let open = sources;
  while (open.length > 0) {
    const left: Generator<T>[] = [];
    for (const source of open) {
      const { done, value } = source.next();
      if (done === true) continue;
      yield value;
      left.push(source);
    }
    open = left;
  }
}

function listFrom(bytes: Buffer | undefined): List | undefined {
  if (bytes === undefined) return undefined;
  try {
    const { number, chunks } = JSON.parse(bytes.toString()) as Partial<List>;
    return isCount(number) && isCount(chunks) ? { number, chunks } : undefined;
  } catch {
    return undefined;
  }
}

function isCount(value: number | undefined): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
