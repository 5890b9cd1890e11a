/** `headrace doctor`: what it says of the configuration, the machine and the disk, and how it says it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { examine, reportJson, reportText } from '../../src/cli/doctor.js';
import { checkMachine, type Machine } from '../../src/cli/doctor-machine.js';
import { type Given, readConfig } from '../../src/config.js';
import { lockDataDir } from '../../src/tiers/data-dir-lock.js';
import { Checklist, type Finding, judgeLatency, ok, worstOf } from '../../src/tiers/tier-check.js';
import { SEED } from '../base/seeded.js';
import { headrace } from './command-line.js';

const root = mkdtempSync(join(tmpdir(), 'headrace-doctor-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;
const newDirectory = () => join(root, String(directories++));

const SMALL = { HEADRACE_L1_BYTES: '16MiB', HEADRACE_LANES: '1', HEADRACE_DISK_FREE_MIN: '1MiB' };

function withSmall(options: Record<string, string> = {}): Record<string, string> {
  return { HEADRACE_DATA_DIR: newDirectory(), ...SMALL, ...options };
}

function found(findings: readonly Finding[], part: string, check: string): Finding {
  const finding = findings.find(other => other.part === part && other.check === check);
  if (finding === undefined) throw new Error(`no finding about ${part} ${check}`);
  return finding;
}

const statuses = (findings: readonly Finding[]) => new Set(findings.map(({ status }) => status));

describe('the command', () => {
  it('prints a line a check, aligned, and exits with 0 when there is no problem', async () => {
    const env = withSmall();
    const { code, out, error } = await headrace(['doctor'], env);
    expect({ code, error }).toEqual({ code: 0, error: '' });
    const [checks = '', summary] = out.split('\n\n');
    const lines = checks.split('\n').filter(line => /^(ok|warning)/.test(line));
    const columns = lines.map(line => /^\S+ +\S+( \S+)* {2,}\S+( \S+)*? {2,}/.exec(line)?.[0].length);
    expect(lines.length).toBeGreaterThan(8);
    expect(new Set(columns).size).toBe(1);
    expect(out).not.toContain('\u001b');
    expect(summary).toMatch(/^0 problems, \d+ warnings?, \d+ ok\n$/);
    expect(existsSync(env['HEADRACE_DATA_DIR'] ?? '')).toBe(false);
  });

  it('reads flags as serve does, and prints the same as JSON', async () => {
    const told = await headrace(['doctor', '--json', '--record-store', 'redis'], withSmall());
    const report = JSON.parse(told.out) as { problems: number; warnings: number; checks: Finding[] };
    expect(told.code).toBe(1);
    expect(report.problems).toBe(1);
    expect(found(report.checks, 'records', 'store')).toEqual({
      part: 'records',
      check: 'store',
      status: 'problem',
      says: 'HEADRACE_RECORD_STORE is redis, but HEADRACE_REDIS_URL is not set',
      change: 'set HEADRACE_REDIS_URL; or HEADRACE_RECORD_STORE=auto',
    });
  });

  it('finds what is wrong with options, all of it, and exits with 1', async () => {
    const env = { HEADRACE_POTR: '1', HEADRACE_LANES: '99', HEADRACE_REDIS_URL: 'redis://:sesame@h' };
    const { code, out, error } = await headrace(['doctor'], env);
    expect({ code, error }).toEqual({ code: 1, error: '' });
    expect(out).toContain("HEADRACE_POTR is no option; 'headrace config' lists them");
    expect(out).toContain("HEADRACE_LANES is '99', allowed: 1 to 64");
    expect(out).toContain('2 problems, 0 warnings, 0 ok');
    expect(out).not.toContain('sesame');
  });

  it('has help, and takes no unknown flag', async () => {
    const [help, unknown] = await Promise.all([
      headrace(['doctor', '--help']),
      headrace(['doctor', '--jsno']),
    ]);
    expect(help.out).toMatch(/^Usage: headrace doctor \[options\]/);
    expect(unknown.code).toBe(2);
  });

  it('is ended quietly by a pipe that closes', () => {
    const cli = new URL('../../src/cli.js', import.meta.url).pathname;
    const script = `"${process.execPath}" "${cli}" doctor | true`;
    const { stderr } = spawnSync('sh', ['-c', script], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], ...withSmall() },
    });
    expect(stderr).toBe('');
  });
});

describe('the report', () => {
  const findings = fc.array(
    fc.record({
      part: fc.constantFrom('redis', 'data directory'),
      check: fc.constantFrom('url', 'free space'),
      status: fc.constantFrom('ok' as const, 'warning' as const, 'problem' as const),
      says: fc.stringMatching(/^[a-z:]{1,30}$/),
      change: fc.stringMatching(/^[a-z]{1,9}(\n[a-z]{1,9}){0,2}$/),
    }),
    { minLength: 1, maxLength: 20 },
  );

  it('has a line for each finding and each step, the same with colours as without, and as JSON', () => {
    fc.assert(
      fc.property(findings, given => {
        const plain = reportText(given, false);
        const steps = given.reduce((sum, { change }) => sum + change.split('\n').length, 0);
        expect(plain.split('\n\n')[0]?.split('\n')).toHaveLength(given.length + steps);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are made of them
        expect(reportText(given, true).replace(/\u001b\[\d+m/g, '')).toBe(plain);
        expect(JSON.parse(reportJson(given)).checks).toEqual(given);
      }),
      { seed: SEED, numRuns: 100 },
    );
  });
});

describe('a check', () => {
  it('that does not end is a problem, and so is one that throws', async () => {
    const list = new Checklist('part', 20);
    expect(await list.check('silent', 'wake it', () => new Promise(() => undefined))).toBe(false);
    expect(await list.check('broken', 'mend it', () => Promise.reject(new Error('two\n lines')))).toBe(false);
    expect(await list.check('fine', '', () => ok('good'))).toBe(true);
    expect(list.findings).toEqual([
      {
        part: 'part',
        check: 'silent',
        status: 'problem',
        says: 'it hangs: no answer within 0.02 s',
        change: 'wake it',
      },
      { part: 'part', check: 'broken', status: 'problem', says: 'two lines', change: 'mend it' },
      { part: 'part', check: 'fine', status: 'ok', says: 'good' },
    ]);
  });

  it('of several servers tells of the worst', () => {
    const bad = (says: string) => ({ status: 'warning' as const, says, change: 'x' });
    expect(worstOf([['a:1', ok('good')]])).toEqual(ok('good'));
    expect(
      worstOf([
        ['a:1', ok('good')],
        ['b:1', ok('good')],
      ]),
    ).toEqual(ok('good (each of 2 servers)'));
    expect(
      worstOf([
        ['a:1', ok('good')],
        ['b:1', bad('old')],
        ['c:1', bad('older')],
      ]),
    ).toEqual({ status: 'warning', says: 'old (b:1); older (c:1)', change: 'x' });
  });
});

describe('latency', () => {
  const options = { timeoutMs: 40, option: 'HEADRACE_X', limitMs: 1_000 };
  /** Pings that wait for the clock. */
  const pings = (ms: number) => {
    let count = 0;
    const ping = () => {
      count++;
      if (ms === 0) return Promise.resolve();
      // In a turn of its own, so that it does not hold up the others' answers.
      return new Promise<void>(resolve => {
        setImmediate(() => {
          const until = performance.now() + ms;
          while (performance.now() < until);
          resolve();
        });
      });
    };
    return { ping, count: () => count };
  };

  it('is of 20 pings to each server, and a warning when it is a large part of what is waited for', async () => {
    const [near, far] = [pings(0), pings(6)];
    const verdict = await judgeLatency(
      [
        ['near:1', near.ping],
        ['far:1', far.ping],
      ],
      options,
    );
    expect([near.count(), far.count()]).toEqual([20, 20]);
    expect(verdict).toMatchObject({
      status: 'warning',
      says: expect.stringMatching(/slowest of 2 servers: far:1/),
    });
  });

  it('beyond the timeout names the option, and the pings end', async () => {
    const hung = pings(45);
    const verdict = await judgeLatency([['a:1', hung.ping]], { ...options, limitMs: 100 });
    expect(hung.count()).toBeLessThan(20);
    expect(verdict).toMatchObject({
      status: 'warning',
      change: expect.stringContaining('or raise HEADRACE_X'),
    });
  });
});

describe('the machine', () => {
  const gibibyte = 2 ** 30;
  const machine: Machine = { cores: 4, memoryBytes: 8 * gibibyte, openFilesMax: 20_000 };
  const check = (flags: Given, other: Partial<Machine> = {}) =>
    checkMachine(readConfig({}, flags), 1_000, { ...machine, ...other });

  it('that fits is ok', async () => {
    expect(statuses(await check({ lanes: '3' }))).toEqual(new Set(['ok']));
    expect(statuses(await check({ lanes: '1' }, { cores: 0.5, openFilesMax: undefined }))).toEqual(
      new Set(['ok']),
    );
  });

  it('with too few cores, too little memory or too few files gets options that fit it', async () => {
    const cores = found(await check({ lanes: '4' }), 'machine', 'cores');
    expect(cores).toMatchObject({ status: 'warning', change: 'HEADRACE_LANES=3' });
    const much = found(
      await check({ lanes: '1', l1Bytes: '4095MiB' }, { memoryBytes: gibibyte }),
      'machine',
      'memory',
    );
    expect(much.status).toBe('problem');
    const close = found(
      await check({ lanes: '1', l1Bytes: '1GiB' }, { memoryBytes: gibibyte * 1.1 }),
      'machine',
      'memory',
    );
    expect(close).toMatchObject({
      status: 'warning',
      change: 'HEADRACE_L1_BYTES=934MiB or less; or give it more memory',
    });
    const tiny = found(await check({ lanes: '1' }, { memoryBytes: 2 ** 26 }), 'machine', 'memory');
    expect(tiny).toMatchObject({ status: 'problem', change: expect.stringContaining('at least 704 MiB') });
    const files = found(await check({}, { openFilesMax: 1_024 }), 'machine', 'open files');
    expect(files).toMatchObject({
      status: 'warning',
      change: expect.stringContaining('HEADRACE_CONNECTIONS_MAX=824'),
    });
  });

  it('that does not give the shared memory is a problem', () => {
    const cli = new URL('../../src/cli.js', import.meta.url).pathname;
    // Enough for the process itself, which reserves much and uses little of it.
    const script = `ulimit -v 3000000; "${process.execPath}" "${cli}" doctor --json --l1-bytes 4095MiB`;
    const { stdout, status } = spawnSync('sh', ['-c', script], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HEADRACE_DATA_DIR: newDirectory(), HEADRACE_LANES: '1' },
    });
    expect(status).toBe(1);
    expect(found(JSON.parse(stdout).checks, 'machine', 'shared memory').status).toBe('problem');
  });
});

describe('the data directory', () => {
  const of = async (options: Record<string, string>, check: string) =>
    found(await examine(withSmall(options), {}), 'data directory', check);

  it('that is a file, or below one, is a problem', async () => {
    const file = newDirectory();
    writeFileSync(file, '');
    for (const path of [file, join(file, 'below')]) {
      const directory = await of({ HEADRACE_DATA_DIR: path }, 'directory');
      expect(directory).toMatchObject({ status: 'problem', says: `${file} is a file, not a directory` });
    }
  });

  it('that a server has is none, and stays the server’s', async () => {
    const path = newDirectory();
    const release = await lockDataDir(path);
    const lock = await of({ HEADRACE_DATA_DIR: path }, 'lock');
    expect(lock).toMatchObject({ status: 'ok', says: 'a server is running on it' });
    await expect(lockDataDir(path)).rejects.toThrow('in use');
    release();
  });

  it('is free again after the check', async () => {
    const path = newDirectory();
    mkdirSync(path);
    expect(await of({ HEADRACE_DATA_DIR: path }, 'lock')).toMatchObject({ status: 'ok', says: 'free' });
    (await lockDataDir(path))();
  });

  it('with too little space is a problem where records are kept, a warning where copies are', async () => {
    const much = { HEADRACE_DISK_FREE_MIN: '1TiB' };
    const { bavail, bsize } = statfsSync(root);
    expect(bavail * bsize).toBeLessThan(2 ** 40);
    expect((await of(much, 'free space')).status).toBe('problem');
    const redis = { HEADRACE_REDIS_URL: 'redis://127.0.0.1:1' };
    expect((await of({ ...much, ...redis }, 'free space')).status).toBe('warning');
    const copies = await of({ ...redis, HEADRACE_LOCAL_COPY_BYTES: '4TiB' }, 'free space');
    expect(copies.change).toContain('HEADRACE_LOCAL_COPY_BYTES');
  });

  it.skipIf(!existsSync('/dev/shm'))('in memory is a warning', async () => {
    const path = join('/dev/shm', `headrace-doctor-${process.pid}`);
    expect(await of({ HEADRACE_DATA_DIR: path }, 'file system')).toMatchObject({
      status: 'warning',
      says: expect.stringContaining('tmpfs: in memory'),
    });
  });
});

describe('the stores', () => {
  const redisUrl = 'redis://127.0.0.1:1';
  const mongodbUrl = 'mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50';
  const cases: readonly (readonly [Given, store: RegExp, coherence: RegExp])[] = [
    [{}, /^ok LMDB in HEADRACE_DATA_DIR, since neither/, /^ok one server/],
    [{ redisUrl }, /^ok Redis, since/, /^ok Redis tells/],
    [{ mongodbUrl }, /^ok MongoDB, since/, /^warning without Redis .* for 15s longer/],
    [{ redisUrl, mongodbUrl }, /^ok MongoDB, since/, /^ok Redis tells/],
    [{ redisUrl, recordStore: 'lmdb' }, /^ok LMDB, as/, /^warning servers that share this Redis/],
    [{ redisUrl, mongodbUrl, recordStore: 'redis' }, /^warning Redis, as .* not used/, /^ok Redis tells/],
    [{ recordStore: 'mongodb' }, /^problem .* HEADRACE_MONGODB_URL is not set/, /^warning without Redis/],
  ];

  it('are named, with why, and what they mean for servers beside this one', async () => {
    for (const [flags, ...expected] of cases) {
      const findings = await examine(withSmall(), flags);
      const [store, coherence] = expected;
      const said = (check: string) => {
        const { status, says } = found(findings, 'records', check);
        return `${status} ${says}`;
      };
      expect(said('store')).toMatch(store);
      expect(said('coherence')).toMatch(coherence);
    }
  });
});
