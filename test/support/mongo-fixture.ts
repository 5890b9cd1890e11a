/** A tier in a database of its own, and records for it. */
import type { Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import type { TierWrite } from '../../src/base/tier.js';
import { type DescribeRecord, MongoTier } from '../../src/tiers/mongo.js';
import { MongoConnection, type MongoConnectionOptions } from '../../src/tiers/mongo-connection.js';
import { RecordEncoder, recordExpiresAt } from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { RecordReader } from '../../src/views/record-reader.js';
import { viewOf } from '../../src/views/schema.js';
import { testDatabaseUrl } from './mongo-server.js';

export interface OpenMongo {
  readonly connection: MongoConnection;
  readonly tier: MongoTier;
  close(): Promise<void>;
}

/** In a database of its own unless a connection string is given. */
export async function openTestMongo(options: Partial<MongoConnectionOptions> = {}): Promise<OpenMongo> {
  const url = options.url ?? (await testDatabaseUrl());
  const connection = new MongoConnection({ ...options, url });
  return { connection, tier: new MongoTier(connection, describeRecord), close: () => connection.close() };
}

const reader = new RecordReader();

export const describeRecord: DescribeRecord = value => {
  reader.reset(value);
  return {
    expiresAt: recordExpiresAt(value),
    tags: reader.tags(),
    metadata: reader.metadata(),
    tombstone: reader.tombstone,
  };
};

const view = viewOf({
  name: 'documents',
  uid: 7,
  slot: 0,
  schema: 1,
  entity: 'document',
  ttlMs: 1_000,
  features: [['text', 'string']],
  l1Bytes: undefined,
  eviction: 's3-fifo',
});
const draft = new RecordDraft(view);
const encoder = new RecordEncoder(view);

export interface RecordContent {
  readonly text?: string;
  readonly tags?: readonly string[];
  /** The text of a JSON object. */
  readonly metadata?: string;
  readonly expiresAt?: number;
}

/** A write of a real record in view 7. */
export function recordWrite(id: string, version: number, content: RecordContent = {}): TierWrite {
  draft.reset();
  draft.strings[0] = content.text ?? id;
  draft.setPresent(0);
  draft.tags = [...(content.tags ?? [])];
  draft.metadata = content.metadata;
  const times = {
    version: version as Version,
    writtenAt: 1_700_000_000_000,
    freshUntil: 1_900_000_000_000,
    expiresAt: content.expiresAt ?? 1_900_000_000_000,
  };
  return { key: storageKey(view.uid, id), value: encoder.encode(draft, times), version: times.version };
}
