/** The command line without a server: help, options, mistakes. A mistake gets a sentence and 2, never a stack. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readDefinitions, readDefinitionsFile } from '../../src/caches/definitions-file.js';
import { optionsText } from '../../src/cli/print-options.js';
import { optionRows, readConfig } from '../../src/config.js';
import { CLI, headrace, type Told } from './command-line.js';

const HINT = '(--help lists what is allowed)\n';
const NO_SERVER = 'http://127.0.0.1:1';
const here = fileURLToPath(import.meta.url);
const directory = mkdtempSync(join(tmpdir(), 'headrace-test-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function mistake(error: string): Told {
  return { code: 2, out: '', error };
}

describe('help', () => {
  it('is there for every command, and is no error', async () => {
    const commands = ['serve', 'load', 'get', 'config'];
    const told = await Promise.all(
      [[], ...commands.map(name => [name])].map(at => headrace([...at, '--help'])),
    );
    for (const { code, error } of told) expect({ code, error }).toEqual({ code: 0, error: '' });
    const [all, serve, ...others] = told.map(({ out }) => out);
    for (const name of commands) expect(all).toContain(`  ${name} `);
    for (const { flag, environment } of optionRows) {
      expect(serve).toContain(`${flag} <value>`);
      expect(serve).toContain(environment);
    }
    for (const text of others) expect(text).toMatch(/^Usage: headrace /);
  });

  it.skipIf(process.platform === 'win32')('comes from the built file itself, as npx starts it', () => {
    expect(spawnSync(CLI, ['--help'], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });

  it('comes without a command too, as an error', async () => {
    const { code, out, error } = await headrace([]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(error).toMatch(/^Usage: headrace \[options\] \[command\]/);
  });

  it('tells the version', async () => {
    expect(await headrace(['--version'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });
});

describe('mistakes', () => {
  it('in options are told with what is allowed', async () => {
    const cases: readonly (readonly [readonly string[], string])[] = [
      [['frob'], `headrace: unknown command 'frob'\n${HINT}`],
      [['serve', '--prot', '1'], `headrace: unknown option '--prot'\n(Did you mean --port?)\n${HINT}`],
      [['serve', '--port'], `headrace: option '--port <value>' argument missing\n${HINT}`],
      [['serve', '--port', '70000'], "headrace: --port is '70000', allowed: 0 to 65535\n"],
      [['serve', '--l1-bytes', '1MiB', '--lanes', '0'], "headrace: --lanes is '0', allowed: 1 to 64\n"],
      [['load', here], `headrace: required option '--view <name>' not specified\n${HINT}`],
      [['get', '--view', 'docs'], `headrace: missing required argument 'id'\n${HINT}`],
    ];
    const told = await Promise.all(cases.map(([args]) => headrace(args)));
    expect(told).toEqual(cases.map(([, error]) => mistake(error)));
  });

  it('in the environment are told all at once', async () => {
    const environment = { HEADRACE_PORT: 'x', HEADRACE_POTR: '1' };
    const { code, error } = await headrace(['config'], environment);
    expect(code).toBe(2);
    expect(error).toBe(
      "headrace: HEADRACE_POTR is no option; 'headrace config' lists them\n" +
        "HEADRACE_PORT is 'x', allowed: 0 to 65535\n",
    );
  });

  it('in files and addresses are told before anything is sent', async () => {
    const load = (file: string, url: string) => headrace(['load', file, '--view', 'docs', '--url', url]);
    const told = await Promise.all([
      load('/no/such/file', NO_SERVER),
      load(`${here}/x`, NO_SERVER),
      load('/', NO_SERVER),
      load(here, '127.0.0.1:8080'),
      load(here, 'ftp://127.0.0.1'),
      load(here, NO_SERVER),
      headrace(['get', 'a', '--view', 'docs', '--url', NO_SERVER]),
    ]);
    const example = 'it looks like http://127.0.0.1:8080';
    const start = `start one with 'headrace serve', or say where it is with --url`;
    expect(told).toEqual(
      [
        'headrace: there is no file /no/such/file\n',
        `headrace: there is no file ${here}/x\n`,
        'headrace: / is a directory\n',
        `headrace: --url is '127.0.0.1:8080', which is no URL; ${example}\n`,
        `headrace: --url is 'ftp://127.0.0.1', which begins neither with http:// nor https://; ${example}\n`,
        `headrace: no server answers at ${NO_SERVER}; ${start}\n`,
        `headrace: no server answers at ${NO_SERVER}; ${start}\n`,
      ].map(mistake),
    );
  });
});

describe('config', () => {
  it('prints each option with its value, a mark where that is not the default, its limit and meaning', async () => {
    const { code, out, error } = await headrace(['config', '--lanes', '3'], { HEADRACE_PORT: '81' });
    expect({ code, error }).toEqual({ code: 0, error: '' });
    expect(out).toContain(
      'HEADRACE_PORT=81   (changed)\n' +
        '    data port; 0 takes any free one\n' +
        '    --port, default 8080, allowed: 0 to 65535\n',
    );
    expect(out).toContain('HEADRACE_LANES=3   (changed)\n');
    expect(out).toContain('HEADRACE_ADMIN_PORT=9090\n');
    for (const { environment, meaning, limit } of optionRows) {
      expect(out).toContain(`\n${environment}=`);
      expect(out).toContain(meaning);
      expect(out).toContain(`allowed: ${limit}\n`);
    }
  });

  it('prints the named caches as the file has them, which may be read back', async () => {
    const file = join(directory, 'config.json');
    const events = '{"a":[{"cache":"results","tags":["{id}","b"]},{"view":"docs","all":true}],"b":[]}';
    writeFileSync(file, `{"caches":{"plans":null,"results":{"ttl":"90s"},"suggest":{}},"events":${events}}`);
    const { code, out } = await headrace(['config', '--config-file', file]);
    expect(code).toBe(0);
    const shown = [...out.matchAll(/^# ?(.*)$/gm)].map(([, line]) => line);
    const json = shown.slice(shown.indexOf('{')).join('\n');
    expect(readDefinitions(Buffer.from(json), '')).toEqual(readDefinitionsFile(file));
    expect(out).toContain('"suggest": {"enabled":true,"ttl":"5m",');
    expect(out).toContain('"plans": null');
    expect(out).toContain('"b": []');
  });

  it('names what is wrong in the file', async () => {
    const file = join(directory, 'wrong.json');
    writeFileSync(
      file,
      '{"caches":{"plans":{"ttl":"soon"},"results":{"tt":1}},"events":{"a":[{"view":"v"}]}}',
    );
    const lines = [
      `${file}: caches.plans.ttl must be a whole number with a unit: 250ms, 30s, 15m, 24h, 7d\n`,
      `${file}: caches.results.tt is not known here\n`,
      `${file}: events.a.0 must have exactly one of ids, prefix, tags, pattern, all\n`,
    ];
    const told = await Promise.all(
      ['config', 'serve'].map(command => headrace([command], { HEADRACE_CONFIG_FILE: file })),
    );
    for (const found of told) expect(found).toEqual(mistake(`headrace: ${lines.join('')}`));
    const { code, out } = await headrace(['doctor', '--json', '--config-file', file]);
    expect([code, ...lines.map(line => out.includes(line.trimEnd()))]).toEqual([1, true, true, true]);
  });

  it('does not print the admin key', () => {
    const text = optionsText(readConfig({ HEADRACE_ADMIN_KEY: 'a secret' }));
    expect(text).not.toContain('a secret');
    expect(text).toContain('HEADRACE_ADMIN_KEY=(set, not shown)   (changed)\n');
  });

  it('ends quietly when nobody reads on', () => {
    const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
    const { stdout, stderr } = spawnSync('sh', ['-c', `"${process.execPath}" "${cli}" config | true`], {
      encoding: 'utf8',
    });
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
  });
});
