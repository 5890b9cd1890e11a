/**
 * Servers in this thread over one store and one catalog, as far as invalidations are concerned: a lane's parts with its
 * sweeper, and the front's keeper. News, walks and deaths come when the test says so, and the servers' clocks differ.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HeadraceError } from '../../src/base/errors.js';
import { storageKey } from '../../src/base/keys.js';
import type { ReadFrom } from '../../src/base/tier.js';
import { Pace } from '../../src/resolve/pace.js';
import { StoreWalk } from '../../src/resolve/store-walk.js';
import { Sweeper } from '../../src/resolve/sweeper.js';
import type { Selector } from '../../src/views/fence.js';
import { FenceKeeper, type FenceTimes, type RetiredReport } from '../../src/views/fence-keeper.js';
import { fenceSetOf } from '../../src/views/fence-set.js';
import { RecordReader } from '../../src/views/record-reader.js';
import { ViewRegistry } from '../../src/views/registry.js';
import type { SharedCatalog } from '../views/shared-catalog.js';
import { laneOver, type MapCache, MapTier, NEVER, rowsOf } from './fixture.js';

const NAME = '@c';
export const TIMES: FenceTimes = { openMsMin: 0, foreignMs: 30_000, waitMs: 1_000 };

/** A store that takes no time, and fails those that walk through it when it is to. */
export class TestStore extends MapTier {
  failures = 0;

  override getMany(
    keys: readonly Uint8Array[],
    _deadlineMs?: number,
    from?: ReadFrom,
  ): (Uint8Array | undefined)[] {
    if (from === 'primary' && this.failures > 0) {
      this.failures--;
      throw new HeadraceError('unavailable', 'the store fails on demand');
    }
    return super.getMany(keys);
  }
}

export class FencedServer {
  readonly store: TestStore;
  readonly lane: ReturnType<typeof laneOver>;
  readonly registry: ViewRegistry;
  readonly keeper: FenceKeeper;
  readonly reports: RetiredReport[] = [];
  readonly errors: unknown[] = [];
  /** Things that wait for the time to come, of the keeper and of the walks. */
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  #resting: (() => void)[] = [];
  #nowMs = 0;
  #sweeper: Sweeper;

  constructor(catalog: SharedCatalog, store: TestStore, aheadMs: number, times = TIMES) {
    this.store = store;
    this.lane = laneOver([store], true);
    this.lane.views.forget(3);
    this.lane.clock.advance(aheadMs);
    this.#sweeper = this.#openSweeper();
    this.registry = new ViewRegistry({
      viewsMax: 1,
      builtIn: [
        {
          name: NAME,
          entity: 'entry',
          features: new Map([
            ['n', 'int64'],
            ['text', 'string'],
          ]),
          l1Bytes: undefined,
          eviction: 's3-fifo',
        },
      ],
      catalogedViews: async () => [...catalog.views.values()],
      createView: (draft, uidMin) => catalog.create(draft, uidMin),
      changeView: view => catalog.put(view),
      dropView: async () => undefined,
      declare: async view => this.#sweeper.declare(view),
      forget: async ({ uid }) => this.#sweeper.forget(uid),
      changed: () => undefined,
      fenced: view => this.keeper.see(view),
    });
    this.keeper = new FenceKeeper({
      views: this.registry,
      lanes: 1,
      sweep: async (_lane, viewUid) => this.#sweeper.sweep(viewUid),
      empty: () => this.lane.cache.empty(),
      times,
      nowMs: () => this.#nowMs,
      later: (ms, run) => {
        const timer = { atMs: this.#nowMs + ms, run };
        this.#timers.add(timer);
        return () => this.#timers.delete(timer);
      },
      onRetired: report => this.reports.push(report),
      onError: error => this.errors.push(error),
    });
  }

  get view() {
    const view = this.registry.builtIn(NAME);
    if (view === undefined) throw new Error('the view is not known');
    return view;
  }

  get cache(): MapCache {
    return this.lane.cache;
  }

  #openSweeper(): Sweeper {
    const rest = () => new Promise<void>(resolve => this.#resting.push(resolve));
    const pace = new Pace({ nowMs: () => this.#nowMs, rest });
    const walk = new StoreWalk({ ...this.lane, record: this.store, pace, tombstoneTtlMs: 3_600_000 });
    return new Sweeper({
      ...this.lane,
      ...{ walk, pace, rest },
      emptySlot: () => this.lane.cache.empty(),
      onSwept: (viewUid, upTo, erased) => this.keeper.swept(0, viewUid, upTo, erased),
      onError: error => this.errors.push(error),
    });
  }

  async open(): Promise<this> {
    await this.registry.refresh();
    await this.registry.declareBuiltIn();
    return this;
  }

  async put(id: string, n: number, tags: readonly string[]): Promise<void> {
    const body = Buffer.from(JSON.stringify({ features: { n }, tags }));
    const op = { kind: 'put', viewUid: this.view.uid, id, start: 0, end: body.length, flat: false } as const;
    const [result] = await this.lane.writes.write([{ ...op, deadlineMs: NEVER }], body);
    if (result?.kind !== 'put' || !result.put.applied) throw new Error('the put did not come through');
  }

  async remove(id: string): Promise<void> {
    const op = { kind: 'remove', viewUid: this.view.uid, id, deadlineMs: NEVER } as const;
    await this.lane.writes.write([op], new Uint8Array(0));
  }

  /** As the front does it: memory first, then the lane. */
  async read(id: string): Promise<number | undefined> {
    const { view } = this;
    const cached = this.cache.get(view.slot, id);
    if (cached !== undefined && fenceSetOf(view)?.hidesId(cached, 0, cached.length, id) !== true) {
      const reader = new RecordReader();
      reader.reset(cached);
      return reader.tombstone ? undefined : (reader.int64(0) ?? undefined);
    }
    const reply = await this.lane.reads.read([{ viewUid: view.uid, ids: [id], deadlineMs: NEVER }]);
    const [row] = rowsOf(reply, 1);
    if (row === 'unavailable') throw new Error(`${id} is unavailable`);
    return typeof row === 'number' ? row : undefined;
  }

  invalidate(selector: Selector): Promise<void> {
    return this.keeper.invalidate(NAME, selector);
  }

  /** The news of changes of these keys, and of the catalog, arrive. */
  async hear(ids: Iterable<string>): Promise<void> {
    this.lane.coherence.keysChanged([...ids].map(id => storageKey(this.view.uid, id)));
    await this.registry.refresh();
  }

  /** Lets the walks that rest go on, each by one step. */
  async step(): Promise<void> {
    const resting = this.#resting;
    this.#resting = [];
    for (const resume of resting) resume();
    await nextTurn();
  }

  get isWalking(): boolean {
    return this.#resting.length > 0;
  }

  /** The lane's thread dies wherever it is, and another takes its place; what memory had stays. */
  async die(): Promise<void> {
    this.#resting = [];
    this.lane.negative.clear();
    const { slot } = this.view;
    const known = this.lane.views.list().map(({ view }) => view);
    this.#sweeper = this.#openSweeper();
    for (const { features, ...view } of known) {
      this.lane.views.forget(view.uid);
      this.#sweeper.declare({ ...view, features: [...features], slot });
    }
    this.keeper.restarted(0);
    await nextTurn();
  }

  async pass(ms: number): Promise<void> {
    this.#nowMs += ms;
    this.lane.clock.advance(ms);
    for (const timer of [...this.#timers]) {
      if (timer.atMs > this.#nowMs || !this.#timers.delete(timer)) continue;
      timer.run();
    }
    await nextTurn();
  }

  /** Until no walk is under way. */
  async settle(): Promise<void> {
    for (let round = 0; round < 10_000; round++) {
      await this.step();
      if (!this.isWalking) return;
    }
    throw new Error('the walks do not end');
  }
}
