/** `headrace doctor` on the lists by which caches are warmed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { changesOf, findingsOf, linesOf } from './doctor-findings.js';

const directory = mkdtempSync(join(tmpdir(), 'headrace-doctor-lists-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('says how many keys there are, which lines are none, and what cannot be read', async () => {
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const good = file('good', 'a\n{"query":"b"}\nc');
  const bad = file('bad', 'a\n{"key":1}');
  const warm = (path: string) => ({ warm: { file: path, keysMax: 2 } });
  const caches = {
    results: warm(good),
    plans: warm(bad),
    popular: warm(directory),
    anomalies: warm('/none'),
  };
  const configFile = file('caches.json', JSON.stringify({ caches }));
  const findings = await findingsOf({ configFile });
  expect(linesOf(findings, 'lists').sort()).toEqual([
    `ok results: ${good} has keys: 2`,
    "warning anomalies: ENOENT: no such file or directory, open '/none'",
    expect.stringMatching(/^warning plans: .* has keys: 1, and lines that are none: 1; line 2: /),
    `warning popular: ${directory} is no file`,
  ]);
  expect(changesOf(findings, 'lists')['plans']).toBe('correct them: they are passed over');
});
