import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { TableView } from '../../src/l1/layout.js';
import { oddBuckets } from '../../src/l1/repair.js';
import type { View } from '../../src/views/schema.js';
import { errorCode, LanesFixture, soon } from './lanes-fixture.js';

const FULL = process.env['HEADRACE_TEST_FULL'] === '1';
const DEATHS = Number(process.env['HEADRACE_TEST_DEATHS'] ?? (FULL ? 1_000 : 30));
const FAULTS = ['!exit', '!throw', '!exit-after'] as const;

let fixture: LanesFixture | undefined;

afterEach(async () => {
  await fixture?.close();
  fixture = undefined;
});

describe('a lane whose thread dies', () => {
  it(
    `loses no acknowledged write and leaves no promise hanging (${DEATHS} deaths)`,
    async () => {
      fixture = await LanesFixture.open();
      const view = await fixture.declare();
      const load = new Load(fixture, view);
      const running = [load.write(0), load.write(1), load.write(2), load.read(0), load.read(1)];
      for (let death = 0; death < DEATHS; death++) {
        const before = restarts(fixture);
        await kill(fixture, view, death);
        await until(() => restarts(fixture as LanesFixture) > before);
      }
      load.stop();
      await Promise.all(running);
      expect(load.unexpected).toEqual([]);
      await load.check();
      expect(load.acknowledged.size).toBeGreaterThan(0);
      expect(oddBuckets(new TableView(fixture.table))).toBe(0);
      const { lanes } = fixture.lanes.stats();
      expect(lanes.map(({ ops, bytes }) => [ops, bytes])).toEqual(lanes.map(() => [0, 0]));
      expect(lanes.every(lane => lane.isUp)).toBe(true);
    },
    60_000 + DEATHS * 2_000,
  );

  it('is restarted after failures at its start, with growing waits, and goes on', async () => {
    fixture = await LanesFixture.open({ count: 1 });
    const view = await fixture.declare();
    await fixture.write(view, 'a', 1);
    Atomics.store(fixture.faults, 0, 3);
    await expect(fixture.lanes.read(0, view, ['!exit'], soon())).rejects.toMatchObject({
      code: 'unavailable',
    });
    const waits = fixture.events.flatMap(event => (event.kind === 'backing-off' ? [event.waitMs] : []));
    expect(waits).toEqual([50, 100, 200]);
    await until(() => fixture?.lanes.stats().lanes[0]?.isUp === true);
    expect(await fixture.read(view, 'a')).toBe(1);
  });

  it('has one successor when its failure is heard of before its being ready', async () => {
    fixture = await LanesFixture.open({ count: 1 });
    const { faults, lanes, events } = fixture;
    const view = await fixture.declare();
    Atomics.store(faults, 2, 1);
    const threads = swapReadyAndFailure();
    try {
      await lanes.restart(0);
      await until(() => lanes.stats().lanes[0]?.isUp === true);
    } finally {
      threads.restore();
    }
    await fixture.write(view, 'a', 1);
    expect(await fixture.read(view, 'a')).toBe(1);
    expect(events.filter(({ kind }) => kind === 'failed')).toEqual([]);
    expect(events.filter(({ kind }) => kind === 'down')).toHaveLength(2);
    expect(threads.made).toBe(2);
  });

  it('is restarted once the system gives a thread again', async () => {
    fixture = await LanesFixture.open({ count: 1 });
    const view = await fixture.declare();
    await fixture.write(view, 'a', 1);
    fixture.threadRefusals.left = 2;
    await fixture.lanes.restart(0);
    expect(await fixture.read(view, 'a')).toBe(1);
    const waits = fixture.events.flatMap(event => (event.kind === 'backing-off' ? [event.waitMs] : []));
    expect(waits).toEqual([50, 100]);
  });

  it('refuses at once what cannot be answered before the next start', async () => {
    fixture = await LanesFixture.open({ count: 1 });
    const view = await fixture.declare();
    Atomics.store(fixture.faults, 0, 4);
    const first = fixture.lanes.read(0, view, ['!exit'], soon()).catch(errorCode);
    await until(
      () => fixture?.events.some(event => event.kind === 'backing-off' && event.waitMs >= 200) === true,
    );
    expect(await fixture.read(view, 'a', Date.now() + 20).catch(errorCode)).toMatch(/unavailable|deadline/);
    expect(await first).toBe('unavailable');
  });

  it('reports a start that fails when the lanes are opened', async () => {
    await expect(LanesFixture.open({ startFailures: 1 })).rejects.toThrow(/thread ended/);
  });

  it('fails writes in flight as unknown, and asks reads once more', async () => {
    fixture = await LanesFixture.open({ count: 1 });
    const view = await fixture.declare();
    await fixture.write(view, 'kept', 5);
    const write = fixture.write(view, '!exit-after', 1);
    await expect(write).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/not known/),
    });
    // The write was durable before the thread died: the answer was lost, the record was not.
    expect(await fixture.read(view, 'kept')).toBe(5);
    expect(fixture.lanes.stats().lanes[0]?.restarts).toBe(1);
  });

  it('leaves in shared memory all but the keys of the writes in flight', async () => {
    fixture = await LanesFixture.open({ count: 1 });
    const view = await fixture.declare();
    await Promise.all([fixture.write(view, 'a', 1, 1), fixture.write(view, 'b', 1, 1)]);
    const isCached = (id: string) => {
      const { reader } = fixture as LanesFixture;
      reader.key(view.slot, id);
      return reader.get(Date.now()) >= 0;
    };
    const lost = [fixture.write(view, 'a', 2, 2), fixture.write(view, '!exit', 1)];
    expect(await Promise.all(lost.map(write => write.catch(errorCode)))).toEqual([
      'unavailable',
      'unavailable',
    ]);
    await until(() => fixture?.lanes.stats().lanes[0]?.restarts === 1);
    expect(['a', 'b'].map(isCached)).toEqual([false, true]);
    expect(await fixture.read(view, 'a')).toBe(1);
  });

  it('leaves nothing in shared memory when a load was in flight', async () => {
    fixture = await LanesFixture.open({ count: 1 });
    const view = await fixture.declare();
    await fixture.write(view, 'a', 1);
    const chunk = Buffer.from('{"id":"b","features":{"n":1}}\n');
    const load = fixture.lanes.ingest(0, view, chunk, Uint32Array.of(1), false, soon());
    const dying = fixture.write(view, '!exit', 1);
    expect(await Promise.all([load.catch(errorCode), dying.catch(errorCode)])).toEqual([
      'unavailable',
      'unavailable',
    ]);
    await until(() => fixture?.lanes.stats().lanes[0]?.restarts === 1);
    fixture.reader.key(view.slot, 'a');
    expect(fixture.reader.get(Date.now())).toBe(-1);
  });

  it('keeps the declaration of a view that was under way', async () => {
    fixture = await LanesFixture.open();
    const view = await fixture.declare();
    const dying = fixture.lanes.read(1, view, ['!exit'], soon()).catch(errorCode);
    const other = await fixture.declare('others', 'int64', 1);
    await fixture.write(other, 'x', 9);
    expect(await fixture.read(other, 'x')).toBe(9);
    expect(await dying).toBe('unavailable');
  });
});

/** For the next thread that fails: the two come through ports of their own, and may be heard of in either order. */
function swapReadyAndFailure() {
  const emit = Worker.prototype.emit;
  const late: (() => void)[] = [];
  let hasFailed = false;
  const threads = { made: 0, restore: () => Reflect.deleteProperty(Worker.prototype, 'emit') };
  Worker.prototype.emit = function (this: Worker, event: string, ...given: unknown[]) {
    const tell = () => Reflect.apply(emit, this, [event, ...given]);
    if (event === 'online') threads.made++;
    if (event === 'message' && !hasFailed) {
      late.push(tell);
      return true;
    }
    const wasHeard = tell();
    if (event === 'error') {
      hasFailed = true;
      for (const tellLate of late.splice(0)) tellLate();
    }
    return wasHeard;
  };
  return threads;
}

class Load {
  /** By id, the highest value whose write was acknowledged. */
  readonly acknowledged = new Map<string, number>();
  readonly unexpected: string[] = [];
  readonly #fixture: LanesFixture;
  readonly #view: View;
  #stopped = false;

  constructor(fixture: LanesFixture, view: View) {
    this.#fixture = fixture;
    this.#view = view;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Values only grow, and the version is the value, so that an acknowledged one is a lower bound for ever. */
  async write(writer: number): Promise<void> {
    for (let n = 1; !this.#stopped; n++) {
      const ids = Array.from({ length: 8 }, (_, key) => `w${writer}-k${(n * 8 + key) % 64}`);
      await Promise.all(
        ids.map(async id => {
          try {
            await this.#fixture.write(this.#view, id, n, n);
            this.acknowledged.set(id, n);
          } catch (error) {
            this.#expect(error, ['unavailable']);
          }
        }),
      );
    }
  }

  async read(writer: number): Promise<void> {
    for (let n = 0; !this.#stopped; n++) {
      const id = `w${writer}-k${n % 64}`;
      const known = this.acknowledged.get(id);
      try {
        const found = await this.#fixture.read(this.#view, id);
        if (known !== undefined && !(typeof found === 'number' && found >= known)) {
          this.unexpected.push(`${id} was acknowledged with ${known} and read as ${found}`);
        }
      } catch (error) {
        this.#expect(error, ['unavailable']);
      }
    }
  }

  async check(): Promise<void> {
    for (const [id, n] of this.acknowledged) {
      const found = await this.#fixture.read(this.#view, id);
      expect(found, id).toBeGreaterThanOrEqual(n);
    }
  }

  #expect(error: unknown, codes: readonly string[]): void {
    const code = errorCode(error);
    if (!codes.includes(code)) this.unexpected.push(`${code}: ${String(error)}`);
  }
}

/** By turns: at the points where a thread dies by itself, as a read and as a write, and from outside at any point. */
async function kill(fixture: LanesFixture, view: View, death: number): Promise<void> {
  const lane = death % 2;
  const fault = FAULTS[(death >> 1) % FAULTS.length] as string;
  if (death % 5 === 4) await fixture.lanes.restart(lane);
  else if (death % 3 === 0) void fixture.lanes.read(lane, view, [fault], soon()).catch(() => undefined);
  else void fixture.lanes.remove(lane, view, fault, soon()).catch(() => undefined);
}

function restarts(fixture: LanesFixture): number {
  return fixture.lanes.stats().lanes.reduce((sum, lane) => sum + lane.restarts, 0);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve));
}
