/** The commands `bench` and `gate` as processes, against a stub: exit codes, messages, files. With headrace built, all scenarios. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Report } from '../../native-free-bench/report/report.js';
import { type Server, startServer } from '../../native-free-bench/servers/child.js';

const pathOf = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const BENCH = pathOf('../../native-free-bench/bench.js');
const GATE = pathOf('../../native-free-bench/gate.js');
const STUB = pathOf('./stub-server.js');
const HEADRACE = pathOf('../../src/cli.js');

let out: string;
let healthy: Server;
let failing: Server;

beforeAll(async () => {
  out = mkdtempSync(join(tmpdir(), 'headrace-bench-test-'));
  healthy = await startServer('stub', [STUB]);
  failing = await startServer('stub', [STUB, '503']);
});

afterAll(async () => {
  await Promise.all([healthy.stop(), failing.stop()]);
  rmSync(out, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[]): Promise<Ended> {
  return new Promise(resolve => {
    execFile(process.execPath, [command, '--out', out, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

function quick(server: Server, scenario = 'single-hit'): string[] {
  const url = `http://127.0.0.1:${server.port}`;
  return ['--size', 'tiny', '--duration', '200ms', '--url', url, '--scenario', scenario];
}

test('the gate passes when every threshold holds', async () => {
  const ended = await run(GATE, ['max<60s', 'rate<=0', 'hit_ratio>0.7', 'rps>1', ...quick(healthy)]);
  expect(ended.stderr).not.toMatch(/Error/);
  expect(ended.stdout.match(/✓/g)?.length).toBe(8);
  expect(ended.stdout).toMatch(/✓ rate<=0 {2}single-hit\/json: 0/);
  expect(ended.stdout).not.toContain('✗');
  expect(ended.code).toBe(0);
});

test('the gate ends with 99 when one is crossed, and says which and how far', async () => {
  const ended = await run(GATE, ['p(95)<0us', 'rate<0.01', ...quick(healthy, 'mixed')]);
  expect(ended.stdout).toMatch(/✗ p\(95\)<0us {2}mixed: [0-9.]+ (µs|ms)/);
  expect(ended.stdout).toMatch(/✓ rate<0.01/);
  expect(ended.code).toBe(99);
});

test('errors cross the gate', async () => {
  const ended = await run(GATE, ['rate<0.5', ...quick(failing, 'mixed')]);
  expect(ended.stdout).toMatch(/✗ rate<0.5 {2}mixed: 0\.[78]/);
  expect(ended.code).toBe(99);
});

test('thresholds come from a file, by scenario', async () => {
  const file = join(out, 'gates.json');
  writeFileSync(file, JSON.stringify({ '*': ['rate<0.01'], mixed: ['max<60s'] }));
  const ended = await run(GATE, ['--file', file, ...quick(healthy, 'mixed')]);
  expect(ended.stdout.match(/✓/g)?.length).toBe(2);
  expect(ended.code).toBe(0);
});

test.each([
  [['p(95)<5'], /needs a unit/],
  [['p(95)<5ms', 'nonsense'], /should look like/],
  [['nowhere:rate<1'], /no scenario nowhere/],
  [['rate<1', '--scenario', 'nowhere'], /no scenario nowhere/],
  [['rate<1', '--size', 'huge'], /tiny, small, full/],
  [['rate<1', '--rate', '0'], /above 0/],
  [['rate<1', '--duration', '10'], /10s/],
  [['rate<1', '--url', 'https://x'], /http:\/\/HOST:PORT/],
  [['rate<1', '--pid', '1'], /goes with --url/],
  [['rate<1', '--unknown'], /unknown option/],
  [['--file', '/nonexistent'], /cannot be read/],
  [[], /no thresholds/],
])('the gate ends with 2 at %j', async (args, message) => {
  const ended = await run(GATE, args);
  expect(ended.stderr).toMatch(message);
  expect(ended.stderr).not.toMatch(/\n {4}at /);
  expect(ended.code).toBe(2);
});

test('a server that cannot be reached is told in one line', async () => {
  const ended = await run(BENCH, ['single-hit', '--url', 'http://127.0.0.1:1']);
  expect(ended.stderr).toMatch(/ECONNREFUSED/);
  expect(ended.stderr).not.toMatch(/\n {4}at /);
  expect(ended.code).toBe(1);
});

test('the bench writes its report and histograms, and leaves out what needs a server of its own', async () => {
  const json = join(out, 'deep', 'er', 'report.json');
  const names = ['single-miss', 'batch', 'load'];
  const [size, tiny, duration, time, url, at] = quick(healthy);
  const flags = [size, tiny, duration, time, url, at].map(String);
  const ended = await run(BENCH, [...names, ...flags, '--json', json, '--seed', '7', '--rate', '500']);
  expect(ended.code).toBe(0);
  expect(ended.stderr).toMatch(/single-miss: skipped/);
  const report = JSON.parse(readFileSync(json, 'utf8')) as Report;
  expect(report).toMatchObject({
    schema: 1,
    settings: { seed: 7, rate: 500 },
    skipped: [{ name: 'single-miss' }],
  });
  const cases = report.cases.map(({ scenario, variant }) => `${scenario}/${variant}`);
  expect(cases).toEqual(['batch/flatbuffers', 'batch/json', 'load/']);
  const { open } = report.cases[0] ?? {};
  expect(open?.counts.responses).toBe(open?.counts.arrivals);
  expect(open?.counts.responses).toBeGreaterThan(50);
  expect(open?.hitRatio).toBe(1);
  expect(open?.stagesUs).toMatchObject({ total: { percentiles: { 50: 12 } } });
  expect(readdirSync(out)).toContain('batch-flatbuffers.hgrm');
  expect(readFileSync(join(out, 'batch-json.hgrm'), 'utf8')).toMatch(/Value\s+Percentile\s+TotalCount/);
});

test('--list names every scenario', async () => {
  const { stdout, code } = await run(BENCH, ['--list']);
  for (const name of ['single-hit', 'zipf', 'restart', 'fastify-ioredis']) expect(stdout).toContain(name);
  expect(code).toBe(0);
});

test.runIf(existsSync(HEADRACE))('every scenario runs at its tiny size', { timeout: 240_000 }, async () => {
  const ended = await run(BENCH, ['--size', 'tiny', '--duration', '300ms']);
  expect(ended.stderr).not.toMatch(/Error/);
  expect(ended.code).toBe(0);
  const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as Report;
  const ran = new Set(
    [...report.cases, ...report.skipped].map(each => ('scenario' in each ? each.scenario : each.name)),
  );
  expect([...ran].filter(name => !name.includes('/'))).toHaveLength(14);
  // What needs a Redis or a MongoDB may be left out where there is none.
  expect(report.skipped.filter(({ name }) => !/^(tiers\/|cache-stampede$)/.test(name))).toEqual([]);
  const singles = report.cases.map(({ variant }) => variant).filter(variant => variant.startsWith('single-'));
  expect(singles).toEqual(expect.arrayContaining(['single-l1', 'single-lmdb-record']));
  for (const { variant, open } of report.cases.filter(({ scenario }) => scenario === 'tiers')) {
    expect(open?.hitRatio, variant).toBeCloseTo(variant.endsWith('-l1') ? 1 : 0, 1);
  }
  for (const { scenario, variant, open, clients } of report.cases) {
    // A busy machine is at times later than the deadline, which that scenario is about.
    if (scenario === 'cache-stale') continue;
    expect((open ?? clients)?.errorRate ?? 0, `${scenario}/${variant}`).toBe(0);
  }
  const clientsOf = (name: string) =>
    report.cases.find(each => `${each.scenario}/${each.variant}` === name)?.clients;
  expect(clientsOf('cache-hit-ratio/80-20')?.hitRatio).toBeGreaterThan(0.8);
  expect(clientsOf('cache-hit-ratio/head-queries')?.hitRatio).toBeGreaterThan(0.7);
  expect(clientsOf('cache-load/crowd')?.counts.responses).toBeGreaterThan(500);
  for (const { figures } of report.cases.filter(({ scenario }) => scenario === 'cache-stampede'))
    expect(figures).toMatchObject([{ metric: 'origin_calls', value: 1 }]);
});
