/**
 * A MongoDB for benchmarks: the server that `HEADRACE_BENCH_MONGODB_URL` names, in a database of the bench's own that is
 * dropped in the end. None is started: no package brings one.
 */
import { randomBytes } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { UserError } from '../user-error.js';

export interface MongoForBench {
  /** With the database. */
  readonly url: string;
  /** It is FerretDB, that stands in for MongoDB in tests: it reads a whole collection for each query of many ids. */
  readonly isFerretDb: boolean;
  close(): Promise<void>;
}

/** Long enough for a server near by, however busy. */
const SELECTION_MS = 5_000;

/** A MongoDB, or the reason why there is none. @throws UserError when the server that is named does not answer. */
export async function findMongo(): Promise<MongoForBench | string> {
  const { HEADRACE_BENCH_MONGODB_URL: given } = process.env;
  if (given === undefined || given === '') return 'HEADRACE_BENCH_MONGODB_URL is not set';
  const name = `headrace_bench_${randomBytes(6).toString('hex')}`;
  const [place = '', query] = given.split('?');
  const server = /^mongodb(?:\+srv)?:\/\/[^/]+/.exec(place)?.[0];
  if (server === undefined) throw new UserError('HEADRACE_BENCH_MONGODB_URL should be mongodb://HOST:PORT');
  const url = `${server}/${name}${query === undefined ? '' : `?${query}`}`;
  const client = new MongoClient(url, { serverSelectionTimeoutMS: SELECTION_MS });
  let isFerretDb: boolean;
  try {
    isFerretDb = 'ferretdbVersion' in (await client.db().command({ buildInfo: 1 }));
  } catch (error) {
    await client.close();
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`the MongoDB that HEADRACE_BENCH_MONGODB_URL names cannot be used: ${reason}`);
  }
  return {
    url,
    isFerretDb,
    close: async () => {
      await client
        .db()
        .dropDatabase()
        .finally(() => client.close());
    },
  };
}
