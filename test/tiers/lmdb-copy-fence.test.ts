/** Copies as a lane uses them: with a fence for its keys, told of changes elsewhere, cut off from them, and killed. */
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import type { TierWrite } from '../../src/base/tier.js';
import { type FencePass, KeyFence } from '../../src/resolve/key-fence.js';
import { recordVersion } from '../../src/views/record-codec.js';
import { FULL } from '../base/seeded.js';
import { openCopies } from './lmdb-copy-fixture.js';
import { write } from './tier-suite.js';

describe('copies behind a fence', () => {
  const KEYS = ['a', 'b', 'c'];
  const key = fc.constantFrom(...KEYS);
  const step = fc.oneof(
    fc.record({ act: fc.constant('read' as const), key }),
    fc.record({ act: fc.constant('read' as const), key }),
    fc.record({ act: fc.constant('begin' as const), key }),
    fc.record({ act: fc.constant('look' as const), pick: fc.nat(5) }),
    fc.record({ act: fc.constant('keep' as const), pick: fc.nat(5) }),
    fc.record({ act: fc.constant('remote' as const), key }),
    fc.record({ act: fc.constant('tell' as const), pick: fc.nat(5) }),
    fc.record({ act: fc.constant('local' as const), key }),
    fc.record({ act: fc.constant('acknowledge' as const), pick: fc.nat(5) }),
    fc.record({ act: fc.constant('cut' as const) }),
    fc.record({ act: fc.constant('reconnect' as const) }),
    fc.record({ act: fc.constant('die' as const) }),
    fc.record({ act: fc.constant('settle' as const) }),
  );

  it('are never older than what the lane was told of, in any order of events', async () => {
    const { lane, close } = await openCopies();
    onTestFinished(close);
    let uid = 100;
    let served = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
        uid++;
        let tier = lane();
        let fence = new KeyFence();
        let version = 0;
        let isConnected = true;
        const store = new Map(KEYS.map(name => [name, write(name, ++version)]));
        const told = new Map(KEYS.map(name => [name, 0]));
        let reads: { name: string; pass: FencePass; era: number; found?: TierWrite }[] = [];
        let notices: { name: string; version: number }[] = [];
        let writes: { name: string; written: TierWrite }[] = [];
        const queued: Promise<unknown>[] = [];
        const take = <T>(from: T[], pick: number) => from.splice(pick % Math.max(1, from.length), 1)[0];
        const at = (item: TierWrite, name: string, era: number): TierWrite => ({
          ...item,
          key: storageKey(uid, name),
          era,
        });
        const keep = (name: string, item: TierWrite, era: number) =>
          queued.push(tier.putMany([at(item, name, era)]));
        const all = () => {
          tier.newEra();
          fence.allChanged();
        };
        for (const now of steps) {
          if (now.act === 'read') keep(now.key, store.get(now.key) as TierWrite, tier.era);
          if (now.act === 'begin') reads.push({ name: now.key, pass: fence.begin(now.key), era: tier.era });
          if (now.act === 'look') {
            const read = reads[now.pick % Math.max(1, reads.length)];
            if (read !== undefined) read.found ??= store.get(read.name) as TierWrite;
          }
          if (now.act === 'keep') {
            const read = take(reads, now.pick);
            if (read?.found !== undefined && fence.isGood(read.name, read.pass))
              keep(read.name, read.found, read.era);
          }
          if (now.act === 'remote') {
            store.set(now.key, write(now.key, ++version));
            if (isConnected) notices.push({ name: now.key, version });
          }
          if (now.act === 'tell') {
            const notice = take(notices, now.pick);
            if (notice === undefined) continue;
            fence.changed(notice.name);
            queued.push(tier.deleteMany([storageKey(uid, notice.name)]));
            told.set(notice.name, Math.max(told.get(notice.name) ?? 0, notice.version));
          }
          if (now.act === 'local') {
            store.set(now.key, write(now.key, ++version));
            writes.push({ name: now.key, written: store.get(now.key) as TierWrite });
          }
          if (now.act === 'acknowledge') {
            const done = take(writes, now.pick);
            if (done === undefined) continue;
            fence.changed(done.name);
            // As the chain does: what this server writes is dropped here, not copied.
            queued.push(tier.deleteMany([storageKey(uid, done.name)]));
            told.set(done.name, Math.max(told.get(done.name) ?? 0, done.written.version));
          }
          if (now.act === 'cut' || now.act === 'reconnect') {
            isConnected = now.act === 'reconnect';
            notices = [];
            all();
            for (const [name, { version: newest }] of store) told.set(name, newest);
          }
          if (now.act === 'die') {
            // What it had queued may or may not be on disk; its reads and writes end with it.
            tier = lane();
            fence = new KeyFence();
            reads = [];
            writes = [];
            for (const [name, { version: newest }] of store) told.set(name, newest);
          }
          if (now.act === 'settle') await Promise.all(queued.splice(0));
          for (const name of KEYS) {
            const [value] = tier.getMany([storageKey(uid, name)]);
            if (value === undefined) continue;
            served++;
            expect(recordVersion(value), name).toBeGreaterThanOrEqual(told.get(name) as Version);
          }
        }
        await Promise.all(queued);
      }),
      { numRuns: FULL ? 5_000 : 300 },
    );
    expect(served).toBeGreaterThan(FULL ? 5_000 : 300);
  });
});
