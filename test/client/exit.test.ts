/** A process that has closed its client ends by itself: no socket, no timer is left behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { startServerProcess } from '../server/server-process.js';
import { freePort } from '../support/redis-server.js';

const PROGRAM = `
  import { connect } from 'headrace/client';
  const client = connect({ url: process.argv[1], hedgeAfterMs: 5_000, timeoutMs: 8_000 });
  const view = client.view('v', { entity: 'doc', features: { a: 'float32' } });
  const cached = client.cached(async id => id, { cache: 'results', key: id => id, timeoutMs: 5_000 });
  const made = await Promise.all(['a', 'b', 'a'].map(cached));
  const found = await view.get('a', { signal: new AbortController().signal }).catch(error => error.code);
  console.log(made.join(), found);
  const began = performance.now();
  process.on('exit', () => console.log(performance.now() - began < 4_000 ? 'at once' : 'late'));
  await client.close();
`;

async function run(url: string): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  expect(child.exitCode).toBe(0);
  return output;
}

it('ends by itself, with a server and without one', async () => {
  const server = await startServerProcess();
  expect(await run(server.url)).toBe('a,b,a view-not-found\nat once\n');
  expect(await run(`http://127.0.0.1:${await freePort()}`)).toBe('a,b,a connection\nat once\n');
});
