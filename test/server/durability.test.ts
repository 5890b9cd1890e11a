/**
 * `kill -9` in the middle of writes, again and again on one data directory: no acknowledged record is lost, every
 * record is whole, no version goes back.
 */
import { expect, test } from 'vitest';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { CheckedClient } from './checked-client.js';
import { Ledger } from './ledger.js';
import { makeDataDir, type ServerProcess, startServerProcess } from './server-process.js';

const ROUNDS = FULL ? 100 : 4;
const WRITERS = 6;
const LOADERS = 2;
const READERS = 2;
const IDS = 3_000;
const LINES_MAX = 400;
const ACKNOWLEDGED_MAX = 3_000;

test(`kill -9 during writes loses nothing acknowledged (${ROUNDS} rounds)`, async () => {
  console.log(`seed ${SEED}`);
  const random = new Seeded(SEED);
  const ledger = new Ledger();
  const dataDir = makeDataDir();
  let checked = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const server = await startServerProcess({ dataDir });
    const client = new CheckedClient(server.url, ledger);
    await client.declare();
    await client.check(ledger.ids);
    checked += client.reads;
    await killDuringWrites(server, client, ledger, random);
    expect(client.faults, `round ${round} of seed ${SEED}`).toEqual([]);
  }
  const server = await startServerProcess({ dataDir });
  const client = new CheckedClient(server.url, ledger);
  await client.check(ledger.ids);
  expect(client.faults).toEqual([]);
  // What a fresh client writes still wins over all that was there before.
  expect(await client.put('clock-0')).toBe(true);
  expect(await client.put('doc-0')).toBe(true);
  await client.check(ledger.ids);
  expect(client.faults).toEqual([]);
  console.log(
    `${ROUNDS} kills, ${ledger.acknowledged} acknowledged writes, ${checked + client.reads} records checked`,
  );
  expect(ledger.acknowledged).toBeGreaterThan(ROUNDS * 10);
}, 900_000);

/** Kills the server as soon as a number of writes are acknowledged, while others are on their way. */
async function killDuringWrites(
  server: ServerProcess,
  client: CheckedClient,
  ledger: Ledger,
  random: Seeded,
): Promise<void> {
  const enough = ledger.acknowledged + 1 + random.below(ACKNOWLEDGED_MAX);
  const someId = () => `${random.pick(['doc', 'clock'])}-${random.below(IDS)}`;
  const run = async (step: () => Promise<unknown>) => {
    while (server.running) {
      // Broken off by the kill: it is not known whether it was done, and either is right.
      await step().catch(() => undefined);
      if (ledger.acknowledged >= enough) void server.kill();
    }
  };
  const clients = [
    ...Array.from({ length: WRITERS }, () => run(() => client.put(someId()))),
    ...Array.from({ length: LOADERS }, () =>
      run(() => client.load(Array.from({ length: 1 + random.below(LINES_MAX) }, someId))),
    ),
    ...Array.from({ length: READERS }, () => run(() => client.get(someId()))),
  ];
  await Promise.all(clients);
  await server.exited;
}
