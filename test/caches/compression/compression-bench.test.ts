/** The benchmark of compression at its tiny size, so that it does not rot. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const BENCH = fileURLToPath(new URL('../../../native-free-bench/compression.js', import.meta.url));

it('has a line for each size and way, and for each storage of vectors', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, '--tiny']);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.length).toBeGreaterThanOrEqual(2 * 7 + 3 * 4);
  const left = /^16 KiB, entry +(\d+) % left {3}compress +\d+\.\d µs {3}expand +\d+\.\d µs$/m.exec(stdout);
  expect(Number(left?.[1])).toBeGreaterThan(20);
  expect(Number(left?.[1])).toBeLessThan(70);
  expect(stdout).toMatch(/^float32, entry +100 % left/m);
});
