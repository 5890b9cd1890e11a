/**
 * The list of hot keys on local disk, for a warm restart: hottest first, bounded, replaced as a whole or not at all.
 *
 * A list is written in chunks, each a short write of its own, under a number of its own; one last write names it the
 * current one, and only then the former is removed. What a list that was cut short has left is removed by the next.
 * There is one writer at a time. Losing the list is no harm, so nothing of it is taken from the disk's last reserve.
 */
import { assert } from '../base/assert.js';
import type { DiskGuard } from './disk-guard.js';
import type { LmdbEnvironment } from './lmdb-environment.js';

export interface HotKeysOptions {
  readonly keysMax: number;
  /** Of all keys, with two bytes each for their lengths. */
  readonly bytesMax: number;
}

export const HOT_KEYS_DEFAULTS: HotKeysOptions = { keysMax: 250_000, bytesMax: 16 * 1024 * 1024 };

const CURRENT = 'current';
const CHUNK_BYTES = 64 * 1024;
const LENGTH_BYTES = 2;
const KEY_BYTES_MAX = 0xffff;
/** A chunk's pages, and those that lead to it. */
const CHUNK_DISK_BYTES = CHUNK_BYTES + 8 * 4096;
/** Behind the chunks of any list, and before `current`. */
const END = ':';

interface List {
  readonly number: number;
  readonly chunks: number;
}

export class LmdbHotKeys {
  readonly #environment: LmdbEnvironment;
  readonly #guard: DiskGuard;
  readonly #options: HotKeysOptions;
  #isSaving = false;

  constructor(environment: LmdbEnvironment, guard: DiskGuard, options: Partial<HotKeysOptions> = {}) {
    this.#environment = environment;
    this.#guard = guard;
    this.#options = { ...HOT_KEYS_DEFAULTS, ...options };
  }

  /**
   * Puts a new list in the place of the old one, as much of it as there is room for; resolves to how many keys.
   * @throws HeadraceError `disk-full`, or the signal's reason; the old list is then there as before.
   */
  async save(keys: Iterable<Uint8Array>, signal?: AbortSignal): Promise<number> {
    assert(!this.#isSaving, 'one list is saved at a time');
    this.#isSaving = true;
    try {
      const { hotKeys } = this.#environment;
      const former = this.#current();
      await this.#removeOthers(former);
      const number = (former?.number ?? 0) + 1;
      let chunks = 0;
      let count = 0;
      for (const chunk of this.#chunks(keys)) {
        signal?.throwIfAborted();
        this.#guard.check(CHUNK_DISK_BYTES);
        await hotKeys.put(chunkName(number, chunks++), chunk.bytes);
        count += chunk.count;
      }
      signal?.throwIfAborted();
      const list: List = { number, chunks };
      await hotKeys.put(CURRENT, Buffer.from(JSON.stringify(list)));
      await this.#removeOthers(list);
      return count;
    } finally {
      this.#isSaving = false;
    }
  }

  /** The current list, in order; empty when there is none. What cannot be read is left out. */
  *read(): Generator<Uint8Array> {
    const list = this.#current();
    for (let at = 0; at < (list?.chunks ?? 0); at++) {
      const bytes = this.#environment.hotKeys.getBinary(chunkName(list?.number ?? 0, at));
      if (bytes === undefined) return;
      for (let start = 0; start + LENGTH_BYTES <= bytes.length; ) {
        const keyStart = start + LENGTH_BYTES;
        start = keyStart + bytes.readUInt16LE(start);
        if (start > bytes.length) return;
        yield bytes.subarray(keyStart, start);
      }
    }
  }

  *#chunks(keys: Iterable<Uint8Array>): Generator<{ readonly bytes: Buffer; readonly count: number }> {
    const { keysMax, bytesMax } = this.#options;
    let parts: Buffer[] = [];
    let partBytes = 0;
    let bytesLeft = bytesMax;
    let keysLeft = keysMax;
    for (const key of keys) {
      assert(key.length <= KEY_BYTES_MAX, 'a key has a length of two bytes');
      const bytes = LENGTH_BYTES + key.length;
      if (keysLeft === 0 || bytes > bytesLeft) break;
      if (partBytes + bytes > CHUNK_BYTES) {
        yield { bytes: Buffer.concat(parts), count: parts.length };
        parts = [];
        partBytes = 0;
      }
      const part = Buffer.allocUnsafe(bytes);
      part.writeUInt16LE(key.length);
      part.set(key, LENGTH_BYTES);
      parts.push(part);
      partBytes += bytes;
      bytesLeft -= bytes;
      keysLeft--;
    }
    if (parts.length > 0) yield { bytes: Buffer.concat(parts), count: parts.length };
  }

  #current(): List | undefined {
    const text = this.#environment.hotKeys.getBinary(CURRENT)?.toString();
    return text === undefined ? undefined : listFrom(text);
  }

  async #removeOthers(list: List | undefined): Promise<void> {
    const { hotKeys } = this.#environment;
    const prefix = list && chunkName(list.number, 0).slice(0, NUMBER_DIGITS + 1);
    const others = [...hotKeys.getKeys({ end: END })].filter(
      name => prefix === undefined || !name.startsWith(prefix),
    );
    if (others.length === 0) return;
    this.#guard.checkReserve(others.length * 2 * 4096);
    let last: Promise<boolean> | undefined;
    for (const name of others) last = hotKeys.remove(name);
    await last;
  }
}

const NUMBER_DIGITS = 16;

/** In the order of the chunks. */
function chunkName(number: number, chunk: number): string {
  return `${String(number).padStart(NUMBER_DIGITS, '0')}/${String(chunk).padStart(6, '0')}`;
}

function listFrom(text: string): List | undefined {
  try {
    const { number, chunks } = JSON.parse(text) as Partial<List>;
    return Number.isSafeInteger(number) && Number.isSafeInteger(chunks)
      ? { number: number as number, chunks: chunks as number }
      : undefined;
  } catch {
    return undefined;
  }
}
