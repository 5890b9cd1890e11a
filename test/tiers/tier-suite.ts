/**
 * What every tier must do, whatever it is made of: call `tierSuite` with a way to open one that is empty.
 *
 * The heart is a comparison with a plain map under random calls; the seed is in fast-check's report when it fails.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import type { Tier, TierWrite } from '../../src/base/tier.js';
import { encodeTombstone } from '../../src/views/record-codec.js';

export interface OpenTier {
  readonly tier: Tier;
  /** Closes the tier and removes what it kept. */
  close(): Promise<void>;
}

const RUNS = process.env['HEADRACE_TEST_FULL'] === '1' ? 2_000 : 150;
const IDS = ['a', 'b', 'ab', 'é', '💧', 'x'.repeat(512), '\0', 'a\0b'];

export function write(id: string, version: number, size = 0): TierWrite {
  const record = encodeTombstone(version as Version, 1_700_000_000_000, 1_800_000_000_000);
  const value = Buffer.concat([record, Buffer.alloc(size, version & 0xff)]);
  return { key: storageKey(7, id), value, version: version as Version };
}

/** @param keysMany keys of a view, more than the tier gives at a time where that does not take too long. */
export function tierSuite(name: string, open: () => Promise<OpenTier>, keysMany = 1_100): void {
  describe(`${name} as a tier`, () => {
    let opened: OpenTier;
    let tier: Tier;

    beforeEach(async () => {
      opened = await open();
      tier = opened.tier;
    });

    afterEach(() => opened.close());

    it('has nothing at first', async () => {
      expect(await tier.getMany([storageKey(7, 'a'), storageKey(8, 'b')])).toEqual([undefined, undefined]);
      expect(await tier.getMany([])).toEqual([]);
    });

    it('gives back what was put, in the order asked, duplicates too', async () => {
      const [a, b] = [write('a', 1), write('b', 2, 100)];
      expect(await tier.putMany([a, b])).toEqual([null, null]);
      const keys = [b.key, storageKey(7, 'none'), a.key, b.key];
      expect(bytes(await tier.getMany(keys))).toEqual(bytes([b.value, undefined, a.value, b.value]));
    });

    it('keeps the larger version, and says which it holds', async () => {
      await tier.putMany([write('a', 5)]);
      expect(await tier.putMany([write('a', 5, 8), write('a', 4)])).toEqual([5, 5]);
      expect(await tier.putMany([write('a', 6, 16)])).toEqual([null]);
      expect(bytes(await tier.getMany([storageKey(7, 'a')]))).toEqual(bytes([write('a', 6, 16).value]));
    });

    it('applies writes of one key within a call in order', async () => {
      expect(await tier.putMany([write('a', 2), write('a', 1), write('a', 3, 4), write('a', 3)])).toEqual([
        null,
        2,
        null,
        3,
      ]);
      expect(bytes(await tier.getMany([storageKey(7, 'a')]))).toEqual(bytes([write('a', 3, 4).value]));
    });

    it('orders calls that overlap', async () => {
      const calls = [3, 1, 4, 1, 5, 9, 2, 6].map(version => tier.putMany([write('a', version)]));
      const results = (await Promise.all(calls)).map(([result]) => result);
      expect(results).toEqual([null, 3, null, 4, null, null, 9, 9]);
      expect(bytes(await tier.getMany([storageKey(7, 'a')]))).toEqual(bytes([write('a', 9).value]));
    });

    it('tells views apart whose ids are the same', async () => {
      const one = { ...write('a', 1), key: storageKey(1, 'a') };
      const other = { ...write('a', 2), key: storageKey(2 ** 32 - 1, 'a') };
      await tier.putMany([one, other]);
      expect(bytes(await tier.getMany([one.key, other.key]))).toEqual(bytes([one.value, other.value]));
    });

    it('keeps values of any size and versions up to 2^53 - 1', async () => {
      const writes = [0, 4, 4_000, 40_000, 400_000, 4_000_000].map((size, index) =>
        write(`size ${size}`, Number.MAX_SAFE_INTEGER - index, size),
      );
      await tier.putMany(writes);
      expect(bytes(await tier.getMany(writes.map(({ key }) => key)))).toEqual(
        bytes(writes.map(w => w.value)),
      );
      const again = await tier.putMany(writes.map(w => ({ ...w, version: (w.version - 1) as Version })));
      expect(again).toEqual(writes.map(w => w.version));
    });

    it('forgets what is deleted, its version too', async () => {
      await tier.putMany([write('a', 9), write('b', 9)]);
      await tier.deleteMany([storageKey(7, 'a'), storageKey(7, 'none')]);
      expect(await tier.putMany([write('a', 1), write('b', 1)])).toEqual([null, 9]);
    });

    it('that holds the record says which keys it has, of one view', async () => {
      if (tier.keysOf === undefined) return;
      const ids = Array.from({ length: keysMany }, (_, n) => `${n}`);
      const keys = [...ids, ...IDS].map(name => storageKey(7, name));
      const others = [6, 8].flatMap(uid => IDS.map(name => storageKey(uid, name)));
      await tier.putMany([...keys, ...others].map(key => ({ ...write('', 1), key })));
      await tier.deleteMany([storageKey(7, '10'), storageKey(7, 'a')]);
      const keysOf = async (uid: number) => {
        const held = new Set<string>();
        for await (const part of tier.keysOf?.(uid) ?? [])
          for (const key of part) held.add(Buffer.from(key).toString('hex'));
        return [...held].sort();
      };
      const expected = keys.filter(key => !['10', 'a'].includes(key.subarray(4).toString()));
      expect(await keysOf(7)).toEqual(expected.map(key => key.toString('hex')).sort());
      expect(await keysOf(9)).toEqual([]);
    });

    it('does what a map would do', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 30 }), async commands => {
          const uid = ++views;
          await compare(tier, uid, commands);
        }),
        { numRuns: RUNS },
      );
    });
  });
}

let views = 1_000;

type Command =
  | { readonly kind: 'put'; readonly writes: readonly (readonly [string, number])[] }
  | { readonly kind: 'get'; readonly ids: readonly string[] }
  | { readonly kind: 'delete'; readonly ids: readonly string[] };

const id = fc.constantFrom(...IDS);
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    kind: fc.constant('put' as const),
    writes: fc.array(fc.tuple(id, fc.integer({ min: 1, max: 12 })), { maxLength: 6 }),
  }),
  fc.record({ kind: fc.constant('get' as const), ids: fc.array(id, { maxLength: 6 }) }),
  fc.record({ kind: fc.constant('delete' as const), ids: fc.array(id, { maxLength: 2 }) }),
);

/** Puts that follow each other overlap; anything else waits for them. */
async function compare(tier: Tier, uid: number, commands: readonly Command[]): Promise<void> {
  const model = new Map<string, TierWrite>();
  let puts: Promise<void>[] = [];
  for (const step of commands) {
    if (step.kind === 'put') {
      const writes = step.writes.map(([name, version]) => ({
        ...write(name, version, version * 4),
        key: storageKey(uid, name),
      }));
      const expected = writes.map(item => applyTo(model, item));
      puts.push(tier.putMany(writes).then(results => expect(results).toEqual(expected)));
      continue;
    }
    await Promise.all(puts);
    puts = [];
    const keys = step.ids.map(name => storageKey(uid, name));
    if (step.kind === 'delete') {
      await tier.deleteMany(keys);
      for (const key of keys) model.delete(key.toString('hex'));
    } else {
      const expected = keys.map(key => model.get(key.toString('hex'))?.value);
      expect(bytes(await tier.getMany(keys))).toEqual(bytes(expected));
    }
  }
  await Promise.all(puts);
}

function applyTo(model: Map<string, TierWrite>, item: TierWrite): Version | null {
  const name = Buffer.from(item.key).toString('hex');
  const held = model.get(name);
  if (held !== undefined && held.version >= item.version) return held.version;
  model.set(name, item);
  return null;
}

function bytes(values: readonly (Uint8Array | undefined)[]): (string | undefined)[] {
  return values.map(value => (value === undefined ? undefined : Buffer.from(value).toString('latin1')));
}
