/** The benchmarks of scoring at their tiny sizes, so that they do not rot. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const pathOf = (name: string) =>
  fileURLToPath(new URL(`../../../native-free-bench/${name}.js`, import.meta.url));

it('has a line for each way, packing and metric', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [pathOf('scoring'), '--tiny']);
  expect(stdout.trimEnd().split('\n')).toHaveLength(27);
  expect(stdout).toMatch(/^int8 l2, wasm, shared +p50 \d+\.\d{3} ms/m);
});

it('has a line for each storage, number of candidates and question, through HTTP', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [pathOf('scoring-http'), '--tiny']);
  expect(stdout.trimEnd().split('\n')).toHaveLength(18);
  expect(stdout).toMatch(/^int8 × 100, score +p50 \d+\.\d{3} ms .* -?\d+\.\d{3} ms beyond the lookup$/m);
}, 30_000);
