/** What a MongoDB server's version, its replica set and its indexes mean for headrace. */
import type { Db, Document } from 'mongodb';
import { ok, type Verdict, warning } from './tier-check.js';

/** The oldest that its makers maintain. */
const MAINTAINED_SINCE = 7;

export function judgeVersion(version: string, ferretDb: string | undefined): Verdict {
  if (ferretDb !== undefined) {
    return warning(
      `FerretDB ${ferretDb}: no TTL index, no replica set, no retryable writes, replaces a record in two steps, reads the whole collection for many ids`,
      'use it for tests and single servers; else MongoDB 7.0 or newer',
    );
  }
  if (Number.parseInt(version, 10) >= MAINTAINED_SINCE) return ok(`MongoDB ${version}`);
  return warning(
    `MongoDB ${version}: its makers no longer maintain it`,
    `upgrade it to MongoDB ${MAINTAINED_SINCE}.0 or newer`,
  );
}

export function judgeReplication(hello: Document, ferretDb: string | undefined): Verdict {
  const one = 'a majority is this one machine: when its disk is lost, so are the records';
  const initiate =
    'start mongod with --replSet rs0 on three machines, rs.initiate(…) them, add ?replicaSet=rs0 to the URL';
  if (hello['msg'] === 'isdbgrid') return ok('sharded, through mongos');
  if (ferretDb !== undefined)
    return warning(`a single server; ${one}`, 'back up its disk; else a replica set of MongoDB');
  const { setName } = hello;
  if (setName === undefined) return warning(`standalone; ${one}`, initiate);
  const data = ((hello['hosts'] ?? []) as unknown[]).length + ((hello['passives'] ?? []) as unknown[]).length;
  const arbiters = ((hello['arbiters'] ?? []) as unknown[]).length;
  const says = `replica set ${setName}, members with data: ${data}${arbiters > 0 ? `, arbiters: ${arbiters}` : ''}`;
  if (data === 1) return warning(`${says}; ${one}`, 'add two members: rs.add(…)');
  const majority = Math.floor((data + arbiters) / 2) + 1;
  if (majority < data) return ok(says);
  const change =
    arbiters > 0 ? 'put a member with data in the place of the arbiter' : 'add a third member: rs.add(…)';
  return warning(`${says}; when one of these fails, no write is acknowledged any more`, change);
}

/** What `mongo-view.ts` makes when a view is first written to. */
export async function judgeIndexes(database: Db, isFerretDb: boolean): Promise<Verdict> {
  const collections = await database.listCollections({}, { nameOnly: true }).toArray();
  const views = collections.map(({ name }) => name).filter(name => /^records_\d+$/.test(name));
  const missing = await Promise.all(views.map(name => missingIndexes(database, name, isFerretDb)));
  const changes = missing.flat();
  if (views.length === 0) return ok('no view has records yet; they are made with the first');
  if (changes.length > 0) {
    const says = `${changes.length} missing: without expireAt_1 expired records stay on disk, without tags_1 tags are searched for slowly`;
    return warning(says, changes.join('\n'));
  }
  const lacking = isFerretDb
    ? ', but no TTL: FerretDB has none, expired records stay until they are deleted'
    : '';
  return ok(`those of all views are there (${views.length})${lacking}`);
}

async function missingIndexes(database: Db, name: string, isFerretDb: boolean): Promise<string[]> {
  const indexes = await database.collection(name).indexes();
  const isOn = (field: string) => indexes.filter(({ key }) => Object.keys(key).join() === field);
  const changes: string[] = [];
  if (isOn('tags').length === 0) changes.push(`db.${name}.createIndex({ tags: 1 }, { sparse: true })`);
  const ttl = isOn('expireAt').some(({ expireAfterSeconds }) => expireAfterSeconds === 0);
  if (!ttl && !isFerretDb) {
    changes.push(`db.${name}.createIndex({ expireAt: 1 }, { expireAfterSeconds: 0 })`);
  }
  return changes;
}
