/** Tiers that hold entries compressed: what goes in comes out, of any of them, and what is damaged there is none. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import type { Tier, TierRead, TierWrite } from '../../src/base/tier.js';
import { isCompressed } from '../../src/caches/compression/compressed-entry.js';
import { CACHE_STANDARD, CACHES_STANDARD } from '../../src/caches/definition.js';
import { entryViewName } from '../../src/caches/entry-view.js';
import { Amends } from '../../src/resolve/amends.js';
import { type Level, TierChain, UNAVAILABLE } from '../../src/resolve/chain.js';
import {
  CompressedTier,
  compressAboveOf,
  compressedLevels,
  StoredForms,
} from '../../src/resolve/compressed-tier.js';
import { LaneViews } from '../../src/resolve/lane-views.js';
import { RecordInspector } from '../../src/resolve/record-inspector.js';
import { recordVersion, sealRecord } from '../../src/views/record-codec.js';
import {
  RECORD_COMPRESSED_IDENTIFIER,
  RECORD_IDENTIFIER,
  RECORD_IDENTIFIER_OFFSET,
} from '../../src/views/record-layout.js';
import { RecordReader } from '../../src/views/record-reader.js';
import { anyPayload, ENTRY_VIEW, entryRecord, resultOf } from '../caches/compression/entry-record.js';
import { openTestMongo } from '../support/mongo-fixture.js';
import { noServer } from '../support/mongo-server.js';
import { anyRedis, describeWithAnyRedis } from '../support/redis-server.js';
import { openCopies } from '../tiers/lmdb-copy-fixture.js';
import { openTestLmdb } from '../tiers/lmdb-fixture.js';
import { openRedisTier } from '../tiers/redis-fixture.js';
import { type OpenTier, tierSuite } from '../tiers/tier-suite.js';
import { MapTier, VIEW } from './fixture.js';

const views = new LaneViews();
for (const view of [VIEW, ENTRY_VIEW]) views.declare(view);
const inspector = new RecordInspector();

const optionsFor = (compressAbove: number) => ({
  views,
  compressAbove: compressAboveOf([{ ...CACHE_STANDARD, name: 'results', compressAbove }]),
});
const compressing = (tier: Tier, above = 64) => new CompressedTier(tier, new StoredForms(optionsFor(above)));

function write(id: string, value: Uint8Array, viewUid = ENTRY_VIEW.uid): TierWrite {
  return { key: storageKey(viewUid, id), value, version: recordVersion(value) };
}

const valueIn = async (tier: Tier, { key }: TierWrite) => (await tier.getMany([key]))[0];
const isSame = (one: unknown, other: Uint8Array) =>
  one instanceof Uint8Array && Buffer.compare(one, other) === 0;

tierSuite('LMDB that compresses', async () => {
  const { tier, close } = await openTestLmdb();
  return { tier: compressing(tier), close };
});

function keepsAnyEntry(name: string, open: () => Promise<OpenTier>, numRuns = 25): void {
  describe(name, () => {
    let opened: OpenTier;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened?.close());

    it('gives back any entry byte for byte, whatever the threshold', async () => {
      let version = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(anyPayload, { minLength: 1, maxLength: 4 }),
          fc.nat({ max: 3_000 }),
          async (payloads, above) => {
            const tier = compressing(opened.tier, above);
            const writes = payloads.map((payload, n) =>
              write(`${n}`, entryRecord(payload, { tags: ['a'] }, ++version)),
            );
            expect(await tier.putMany(writes)).toEqual(writes.map(() => null));
            const keys = writes.map(({ key }) => key);
            const [found, stored] = [await tier.getMany(keys), await opened.tier.getMany(keys)];
            writes.forEach(({ value }, n) => {
              expect(isSame(found[n], value)).toBe(true);
              const isSmall = (payloads[n] as Uint8Array).length <= above;
              const bytes = stored[n] as Uint8Array;
              expect(isCompressed(bytes) ? isSmall : !isSame(bytes, value)).toBe(false);
            });
            // A server that compresses nothing reads the same.
            const other = await compressing(opened.tier, Number.MAX_SAFE_INTEGER).getMany(keys);
            writes.forEach(({ value }, n) => {
              expect(isSame(other[n], value)).toBe(true);
            });
          },
        ),
        { numRuns },
      );
    });
  });
}

keepsAnyEntry('LMDB', openTestLmdb);
keepsAnyEntry('copies on local disk', openCopies);
describeWithAnyRedis('Redis', () => {
  let server: Awaited<ReturnType<typeof anyRedis>>;
  beforeAll(async () => {
    server = await anyRedis();
  });
  afterAll(() => server?.close());
  keepsAnyEntry('one server', () => openRedisTier(`${server.url}?prefix=compressed-${process.pid}:`));
});
if (noServer !== undefined) console.warn(`skipped: MongoDB: ${noServer}`);
describe.skipIf(noServer !== undefined && process.env['CI'] !== 'true')('MongoDB', () =>
  keepsAnyEntry('a database', openTestMongo, 10),
);

/** Says that it has 4 GiB, under a checksum that is right. */
function asBomb(stored: Uint8Array): Uint8Array {
  const bomb = stored.slice();
  const reader = new RecordReader();
  reader.reset(bomb);
  reader.locateBytes(0);
  new DataView(bomb.buffer).setUint32(reader.at, 2 ** 32 - 1, true);
  return sealRecord(bomb, RECORD_COMPRESSED_IDENTIFIER);
}

function asRecord(stored: Uint8Array): Uint8Array {
  const record = stored.slice();
  new DataView(record.buffer).setUint32(RECORD_IDENTIFIER_OFFSET, RECORD_IDENTIFIER, true);
  return record;
}

class DiscardingTier extends MapTier {
  async discardMany(reads: readonly TierRead[]): Promise<void> {
    const held = this.getMany(reads.map(({ key }) => key));
    await this.deleteMany(reads.flatMap(({ key, value }, n) => (isSame(held[n], value) ? [key] : [])));
  }
}

function openChain() {
  const [upper, record] = [new DiscardingTier(), new DiscardingTier()];
  const levels = compressedLevels([{ tier: upper }, { tier: record }], optionsFor(64));
  const chain = new TierChain(levels, inspector);
  const asked = { nowMs: 1, deadlineMs: Number.MAX_SAFE_INTEGER, mayKeep: () => true };
  const read = async ({ key }: TierWrite) => (await chain.getMany([key], asked))[0];
  return { upper, record, chain, read };
}

describe('in a chain', () => {
  const entry = write('a', entryRecord(resultOf(5_000), { tags: ['a'] }));
  const large = write('a', entryRecord(resultOf(5_000), {}, 3), VIEW.uid);

  it('an entry is compressed once for all tiers, and a record of a view never', async () => {
    const { upper, record, chain, read } = openChain();
    expect(await chain.putMany([entry, large])).toEqual([null, null]);
    const stored = (await valueIn(record, entry)) as Uint8Array;
    expect(isCompressed(stored)).toBe(true);
    expect(await valueIn(upper, entry)).toBe(stored);
    expect(await valueIn(record, large)).toBe(large.value);
    await upper.deleteMany([entry.key]);
    expect(isSame(await read(entry), entry.value)).toBe(true);
    expect(await valueIn(upper, entry)).toBe(stored);
  });

  it('an entry from before is served as it is', async () => {
    const { record, read } = openChain();
    await record.putMany([entry]);
    expect(await read(entry)).toBe(entry.value);
  });

  it.each([
    ['has a bit flipped', (bytes: Uint8Array) => bytes.map((byte, at) => (at === 300 ? byte ^ 4 : byte))],
    ['is cut', (bytes: Uint8Array) => bytes.slice(0, 200)],
    ['is whole, and a bomb', asBomb],
    ['says that it is not compressed', asRecord],
  ])('what %s is a miss above the store of record, and goes; there it is UNAVAILABLE', async (_, damage) => {
    const { upper, record, chain, read } = openChain();
    await chain.putMany([entry]);
    const stored = (await valueIn(record, entry)) as Uint8Array;
    await upper.deleteMany([entry.key]);
    await upper.putMany([{ ...entry, value: damage(stored) }]);
    expect(isSame(await read(entry), entry.value)).toBe(true);
    expect(chain.corrupt).toBe(1);
    expect(await valueIn(upper, entry)).toBe(stored);
    for (const tier of [upper, record]) {
      await tier.deleteMany([entry.key]);
      await tier.putMany([{ ...entry, value: damage(stored) }]);
    }
    expect(await read(entry)).toBe(UNAVAILABLE);
    expect(await valueIn(upper, entry)).toBeUndefined();
  });

  it('what a tier missed is brought to it as it is stored', async () => {
    const { upper, record, chain } = openChain();
    await chain.putMany([entry]);
    await upper.deleteMany([entry.key]);
    const [to, from] = compressedLevels([{ tier: upper }, { tier: record }], optionsFor(64));
    const amends = new Amends({ tier: (to as Level).tier, record: (from as Level).tier, inspector });
    amends.owe([entry.key]);
    await amends.run();
    expect(await valueIn(upper, entry)).toBe(await valueIn(record, entry));
  });
});

it('vectors are not compressed unless somebody says so', () => {
  const above = compressAboveOf(CACHES_STANDARD);
  expect(above.get(entryViewName('embeddings'))).toBe(2 ** 26);
  expect(above.get(entryViewName('results'))).toBe(1_024);
});
