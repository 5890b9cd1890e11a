/** The benchmark of scoring at its tiny size, so that it does not rot. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const BENCH = fileURLToPath(new URL('../../../native-free-bench/scoring.js', import.meta.url));

it('has a line for each way, packing and metric', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, '--tiny']);
  expect(stdout.trimEnd().split('\n')).toHaveLength(27);
  expect(stdout).toMatch(/^int8 l2, wasm, shared +p50 \d+\.\d{3} ms/m);
});
