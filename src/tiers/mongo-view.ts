/**
 * The records of one view: a MongoDB collection, `records_7` for the view with uid 7.
 *
 * A write replaces the document of its id whose version is smaller, or else inserts one. When the id is there with a
 * version as large or larger, nothing matches and the insert meets the id: error 11000, "duplicate key", is how the
 * server says that what it holds is newer. Two first writes of an id can meet as well, so what is held is looked at, and
 * a write that is newer after all is sent again. The server compares and replaces as one step, so that this holds
 * between instances too.
 *
 * FerretDB 1.x (1.24 was tried) differs, and is for tests and single instances:
 *
 * - A bulk write ends at its first error, which says it is of the first write, whichever it is of. Therefore held
 *   versions of several are read first, so that an error is met only by chance, and after one they are read again.
 * - It looks for a document and replaces it in two steps: of two instances that write one record within the same
 *   millisecond, the older may win. Inserts are one step.
 * - There is no TTL index: expired records are never served, and stay until they are removed.
 * - Only `{ _id: 'one id' }` uses an index; every other query, reads of many ids and writes among them, reads the whole
 *   collection. (Of 500 documents, one is read in 1.9 ms like this and in 19 ms with `$in`.)
 * - There are no replica sets and no retryable writes; a majority is the one server.
 */
import { type Collection, type Filter, MongoBulkWriteError, type WriteError } from 'mongodb';
import type { Version } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';
import type { ReadFrom } from '../base/tier.js';
import { hasMongoCode, type MongoConnection, MongoErrorCode } from './mongo-connection.js';
import type { RecordDocument, RecordFields } from './mongo-document.js';

/** More than this many lost races in a row, and the write fails. */
const ATTEMPTS_MAX = 8;

const SCAN_IDS = 1_000;

const DAMAGED = new Uint8Array(0);

/** A write of one id, and what became of it. */
export interface IdWrite {
  readonly id: string;
  readonly version: Version;
  readonly fields: RecordFields;
  /** The caller must know which version the write replaces. */
  readonly needsBefore: boolean;
  /** The version held before, when it was read. */
  before?: Version;
  /** The version that beat the write; `undefined`: the write was applied. */
  beatenBy?: Version;
}

export class MongoView {
  readonly #connection: MongoConnection;
  readonly #records: Collection<RecordDocument>;
  #prepared: Promise<boolean> | undefined;

  constructor(connection: MongoConnection, viewUid: number) {
    this.#connection = connection;
    this.#records = connection.database.collection<RecordDocument>(`records_${viewUid}`);
  }

  /** Packed records by id. */
  async read(ids: readonly string[], from: ReadFrom): Promise<ReadonlyMap<string, Uint8Array>> {
    await this.#connection.connect();
    const options = { projection: { record: 1 }, batchSize: ids.length + 1 };
    const found = await this.#records
      .find(anyOf(ids), from === 'primary' ? { ...options, readPreference: 'primary' } : options)
      .toArray();
    const asked = new Set(ids);
    const records = new Map<string, Uint8Array>();
    for (const { _id, record } of found) {
      if (!asked.has(_id))
        throw new HeadraceError('unavailable', 'MongoDB: it gave an answer that makes no sense');
      records.set(_id, record instanceof Uint8Array ? record : DAMAGED);
    }
    return records;
  }

  /** All ids, some at a time, from the primary: a secondary may lack what was acknowledged. */
  async *ids(): AsyncGenerator<readonly string[]> {
    await this.#connection.connect();
    const options = { projection: { _id: 1 }, batchSize: SCAN_IDS, readPreference: 'primary' } as const;
    const cursor = this.#records.find({}, options);
    try {
      while (await cursor.hasNext()) yield cursor.readBufferedDocuments().map(({ _id }) => _id);
    } finally {
      await cursor.close();
    }
  }

  /** Each id at most once. Says in each write what became of it. */
  async write(writes: readonly IdWrite[]): Promise<void> {
    await this.#connection.connect();
    // The error of a single write can be of no other.
    const readsFirst = (await this.#prepare()) && writes.length > 1;
    let open = await this.#stillOpen(writes, readsFirst);
    for (let attempt = 0; open.length > 0; attempt++) {
      if (attempt === ATTEMPTS_MAX) {
        throw new HeadraceError(
          'unavailable',
          `MongoDB: other instances won ${attempt} races for the same records`,
        );
      }
      open = await this.#attempt(open, readsFirst);
    }
  }

  async delete(ids: readonly string[]): Promise<void> {
    await this.#connection.connect();
    await this.#records.deleteMany(anyOf(ids));
  }

  /** Removes the collection with all its records and indexes. */
  async drop(): Promise<void> {
    this.#prepared = undefined;
    await this.#connection.connect();
    await this.#records.drop();
  }

  /** Makes the indexes when the view is first written to. Returns whether held versions must be read before several writes. */
  #prepare(): Promise<boolean> {
    this.#prepared ??= this.#makeIndexes().catch(error => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }

  async #makeIndexes(): Promise<boolean> {
    await this.#records.createIndex({ tags: 1 }, { sparse: true });
    try {
      await this.#records.createIndex({ expireAt: 1 }, { expireAfterSeconds: 0 });
    } catch (error) {
      if (!hasMongoCode(error, 'notImplemented')) throw error;
    }
    return (await this.#connection.kind()).isFerretDb;
  }

  async #stillOpen(writes: readonly IdWrite[], readsFirst: boolean): Promise<IdWrite[]> {
    const asked = readsFirst ? writes : writes.filter(({ needsBefore }) => needsBefore);
    if (asked.length > 0) {
      const held = await this.#versions(asked);
      for (const write of asked) {
        const version = held.get(write.id);
        if (version === undefined) continue;
        write.before = version;
        if (version >= write.version) write.beatenBy = version;
      }
    }
    return writes.filter(({ beatenBy }) => beatenBy === undefined);
  }

  /** Returns what must be tried again. */
  async #attempt(writes: readonly IdWrite[], readsFirst: boolean): Promise<IdWrite[]> {
    const operations = writes.map(({ id, fields }) => ({
      replaceOne: {
        filter: { _id: id, version: { $lt: fields.version } },
        replacement: fields,
        upsert: true,
      },
    }));
    try {
      await this.#records.bulkWrite(operations, { ordered: false });
      return [];
    } catch (error) {
      const rejected = duplicates(error);
      if (rejected === undefined) throw error;
      const undecided = readsFirst ? writes : writes.filter((_, index) => rejected.has(index));
      const held = await this.#versions(undecided);
      return undecided.filter(write => {
        const version = held.get(write.id);
        if (version === undefined || version < write.version) return true;
        // A smaller one was held when it was read first: the equal one is this write.
        if (!(readsFirst && version === write.version)) write.beatenBy = version;
        return false;
      });
    }
  }

  /** Held versions, from the primary: what beat a write is there. */
  async #versions(writes: readonly IdWrite[]): Promise<ReadonlyMap<string, Version>> {
    const ids = writes.map(({ id }) => id);
    const found = await this.#records
      .find(anyOf(ids), { projection: { version: 1 }, batchSize: ids.length + 1, readPreference: 'primary' })
      .toArray();
    return new Map(found.map(({ _id, version }) => [_id, Number(version) as Version]));
  }
}

function anyOf(ids: readonly string[]): Filter<RecordDocument> {
  const [id] = ids;
  return { _id: ids.length === 1 && id !== undefined ? id : { $in: ids } };
}

/** The places of the writes that met a duplicate key; `undefined` when anything else went wrong. */
function duplicates(error: unknown): ReadonlySet<number> | undefined {
  if (!(error instanceof MongoBulkWriteError) || error.result.getWriteConcernError() !== undefined) {
    return undefined;
  }
  const errors: readonly WriteError[] = [error.writeErrors].flat();
  return errors.length > 0 && errors.every(({ code }) => code === MongoErrorCode.duplicateKey)
    ? new Set(errors.map(({ index }) => index))
    : undefined;
}
