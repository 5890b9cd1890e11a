/** The examples of docs/client.md are run, and print what stands under them; its table of options is that of the code. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { CLIENT_OPTIONS } from '../../src/client/index.js';
import { makeDataDir, startServerProcess } from '../server/server-process.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const documentation = readFileSync(join(ROOT, 'docs', 'client.md'), 'utf8');
const examples = [...documentation.matchAll(/^## ([^\n]+)\n+```js\n(.*?)```\n+```\n(.*?)```/gms)];

let url = '';
beforeAll(async () => {
  ({ url } = await startServerProcess());
});

describe('examples of docs/client.md', () => {
  it('are there', () => {
    expect(examples.length).toBe(4);
    expect(documentation.match(/^```js$/gm)?.length).toBe(examples.length);
  });

  it.each(examples.map(([, title, code = '', output]) => [title, code, output]))(
    '%s',
    async (_title, code, output) => {
      const env = { ...process.env, HEADRACE_URL: url, HEADRACE_EXAMPLE_DIR: makeDataDir() };
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: ROOT, env });
      const [printed, errors] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        once(child, 'close'),
      ]);
      expect({ code: child.exitCode, printed, errors }).toEqual({ code: 0, printed: output, errors: '' });
    },
  );
});

it('options in docs/client.md are those of the code', () => {
  for (const [name, { standard, meaning }] of Object.entries(CLIENT_OPTIONS))
    expect(documentation).toContain(`| \`${name}\` | ${meaning} | ${standard.toLocaleString('en')} |`);
});
