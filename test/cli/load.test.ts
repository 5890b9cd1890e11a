/** `headrace load` and `headrace get` against the real server. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeDataDir, type ServerProcess, startServerProcess } from '../server/server-process.js';
import { headrace, type Told } from './command-line.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CLI = join(ROOT, 'dist/src/cli.js');
const SAMPLE = join(ROOT, 'examples/debian-packages.ndjson.gz');
const VIEW = readFileSync(join(ROOT, 'examples/packages.view.json'), 'utf8');
const SUMMARY =
  /^([\d,]+) records in [\d.]+ s \([\d,]+\/s\): ([\d,]+) applied, ([\d,]+) stale, ([\d,]+) failed/;

let server: ServerProcess;
let directory: string;

beforeAll(async () => {
  directory = makeDataDir();
  server = await startServerProcess();
  const response = await fetch(`${server.url}/v1/views/packages`, { method: 'PUT', body: VIEW });
  expect(response.status).toBe(201);
});

function load(file: string, ...flags: string[]): Promise<Told> {
  return headrace(['load', file, '--view', 'packages', '--url', server.url, ...flags]);
}

function get(...args: string[]): Promise<Told> {
  return headrace(['get', '--view', 'packages', '--url', server.url, ...args]);
}

function fileOf(name: string, bytes: string | Uint8Array): string {
  const file = join(directory, name);
  writeFileSync(file, bytes);
  return file;
}

/** What the summary counts: all, applied, stale, failed. */
function counts({ out }: Told): (string | undefined)[] {
  return SUMMARY.exec(out)?.slice(1, 5) ?? [out];
}

describe('load', () => {
  it('takes the sample, gzipped or not, and says what became of it', async () => {
    const plain = fileOf('sample.ndjson', gunzipSync(readFileSync(SAMPLE)));
    for (const file of [SAMPLE, plain]) {
      const told = await load(file, '--flat');
      expect(counts(told)).toEqual(['5,000', '5,000', '0', '0']);
      expect({ code: told.code, error: told.error }).toEqual({ code: 0, error: '' });
    }
  });

  it('counts what was there in a newer version already', async () => {
    const line = (version: number) =>
      `{"id":"versioned","version":${version},"features":{"size":${version}}}`;
    const told = await load(fileOf('stale.ndjson', [line(2), line(1)].join('\n')));
    expect(counts(told)).toEqual(['2', '1', '1', '0']);
    expect(told.code).toBe(0);
  });

  it('names bad lines by their number in the file, in order, and loads the others', async () => {
    const lines = Array.from({ length: 30_000 }, (_, at) =>
      JSON.stringify({ id: `line-${at + 1}`, size: at }),
    );
    lines[2] = '{"id":"x"';
    lines[3] = '';
    lines[19_999] = '{"id":"y","size":1.5,"installedSize":"2"}';
    lines[29_999] = '{"size":1}';
    // More than one batch, so that numbers are counted on.
    const file = fileOf('bad.ndjson', lines.map(line => line.padEnd(120)).join('\n'));
    const told = await load(file, '--flat');
    expect(told.error).toBe(
      [
        `${file}: line 3: , or } is wanted, not the end of the text (column 121, id)`,
        `${file}: line 20000: size 1.5 is not an integer; int64 is wanted; installedSize is a string; int64 is wanted`,
        `${file}: line 30000: id is missing`,
        '',
      ].join('\n'),
    );
    expect(counts(told)).toEqual(['29,999', '29,996', '0', '3']);
    expect(told.code).toBe(1);
    expect((await get('line-30', 'line-19999')).code).toBe(0);
  });

  it('shows the first hundred bad lines and counts all', async () => {
    const told = await load(fileOf('all-bad.ndjson', 'bad\n'.repeat(1_000)));
    expect(told.error.trim().split('\n')).toHaveLength(100);
    expect(told.out).toMatch(/1,000 failed \(the first 100 are shown\)\n$/);
    expect(told.code).toBe(1);
  });

  it('names --flat when it was forgotten, and cuts what is wrong with a line', async () => {
    const told = await load(SAMPLE);
    const lines = told.error.trim().split('\n');
    expect(lines.pop()).toBe(
      'headrace: lines have no "features"; where the features are keys of the line itself, load with --flat',
    );
    expect(lines).toHaveLength(100);
    expect(lines[0]?.startsWith(`${SAMPLE}: line 1: version is a string; `)).toBe(true);
    for (const line of lines) expect(line).toMatch(/: line \d+: .{200}…$/);
    expect(told.out).toMatch(/ 5,000 failed \(the first 100 are shown\)\n$/);
    expect(told.code).toBe(1);
  });

  it('loads nothing with --flat when the features are not keys of the line', async () => {
    const file = fileOf('nested.ndjson', '{"id":"nested","features":{"size":1}}\n');
    expect(await load(file, '--flat')).toMatchObject({
      code: 2,
      out: '',
      error: `headrace: ${file}: line 1 has its features under "features"; load without --flat\n`,
    });
    expect((await load(file)).out).toMatch(/^1 record in /);
  });

  it('says what is wrong with a broken archive, and what was loaded before that was found', async () => {
    const whole = readFileSync(SAMPLE);
    const middle = Math.floor(whole.length / 2);
    const cut = await load(fileOf('cut.ndjson.gz', whole.subarray(0, middle)), '--flat');
    expect(cut).toEqual({
      code: 2,
      out: '',
      error: `headrace: ${join(directory, 'cut.ndjson.gz')} ends in the middle: it was cut off\n`,
    });
    const damaged = Buffer.from(whole);
    damaged.fill(0, middle, middle + 1000);
    for (const bytes of [damaged, Buffer.from('{"id":"a"}\n')]) {
      const file = fileOf('damaged.ndjson.gz', bytes);
      const told = await load(file, '--flat');
      expect(told.error).toBe(`headrace: ${file} is broken, or not gzipped although its name ends in .gz\n`);
      expect(told.code).toBe(2);
    }
    const records = Array.from({ length: 60_000 }, (_, at) =>
      `{"id":"long-${at}","title":"${at}"}`.padEnd(100),
    );
    const long = gzipSync(records.join('\n'));
    const later = await load(fileOf('later.ndjson.gz', long.subarray(0, long.length - 9)), '--flat');
    expect(later.error).toMatch(/cut off\n[\d,]{6} records before that were loaded\n$/);
  });

  it('takes an empty file and an archive of several parts', async () => {
    for (const file of [fileOf('empty.ndjson', ''), fileOf('empty.ndjson.gz', gzipSync(''))])
      expect(await load(file)).toEqual({ code: 0, out: '0 records: the file is empty\n', error: '' });
    const part = (id: string) => gzipSync(`{"id":"${id}"}\n`);
    const told = await load(fileOf('parts.ndjson.gz', Buffer.concat([part('p1'), part('p2')])), '--flat');
    expect(counts(told)).toEqual(['2', '2', '0', '0']);
  });

  it('leaves out a line of 100 MB and does not hold it', async () => {
    const file = join(directory, 'long.ndjson');
    const handle = openSync(file, 'w');
    writeSync(handle, '{"id":"before"}\n{"id":"long","title":"');
    for (let at = 0; at < 100; at++) writeSync(handle, 'x'.repeat(1_000_000));
    writeSync(
      handle,
      `"}\n{"id":"after"}\n{"id":"longer than a line may be","title":"${'y'.repeat(1 << 20)}"}\n`,
    );
    closeSync(handle);
    const peak = 'data:text/javascript,process.on("exit",()=>console.log(process.resourceUsage().maxRSS))';
    const args = ['load', file, '--view', 'packages', '--url', server.url, '--flat'];
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', peak, CLI, ...args], {
      encoding: 'utf8',
    });
    expect(stderr).toBe(
      `${file}: line 2: is longer than 16 MiB\n` +
        `${file}: line 4: is longer than 1048576 bytes (HEADRACE_LINE_BYTES_MAX)\n`,
    );
    const [summary, kibibytes] = stdout.trim().split('\n');
    expect(summary).toMatch(/^4 records in .* 2 applied, 0 stale, 2 failed$/);
    expect(Number(kibibytes)).toBeLessThan(200_000);
    expect(status).toBe(1);
  });

  it('says how to declare a view that is not there', async () => {
    const told = await headrace(['load', SAMPLE, '--view', 'nope', '--url', server.url]);
    expect(told).toEqual({
      code: 2,
      out: '',
      error: `headrace: there is no view nope; declare it first: PUT ${server.url}/v1/views/nope\n`,
    });
  });

  it('shows a bar on a terminal, and clears it', async context => {
    if (spawnSync('script', ['--version']).status !== 0)
      return context.skip('there is no script command here');
    const file = fileOf('one-bad.ndjson', '{"id":"a"}\nbad\n{"id":"b"}\n');
    const command = [process.execPath, CLI, 'load', file, '--view', 'packages'];
    const typed = [...command, '--flat', '--url', server.url].map(word => `'${word}'`).join(' ');
    const { stdout } = spawnSync('script', ['-qec', typed, '/dev/null'], { encoding: 'utf8' });
    const lines = stdout.split('\r\n');
    expect(lines[0]).toMatch(/one-bad\.ndjson: line 2: a value is wanted, not b \(column 1\)$/);
    expect(lines[1]).toMatch(/█ 100% \| 3 records .*3 records in [^█]*1 failed$/);
    expect(lines).toHaveLength(3);
  });
});

describe('get', () => {
  beforeAll(async () => {
    const lines = ['a', 'b/ü%', 'c'].map(id =>
      JSON.stringify({ id, title: `of ${id}`, size: 7, version: 1 }),
    );
    await load(fileOf('get.ndjson', lines.join('\n')), '--flat');
  });

  it('prints a record', async () => {
    const { code, out, error } = await get('b/ü%');
    expect({ code, error }).toEqual({ code: 0, error: '' });
    expect(out).toMatch(
      /^\{\n {2}"view": "packages",\n {2}"id": "b\/ü%",\n {2}"version": \d+,\n {2}"features": \{\n/,
    );
    expect(JSON.parse(out)).toMatchObject({
      id: 'b/ü%',
      features: { title: 'of b/ü%', size: 7, host: null },
    });
  });

  it('prints several in the order asked for, with the features asked for', async () => {
    const { code, out, error } = await get('c', 'a', 'c', '--features', 'size,title');
    expect({ code, error }).toEqual({ code: 0, error: '' });
    const records = out.split(/(?<=^\})\n/m).filter(text => text !== '');
    expect(records.map(text => JSON.parse(text))).toMatchObject([
      { id: 'c', features: { size: 7, title: 'of c' } },
      { id: 'a', features: { size: 7, title: 'of a' } },
      { id: 'c', features: { size: 7, title: 'of c' } },
    ]);
    expect(records[0]).toContain('  "features": {\n    "size": 7,\n    "title": "of c"\n  }');
  });

  it('names what is missing, and leaves with 1', async () => {
    const one = await get('none');
    expect(one).toEqual({ code: 1, out: '', error: 'headrace: view packages has no record none\n' });
    const { code, out, error } = await get('a', 'none', 'c');
    expect({ code, error }).toEqual({ code: 1, error: 'headrace: view packages has no record none\n' });
    expect(out.match(/"id"/g)).toHaveLength(2);
  });

  it('tells what cannot be asked', async () => {
    const unknown = await get('a', '--features', 'size,weight');
    expect(unknown).toEqual({
      code: 2,
      out: '',
      error:
        'headrace: 1 of the features cannot be selected from view packages\n' +
        '  features[1] view packages has no feature weight\n',
    });
    const noView = await headrace(['get', 'a', '--view', 'nope', '--url', server.url]);
    expect(noView).toEqual({ code: 2, out: '', error: 'headrace: there is no view nope\n' });
    const noServer = await headrace(['get', 'a', '--view', 'packages', '--url', server.adminUrl]);
    expect(noServer.code).toBe(2);
  });
});
