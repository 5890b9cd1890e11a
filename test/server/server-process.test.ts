import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ServerProcess, startServerProcess } from './server-process.js';

test('starts the real server, gives its ports and ends it', async () => {
  const server = await startServerProcess();
  const answer = await fetch(`${server.adminUrl}/livez`);
  expect(answer.status).toBe(200);
  expect((await fetch(`${server.url}/v1/views`)).status).toBe(200);
  expect(server.log.at(-1)).toMatchObject({ msg: 'ready', port: server.port, adminPort: server.adminPort });
  if (existsSync('/proc/self/status')) expect(server.memoryBytes()).toBeGreaterThan(10_000_000);
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  expect(server.running).toBe(false);
});

test('tells what a server said that does not start', async () => {
  const wrong = new ServerProcess({ env: { HEADRACE_LANES: 'many' } });
  await expect(wrong.ready()).rejects.toThrow(/HEADRACE_LANES is 'many'/);
  expect(await wrong.exited).toEqual({ code: 2, signal: null });
});
