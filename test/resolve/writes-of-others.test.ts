/** A lane whose store others write too: what they were faster with, and what they overtake. */
import { describe, expect, it } from 'vitest';
import { VERSIONS_PER_MS, type Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import type { TierWrite } from '../../src/base/tier.js';
import { laneOver, MapTier, NEVER, putOf, rowsOf, VIEW } from './fixture.js';

/** Says late what it has done. */
class SlowToSayTier extends MapTier {
  say: () => void = () => undefined;
  readonly #maySay = new Promise<void>(resolve => {
    this.say = resolve;
  });

  override async putMany(writes: readonly TierWrite[]) {
    const results = await super.putMany(writes);
    await this.#maySay;
    return results;
  }
}

/** The store is far, and somebody who is near to it writes the same key each time before a write of ours arrives. */
class FarTier extends MapTier {
  #others: number | undefined;

  override async putMany(writes: readonly TierWrite[]) {
    for (const write of writes) {
      this.#others = (this.#others ?? write.version) + ROUND_TRIP_MS * VERSIONS_PER_MS;
      await super.putMany([{ ...write, version: this.#others as Version }]);
    }
    return super.putMany(writes);
  }
}

const ROUND_TRIP_MS = 45;

describe('where others write too', () => {
  it('a write without a version is not refused, however many others are faster', async () => {
    const { writes } = laneOver([new FarTier()], true);
    const body = Buffer.from('{"features":{"n":1}}');
    const [written] = await writes.write([putOf('a', 0, body.length)], body);
    expect(written).toMatchObject({ kind: 'put', put: { applied: true } });
  });

  it('a write that another overtook before it was answered does not stay in the shared table', async () => {
    const tier = new SlowToSayTier();
    const { coherence, reads, writes } = laneOver([tier], true);
    coherence.restored();
    const body = Buffer.from('{"features":{"n":1},"version":1}{"features":{"n":2},"version":2}');
    const mine = writes.write([putOf('a', 0, 32)], body);
    const others = laneOver([tier], true).writes.write([putOf('a', 32, 64)], body);
    expect(tier.kept.get(storageKey(VIEW.uid, 'a').toString('hex'))?.version).toBe(2);
    coherence.keysChanged([storageKey(VIEW.uid, 'a')]);
    tier.say();
    expect((await mine)[0]).toMatchObject({ put: { applied: true, version: 1 } });
    await others;
    expect(rowsOf(await reads.read([{ viewUid: VIEW.uid, ids: ['a'], deadlineMs: NEVER }]), 1)).toEqual([2]);
  });

  it('an absent key is remembered no longer than copies are served while nobody tells of changes', async () => {
    const tier = new MapTier();
    const { clock, coherence, reads } = laneOver([tier], true);
    const other = laneOver([tier], true);
    const body = Buffer.from('{"features":{"n":1}}');
    const ask = async (id: string) =>
      rowsOf(await reads.read([{ viewUid: VIEW.uid, ids: [id], deadlineMs: NEVER }]), 1);
    expect(await ask('a')).toEqual(['absent']);
    await other.writes.write([putOf('a', 0, body.length)], body);
    clock.advance(999);
    expect(await ask('a')).toEqual(['absent']);
    clock.advance(1);
    expect(await ask('a')).toEqual([1]);
    coherence.restored();
    expect(await ask('b')).toEqual(['absent']);
    await other.writes.write([putOf('b', 0, body.length)], body);
    clock.advance(4_999);
    expect(await ask('b')).toEqual(['absent']);
  });
});
