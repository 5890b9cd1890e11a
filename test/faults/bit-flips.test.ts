/**
 * Records in which one bit has flipped, in Redis and on disk: none is ever served, each is counted, and where another
 * tier has the record, it takes the place of the damaged copy.
 */
import type { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { idOfStorageKey } from '../../src/base/keys.js';
import type { Tier, TierWrite } from '../../src/base/tier.js';
import { type Found, type Level, TierChain, UNAVAILABLE } from '../../src/resolve/chain.js';
import { RecordInspector } from '../../src/resolve/record-inspector.js';
import type { LmdbEnvironment } from '../../src/tiers/lmdb-environment.js';
import { recordExpiresAt } from '../../src/views/record-codec.js';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { MapTier } from '../resolve/fixture.js';
import { recordWrite } from '../support/mongo-fixture.js';
import { describeWithRedis, eventually, RedisServer } from '../support/redis-server.js';
import { openCopies } from '../tiers/lmdb-copy-fixture.js';
import { openTestLmdb } from '../tiers/lmdb-fixture.js';
import { openRedisTier } from '../tiers/redis-fixture.js';

const FLIPS = FULL ? 1_000_000 : 10_000;
const TIMEOUT = { timeout: FULL ? 3_600_000 : 120_000 };
const BATCH = 500;

const random = new Seeded(SEED);
const inspector = new RecordInspector();
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Store {
  /** Whose records are damaged. */
  readonly tier: Tier;
  /** Flips a bit of what is stored for each key. */
  flip(writes: readonly TierWrite[]): Promise<void>;
}

function flipBit(bytes: Uint8Array): Buffer {
  const flipped = Buffer.from(bytes);
  const bit = random.below(8 * flipped.length);
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return flipped;
}

function batchOf(first: number): TierWrite[] {
  return Array.from({ length: BATCH }, (_, n) => {
    const id = `doc-${first + n}`;
    return recordWrite(id, 1 + first + n, { text: id.repeat(1 + random.below(30)), tags: ['a', id] });
  });
}

async function ask(chain: TierChain, writes: readonly TierWrite[]): Promise<Found[]> {
  const keys = writes.map(({ key }) => key);
  return chain.getMany(keys, { nowMs: Date.now(), deadlineMs: Date.now() + 30_000, mayKeep: () => true });
}

/** Compares bytes at once: `toEqual` would look at each by itself. */
function expectWhole(found: readonly Found[], writes: readonly TierWrite[]): void {
  const wrong = writes.findIndex(({ value }, at) => {
    const answer = found[at];
    return !(answer instanceof Uint8Array) || Buffer.compare(answer, value) !== 0;
  });
  expect(wrong, 'the first that is not whole').toBe(-1);
  expect(found.length).toBe(writes.length);
}

/** As the store of record: there is no other copy. */
async function neverServed({ tier, flip }: Store): Promise<void> {
  const chain = new TierChain([{ tier }], inspector);
  for (let first = 0; first < FLIPS; first += BATCH) {
    const writes = batchOf(first);
    expect(await tier.putMany(writes)).toEqual(writes.map(() => null));
    expectWhole(await ask(chain, writes.slice(0, 1)), writes.slice(0, 1));
    await flip(writes);
    expect(await ask(chain, writes)).toEqual(writes.map(() => UNAVAILABLE));
    expect(chain.corrupt).toBe(first + BATCH);
    // It can be written over.
    const newer = writes.slice(0, 3).map((_, n) => recordWrite(`doc-${first + n}`, FLIPS + first + n + 2));
    expect(await tier.putMany(newer)).toEqual(newer.map(() => null));
    expectWhole(await ask(chain, newer), newer);
    await tier.deleteMany(writes.map(({ key }) => key));
  }
}

/** As a tier above the store of record, which has the record. */
async function replaced({ tier, flip }: Store, level: Partial<Level> = {}): Promise<void> {
  const record = new MapTier();
  const chain = new TierChain([{ tier, ...level }, { tier: record }], inspector);
  for (let first = 0; first < FLIPS; first += BATCH) {
    const writes = batchOf(first);
    await record.putMany(writes);
    await tier.putMany(writes);
    await flip(writes);
    const corrupt = chain.corrupt;
    expectWhole(await ask(chain, writes), writes);
    expect(chain.corrupt).toBe(corrupt + BATCH);
    const keys = writes.map(({ key }) => key);
    // A script that Redis does not know yet is sent again, and the removal then comes after what was filled in.
    await eventually(async () => {
      await ask(chain, writes);
      const values = await tier.getMany(keys);
      return values.every((value, at) => Buffer.compare(value ?? Buffer.alloc(0), writes[at]!.value) === 0);
    }, 'the damaged copies are replaced');
    const before = [record.asked, chain.corrupt];
    expectWhole(await ask(chain, writes), writes);
    expect([record.asked, chain.corrupt]).toEqual(before);
    expect(chain.failures).toBe(0);
    await tier.deleteMany(keys);
    await record.deleteMany(keys);
  }
}

describeWithRedis(`${FLIPS} records in Redis with one bit flipped`, () => {
  const open = async (): Promise<Store> => {
    const redis = await RedisServer.start();
    closers.push(() => redis.close());
    const { tier, close } = await openRedisTier(redis.url, { expiresAtOf: recordExpiresAt });
    closers.push(close);
    return { tier, flip: writes => flipInRedis(redis.admin, writes) };
  };
  it('are not served from the store of record', TIMEOUT, async () => neverServed(await open()));
  it('are replaced in a tier above it', TIMEOUT, async () => replaced(await open()));
});

async function flipInRedis(admin: Redis, writes: readonly TierWrite[]): Promise<void> {
  const names = writes.map(({ key }) => `headrace:7:${idOfStorageKey(key)}`);
  const pipeline = admin.pipeline();
  for (const [at, value] of (await admin.mgetBuffer(names)).entries()) {
    if (value === null) throw new Error(`${names[at]} is not in Redis`);
    const bit = random.below(8 * value.length);
    pipeline.setrange(names[at] ?? '', bit >> 3, Buffer.from([(value[bit >> 3] ?? 0) ^ (1 << (bit & 7))]));
  }
  for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
}

describe(`${FLIPS} records on disk with one bit flipped`, () => {
  it('are not served from the store of record', TIMEOUT, async () => {
    const { environment, tier, close } = await openTestLmdb();
    closers.push(close);
    const { records } = environment;
    await neverServed({
      tier,
      async flip(writes) {
        let last: Promise<boolean> | undefined;
        for (const { key, version } of writes) {
          last = records.put(key, flipBit(records.getBinary(key) ?? new Uint8Array(1)), version);
        }
        await last;
      },
    });
  });

  it.each(['the copy', 'its entry in the index'] as const)(
    'are replaced in the local copies: %s',
    TIMEOUT,
    async part => {
      const { environment, tier, close } = await openCopies({ bytesMax: 256 * 2 ** 20 });
      closers.push(close);
      const store = {
        tier,
        flip: (writes: readonly TierWrite[]) =>
          part === 'the copy' ? flipCopies(environment) : flipEntries(environment, writes),
      };
      if (part === 'the copy') await replaced(store, { era: () => tier.era });
      else await servedWhole(store, () => tier.era);
    },
  );
});

/** Every copy there is: a batch is removed before the next is written. */
async function flipCopies({ copies }: LmdbEnvironment): Promise<void> {
  let last: Promise<boolean> | undefined;
  for (const { key, value } of [...copies.getRange({})]) {
    last = copies.put(Buffer.from(key), flipBit(value));
  }
  await last;
}

async function flipEntries({ copyIndex }: LmdbEnvironment, writes: readonly TierWrite[]): Promise<void> {
  let last: Promise<boolean> | undefined;
  for (const { key, version } of writes) {
    last = copyIndex.put(key, flipBit(copyIndex.getBinary(key) ?? new Uint8Array(1)), version);
  }
  await last;
}

/** An entry that is damaged is of no era: a miss, and the copy is made anew. */
async function servedWhole({ tier, flip }: Store, era: () => number): Promise<void> {
  const record = new MapTier();
  const chain = new TierChain([{ tier, era }, { tier: record }], inspector);
  for (let first = 0; first < FLIPS; first += BATCH) {
    const writes = batchOf(first);
    await record.putMany(writes);
    await tier.putMany(writes);
    await flip(writes);
    const asked = record.asked;
    expectWhole(await ask(chain, writes), writes);
    expect(record.asked).toBe(asked + BATCH);
    expectWhole(await ask(chain, writes), writes);
    expect(record.asked).toBe(asked + BATCH);
    await tier.deleteMany(writes.map(({ key }) => key));
    await record.deleteMany(writes.map(({ key }) => key));
  }
}
