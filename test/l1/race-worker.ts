/** A thread of the race test: a lane's writer at full speed, or a reader that checks every value. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../src/base/assert.js';
import { systemClock } from '../../src/base/clock.js';
import { Caches } from '../../src/l1/caches.js';
import type { TableHandle } from '../../src/l1/layout.js';
import { TableReader } from '../../src/l1/table-reader.js';
import { checkValue, makeValue, openWriter, seeded } from './table-fixture.js';

export interface RaceWork {
  readonly role: 'writer' | 'reader';
  readonly handle: TableHandle;
  readonly seed: number;
  readonly lanes: number;
  /** Of a writer. */
  readonly lane: number;
  /** Of a reader. */
  readonly reads: number;
  /** Which scratch it has. */
  readonly reader: number;
  /** One word: not 0 when the writers shall end. */
  readonly stop: Int32Array;
}

export interface RaceReport {
  readonly role: 'writer' | 'reader';
  readonly reads: number;
  readonly hits: number;
  readonly wrong: number;
  readonly contended: number;
  readonly puts: number;
  readonly epochs: number;
}

export const RACE_CACHES = 2;
export const RACE_KEYS = 600;

function write({ handle, seed, lane, lanes, stop, reader: place }: RaceWork): RaceReport {
  const random = seeded(seed);
  const writer = openWriter(handle, lane, systemClock);
  const caches = new Caches(handle);
  const reader = new TableReader(handle, place);
  let puts = 0;
  let epochs = 0;
  while (Atomics.load(stop, 0) === 0) {
    const cache = random(RACE_CACHES);
    const id = `key-${random(RACE_KEYS)}`;
    reader.key(cache, id);
    if (reader.shard % lanes !== lane) continue;
    const length = random(20) === 0 ? 200 : 2 + random(60);
    writer.put(cache, id, makeValue(id, ++puts, length), Infinity);
    if (random(50) === 0) writer.remove(cache, id);
    if (random(20_000) === 0) {
      caches.raiseEpoch(cache);
      epochs++;
    }
  }
  return { role: 'writer', reads: 0, hits: 0, wrong: 0, contended: 0, puts, epochs };
}

/** One key at a time and many at once, in turns. */
function read({ handle, seed, reads, reader: place }: RaceWork): RaceReport {
  const random = seeded(seed);
  const reader = new TableReader(handle, place);
  let hits = 0;
  let wrong = 0;
  const check = (id: string, words: Int32Array, length: number): void => {
    if (length < 0) return;
    hits++;
    if (checkValue(id, words, length) < 0) wrong++;
  };
  for (let done = 0; done < reads; ) {
    const cache = random(RACE_CACHES);
    const ids = Array.from({ length: 1 + random(40) }, () => `key-${random(RACE_KEYS)}`);
    if (random(2) === 0) {
      for (let from = 0, read = 0; from < ids.length; from += read) {
        read = reader.getMany(cache, ids, from, Date.now());
        for (let row = 0; row < read; row++)
          check(ids[from + row]!, reader.words.subarray(reader.offsetOf(row) / 4), reader.lengthOf(row));
      }
    } else {
      for (const id of ids) {
        reader.key(cache, id);
        check(id, reader.words, reader.get(Date.now()));
      }
    }
    done += ids.length;
  }
  return { role: 'reader', reads, hits, wrong, contended: reader.contended, puts: 0, epochs: 0 };
}

const work = workerData as RaceWork;
assert(parentPort !== null, 'this runs as a worker');
parentPort.postMessage(work.role === 'writer' ? write(work) : read(work));
