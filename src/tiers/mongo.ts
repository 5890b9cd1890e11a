/**
 * The tier in MongoDB: the store of record for several instances. A collection a view (see `mongo-view.ts`), a document
 * a record (see `mongo-document.ts`).
 *
 * A call asks once per view: one `find` for all its keys, one bulk write for all its writes, one more read where a
 * larger version was held. Calls of one lane that touch the same key run one after the other; other calls share the
 * connection pool.
 *
 * Measured in CPU time of this process, 500 reads or 200 writes a call, records of 400 and 4,000 bytes: 1.05 to 1.16 of
 * the driver called directly for reads and 1.1 to 1.4 for writes where both make one round trip. The driver's default
 * makes two for more than 101 documents; against that a read of 500 is 0.7 to 1.05. The tier's own share of a read of
 * 500 is 0.13 ms; records are not copied out of the reply.
 */
import { isUtf8 } from 'node:buffer';
import type { Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import { idOfStorageKey, storageKey } from '../base/keys.js';
import type { ReadFrom, Tier, TierWrite } from '../base/tier.js';
import { type MongoConnection, mongoUnavailable } from './mongo-connection.js';
import { type RecordDescription, recordFields } from './mongo-document.js';
import { KeyOrder } from './mongo-key-order.js';
import { type IdWrite, MongoView } from './mongo-view.js';

/** Reads the native fields off a packed record. */
export type DescribeRecord = (value: Uint8Array) => RecordDescription;

/** What stands for bytes that are not UTF-8 once they are read as such. */
const REPLACEMENT = '\ufffd';

export class MongoTier implements Tier {
  readonly name = 'mongodb';
  readonly #connection: MongoConnection;
  readonly #describe: DescribeRecord;
  readonly #views = new Map<number, MongoView>();
  readonly #order = new KeyOrder();

  /** Closes the connection when it is closed. */
  constructor(connection: MongoConnection, describe: DescribeRecord) {
    this.#connection = connection;
    this.#describe = describe;
  }

  /** @throws HeadraceError `unavailable`, `bad-id` when a key's id is not UTF-8. */
  async getMany(
    keys: readonly Uint8Array[],
    _deadlineMs?: number,
    from: ReadFrom = 'any',
  ): Promise<(Uint8Array | undefined)[]> {
    const values: (Uint8Array | undefined)[] = new Array(keys.length).fill(undefined);
    const reads = [...byView(keys)].map(async ([uid, placesById]) => {
      const records = await this.#view(uid).read([...placesById.keys()], from);
      for (const [id, places] of placesById) for (const place of places) values[place] = records.get(id);
    });
    await allEnded(reads, 'answer');
    return values;
  }

  /**
   * @throws HeadraceError `unavailable`; before anything of the call is written: `bad-id`, and `invalid-record` when a
   *   record is larger than MongoDB takes.
   */
  async putMany(writes: readonly TierWrite[]): Promise<(Version | null)[]> {
    const keys = writes.map(({ key }) => key);
    return this.#order.run(new Set(keys.map(nameOf)), async () => {
      const results: (Version | null)[] = new Array(writes.length).fill(null);
      const parts = [...byView(keys)].map(([uid, placesById]) => ({
        view: this.#view(uid),
        placesById,
        sent: [...placesById].map(([id, places]) => this.#idWrite(id, places, writes)),
      }));
      const puts = parts.map(async ({ view, placesById, sent }) => {
        await view.write(sent);
        for (const write of sent) settle(write, placesById.get(write.id) ?? [], writes, results);
      });
      await allEnded(puts, 'confirm a write, which may yet be applied');
      return results;
    });
  }

  async *keysOf(viewUid: number): AsyncGenerator<readonly Uint8Array[]> {
    try {
      for await (const ids of this.#view(viewUid).ids()) yield ids.map(id => storageKey(viewUid, id));
    } catch (error) {
      throw mongoUnavailable(error, 'answer');
    }
  }

  async deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    await this.#order.run(new Set(keys.map(nameOf)), () => {
      const deletions = [...byView(keys)].map(([uid, placesById]) =>
        this.#view(uid).delete([...placesById.keys()]),
      );
      return allEnded(deletions, 'confirm a deletion');
    });
  }

  /** Removes all records of a view at once. Resolves when durable. @throws HeadraceError `unavailable`. */
  async dropView(viewUid: number): Promise<void> {
    const view = this.#view(viewUid);
    this.#views.delete(viewUid);
    await allEnded([view.drop()], 'drop the records of a view');
  }

  /** Asks where reads go: a set that elects its primary still answers those that its secondaries may. */
  async ping(signal: AbortSignal): Promise<void> {
    await this.#connection.connect();
    const { database } = this.#connection;
    try {
      await database.command({ ping: 1 }, { signal, readPreference: database.readPreference });
    } catch (error) {
      throw mongoUnavailable(error, 'answer a ping');
    }
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  #view(uid: number): MongoView {
    let view = this.#views.get(uid);
    if (view === undefined) {
      view = new MongoView(this.#connection, uid);
      this.#views.set(uid, view);
    }
    return view;
  }

  /** Of several writes of one id the largest is sent. Whether those before it count depends on what was held. */
  #idWrite(id: string, places: readonly number[], writes: readonly TierWrite[]): IdWrite {
    const top = topOf(places, writes);
    const write = writes[top] as TierWrite;
    const fields = recordFields(write, this.#describe(write.value));
    return { id, version: write.version, fields, needsBefore: top !== places[0] };
  }
}

/** The results of all writes of an id, as if they had been sent one after the other. */
function settle(
  { before, beatenBy }: IdWrite,
  places: readonly number[],
  writes: readonly TierWrite[],
  results: (Version | null)[],
): void {
  let held = beatenBy ?? before;
  for (const place of places) {
    const { version } = writes[place] as TierWrite;
    const isNewer = held === undefined || version > held;
    results[place] = isNewer ? null : (held as Version);
    if (isNewer) held = version;
  }
}

/** The place of the first write with the largest version. */
function topOf(places: readonly number[], writes: readonly TierWrite[]): number {
  const versionAt = (place: number) => (writes[place] as TierWrite).version;
  return places.reduce((top, place) => (versionAt(place) > versionAt(top) ? place : top));
}

/** By view and by id, the places of the keys, in order. @throws HeadraceError `bad-id`. */
function byView(keys: readonly Uint8Array[]): ReadonlyMap<number, ReadonlyMap<string, readonly number[]>> {
  const views = new Map<number, Map<string, number[]>>();
  keys.forEach((key, place) => {
    const uid = viewUidOf(key);
    const id = idOf(key);
    let places = views.get(uid);
    if (places === undefined) {
      places = new Map();
      views.set(uid, places);
    }
    const known = places.get(id);
    if (known === undefined) places.set(id, [place]);
    else known.push(place);
  });
  return views;
}

function viewUidOf(key: Uint8Array): number {
  return Buffer.from(key.buffer, key.byteOffset, 4).readUInt32BE();
}

function idOf(key: Uint8Array): string {
  const id = idOfStorageKey(key);
  // Two ids that are not UTF-8 could be one when read as such, and be given each other's records.
  if (id.includes(REPLACEMENT) && !isUtf8(key.subarray(4)))
    throw new HeadraceError('bad-id', 'the id is not UTF-8');
  return id;
}

/** A string made of the key's bytes: what a `Map` can look up. */
function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

/** Waits for all, so that nothing of a call goes on after it has failed; then throws what the first threw. */
async function allEnded(parts: readonly Promise<void>[], doing: string): Promise<void> {
  for (const result of await Promise.allSettled(parts)) {
    if (result.status === 'rejected') throw mongoUnavailable(result.reason, doing);
  }
}
