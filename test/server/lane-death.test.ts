/**
 * The lanes' threads of a running server die again and again under traffic: what is in shared memory is served all the
 * time, nothing acknowledged is lost, nothing is torn, and afterwards every shard takes writes.
 */
import { expect, test } from 'vitest';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { CheckedClient } from './checked-client.js';
import { Ledger } from './ledger.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

const DEATHS = FULL ? 1_000 : 100;
const LANES = 4;
const WRITERS = 6;
const LOADERS = 1;
const READERS = 6;
const IDS = 2_000;
const LINES_MAX = 200;
/** Between two deaths, so that there is always work to be killed in. */
const WRITES_BETWEEN_MAX = 12;

/** What the server's log says of its lanes. Read on from where it was read to. */
class LaneLog {
  readonly #server: ServerProcess;
  #read = 0;
  readonly down = new Set<number>();
  readonly manners = new Map<string, number>();
  orders = 0;
  /** Of those, for threads that were never seen in lmdb's native code, so that nothing kept it and them apart. */
  unguarded = 0;
  deaths = 0;

  constructor(server: ServerProcess) {
    this.#server = server;
  }

  follow(): this {
    const { log } = this.#server;
    for (; this.#read < log.length; this.#read++) {
      const { msg, kind, lane, manner, entered } = log[this.#read] ?? {};
      if (msg === 'ordered') {
        this.orders++;
        if (!(Number(entered) > 0)) this.unguarded++;
        this.manners.set(String(manner), (this.manners.get(String(manner)) ?? 0) + 1);
      }
      if (kind === 'down') {
        this.deaths++;
        this.down.add(Number(lane));
      }
      if (kind === 'restarted') this.down.delete(Number(lane));
    }
    return this;
  }
}

test(`the server goes on while its lanes die (${DEATHS} deaths)`, async () => {
  console.log(`seed ${SEED}`);
  const server = await startServerProcess({
    nodeArgs: ['--import', new URL('lane-killer.js', import.meta.url).href],
    env: { HEADRACE_LANES: String(LANES), HEADRACE_TEST_SEED: String(SEED) },
  });
  const ledger = new Ledger();
  // A write that was under way when its lane died is answered with 503: it is not known whether it was applied.
  const writer = new CheckedClient(server.url, ledger, [503]);
  const reader = new CheckedClient(server.url, ledger, [503]);
  await writer.declare();
  const ids = Array.from({ length: IDS }, (_, at) => `${at % 3 === 0 ? 'clock' : 'doc'}-${at}`);
  await writer.load(ids);

  const lanes = new LaneLog(server);
  const hitsWhileDown = await killUnderTraffic(server, lanes, ledger, { ids, writer, reader });
  expect(writer.faults).toEqual([]);
  expect(reader.faults).toEqual([]);
  expect(server.running).toBe(true);
  console.log(
    `${lanes.deaths} deaths (orders: ${[...lanes.manners].map(([manner, count]) => `${manner} ${count}`).join(', ')}), ` +
      `${ledger.acknowledged} acknowledged writes, ` +
      `${reader.reads} checked reads (${reader.hits} from shared memory, ${hitsWhileDown} of those beside a dead lane), ` +
      `refused: ${writer.refused.get(503) ?? 0} writes, ${reader.refused.get(503) ?? 0} reads`,
  );
  expect(hitsWhileDown).toBeGreaterThan(0);
  // All had started, and opened the store for that.
  expect(lanes.unguarded).toBe(0);

  await expectWhole(server, ledger, ids);
  expect(await server.stop()).toEqual({ code: 0, signal: null });
}, 900_000);

interface Traffic {
  readonly ids: readonly string[];
  readonly writer: CheckedClient;
  readonly reader: CheckedClient;
}

/** Resolves, when enough have died, to the number of reads served from shared memory while a lane was down. */
async function killUnderTraffic(
  server: ServerProcess,
  lanes: LaneLog,
  ledger: Ledger,
  { ids, writer, reader }: Traffic,
): Promise<number> {
  const random = new Seeded(SEED);
  /** Orders that the next signal waits for. */
  let awaited = 0;
  let nextKillAt = 0;
  let hitsWhileDown = 0;
  const kill = () => {
    // All that were to die have died, and have a successor that is up.
    if (lanes.deaths < lanes.orders || lanes.orders < awaited || lanes.down.size > 0) return;
    if (ledger.acknowledged < nextKillAt) return;
    awaited = lanes.orders + 1;
    nextKillAt = ledger.acknowledged + random.below(WRITES_BETWEEN_MAX);
    server.signal('SIGUSR2');
  };
  const run = async (step: () => Promise<unknown>) => {
    while (lanes.follow().deaths < DEATHS && server.running) {
      kill();
      await step().catch(error => explain(server, lanes, error));
    }
  };
  const readOne = async () => {
    const isDown = lanes.down.size > 0;
    if ((await reader.get(random.pick(ids))) && isDown && lanes.down.size > 0) hitsWhileDown++;
  };
  await Promise.all([
    ...Array.from({ length: WRITERS }, () => run(() => writer.put(random.pick(ids)))),
    ...Array.from({ length: LOADERS }, () =>
      run(() => writer.load(Array.from({ length: LINES_MAX }, () => random.pick(ids)))),
    ),
    ...Array.from({ length: READERS }, () => run(readOne)),
    run(() => reader.check(Array.from({ length: 100 }, () => random.pick(ids)))),
  ]);
  return hitsWhileDown;
}

/** A connection that breaks is a fault of the server: says what became of that. */
async function explain(server: ServerProcess, lanes: LaneLog, error: unknown): Promise<never> {
  const isAlive = await fetch(`${server.adminUrl}/livez`).then(
    () => true,
    () => false,
  );
  const ended = isAlive ? 'it is alive' : `it ended: ${JSON.stringify(await server.exited)}`;
  const log = server.log.slice(-20).map(line => JSON.stringify(line));
  throw new Error(
    `the server broke a connection after ${lanes.follow().deaths} deaths; ${ended}\n${log.join('\n')}\n${server.errorOutput.slice(-2000)}`,
    { cause: error },
  );
}

/** Every record is there, can be written, and is then served from shared memory: so in every shard. */
async function expectWhole(server: ServerProcess, ledger: Ledger, ids: readonly string[]): Promise<void> {
  // The last of the dead lanes may still be on its way up: calls wait for it.
  const after = new CheckedClient(server.url, ledger);
  await after.check(ids);
  for (let at = 0; at < ids.length; at += 50)
    await Promise.all(ids.slice(at, at + 50).map(id => after.put(id)));
  for (const id of ids) await after.get(id);
  expect(after.faults).toEqual([]);
  expect(after.reads).toBe(2 * ids.length);
  expect(after.hits).toBe(ids.length);
}
