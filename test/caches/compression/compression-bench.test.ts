/** The benchmarks of compression at their tiny sizes, so that they do not rot. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { describeWithRedis } from '../../support/redis-server.js';

async function tiny(name: string): Promise<string> {
  const path = fileURLToPath(new URL(`../../../native-free-bench/${name}.js`, import.meta.url));
  return (await promisify(execFile)(process.execPath, [path, '--tiny'])).stdout;
}

it('has a line for each size and way, and for each storage of vectors', async () => {
  const stdout = await tiny('compression');
  expect(stdout.trimEnd().split('\n').length).toBeGreaterThanOrEqual(2 * 7 + 3 * 4);
  const left = /^16 KiB, entry +(\d+) % left {3}compress +\d+\.\d µs {3}expand +\d+\.\d µs$/m.exec(stdout);
  expect(Number(left?.[1])).toBeGreaterThan(20);
  expect(Number(left?.[1])).toBeLessThan(70);
  expect(stdout).toMatch(/^float32, entry +100 % left/m);
});

describeWithRedis('through HTTP', () => {
  it('has a line for each cache, and that of the compressed one is smaller', async () => {
    const stdout = await tiny('compression-http');
    const [plain = 0, compressed = 0] = [...stdout.matchAll(/in Redis (\d+\.\d) KiB/g)].map(([, kib]) =>
      Number(kib),
    );
    expect(compressed).toBeGreaterThan(1);
    expect(compressed).toBeLessThan(0.75 * plain);
  }, 30_000);
});
