import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { recordVersion, verifyRecord } from '../../src/views/record-codec.js';
import { openTestLmdb } from './lmdb-fixture.js';

const ROUNDS = Number(
  process.env['HEADRACE_TEST_KILLS'] ?? (process.env['HEADRACE_TEST_FULL'] === '1' ? 100 : 5),
);
const WRITER = fileURLToPath(new URL('./kill-writer.js', import.meta.url));

let child: ChildProcess | undefined;

afterEach(() => {
  child?.kill('SIGKILL');
});

describe('a process that is killed while it writes', () => {
  it(
    `has lost no acknowledged record (${ROUNDS} rounds)`,
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'headrace-kill-'));
      const acknowledged = new Map<string, number>();
      for (let round = 1; round <= ROUNDS; round++) {
        await writeAndKill(directory, round, acknowledged);
        // In a process of its own each time, as after a real crash.
        const { environment, tier } = await openTestLmdb(directory);
        const ids = [...acknowledged.keys()];
        const values = tier.getMany(ids.map(id => storageKey(1, id)));
        ids.forEach((id, index) => {
          const value = values[index];
          expect(value !== undefined && verifyRecord(value), `${id} is whole after round ${round}`).toBe(
            true,
          );
          expect(recordVersion(value as Uint8Array)).toBeGreaterThanOrEqual(acknowledged.get(id) as number);
        });
        await environment.close();
      }
      expect(acknowledged.size).toBeGreaterThan(ROUNDS * 10);
      rmSync(directory, { recursive: true, force: true });
    },
    30_000 + ROUNDS * 5_000,
  );
});

/** Each line of the child's output is a batch that was acknowledged: ids `from` to `to`, at a version. */
async function writeAndKill(
  directory: string,
  round: number,
  acknowledged: Map<string, number>,
): Promise<void> {
  const process_ = spawn(process.execPath, [WRITER, directory, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = process_;
  const exited = new Promise(resolve => process_.once('exit', resolve));
  const killAfter = 5 + ((round * 7) % 23);
  let lines = 0;
  for await (const line of createInterface({ input: process_.stdout })) {
    const [from = 0, to = 0, version = 0] = line.split(' ').map(Number);
    for (let n = from; n < to; n++)
      acknowledged.set(`id-${n}`, Math.max(version, acknowledged.get(`id-${n}`) ?? 0));
    if (++lines === killAfter) process_.kill('SIGKILL');
  }
  await exited;
  expect(process_.signalCode).toBe('SIGKILL');
}
