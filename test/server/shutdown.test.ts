/**
 * SIGTERM: unready, no new connections, requests in flight answered, exit 0, bounded in time; all that was acknowledged
 * is there afterwards. On both fronts.
 */
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { SEED, Seeded } from '../base/seeded.js';
import { RawClient } from '../front/raw-client.js';
import { CheckedClient } from './checked-client.js';
import { featuresOf, Ledger } from './ledger.js';
import { makeDataDir, type ServerProcess, startServerProcess } from './server-process.js';

/** Longer than any test: who waits for it has failed. */
const FOREVER = '10m';
const LINE = (id: string) => `${JSON.stringify({ id, features: featuresOf(id, 1), version: 1 })}\n`;

/** Resolves with the answer's body when the server says that it is draining. */
async function draining(server: ServerProcess): Promise<string> {
  for (;;) {
    const response = await fetch(`${server.adminUrl}/readyz`);
    const body = await response.text();
    if (response.status === 503) return body;
  }
}

/** How a new connection to the data port ends: an error's code, or `open`. */
function knock(port: number): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve('open');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Begins a load and sends its first line: it stays in flight until `finish`. */
async function beginLoad(server: ServerProcess): Promise<{ client: RawClient; finish(): Promise<void> }> {
  const client = await RawClient.connect(server.port);
  const [first, last] = [LINE('held-1'), LINE('held-2')];
  await client.send(
    'POST /v1/views/checked/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n' +
      `Content-Length: ${first.length + last.length}\r\n\r\n${first}`,
  );
  return { client, finish: () => client.send(last) };
}

describe.each(['auto', 'node'])('shutdown with front %s', front => {
  it('answers what is in flight, refuses what is new, and leaves with 0', async () => {
    const ledger = new Ledger();
    const server = await startServerProcess({
      env: { HEADRACE_FRONT: front, HEADRACE_SHUTDOWN_TIMEOUT: FOREVER },
    });
    const client = new CheckedClient(server.url, ledger);
    await client.declare();
    await client.put('doc-1');
    expect((await fetch(`${server.adminUrl}/readyz`)).status).toBe(200);
    const held = await beginLoad(server);
    await fetch(`${server.url}/v1/views`); // behind the load's head, so that has been read
    server.signal('SIGTERM');
    expect(JSON.parse(await draining(server))).toEqual({ status: 'draining' });
    expect((await fetch(`${server.adminUrl}/livez`)).status).toBe(200);
    expect(await knock(server.port)).toBe('ECONNREFUSED');
    expect(server.running).toBe(true);
    await held.finish();
    const answer = await held.client.answer('POST');
    expect(answer?.status).toBe(200);
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ applied: 2, failed: 0 });
    expect(answer?.headers.get('connection')).toBe('close');
    expect(await server.exited).toEqual({ code: 0, signal: null });

    const again = await startServerProcess({ dataDir: server.dataDir });
    const reader = new CheckedClient(again.url, ledger);
    ledger.acknowledge('held-1', 1);
    ledger.acknowledge('held-2', 1);
    await reader.check(ledger.ids);
    expect(reader.faults).toEqual([]);
    await again.stop();
  });

  it('does not wait longer than allowed for a client that stalls in its body', async () => {
    const server = await startServerProcess({
      env: { HEADRACE_FRONT: front, HEADRACE_SHUTDOWN_TIMEOUT: '300ms' },
    });
    await new CheckedClient(server.url, new Ledger()).declare();
    const load = await beginLoad(server);
    const put = await RawClient.connect(server.port);
    await put.send('PUT /v1/views/checked/records/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{');
    await fetch(`${server.url}/v1/views`);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(server.log.map(({ msg }) => msg)).toContain('requests were cut off by the shutdown timeout');
    expect(await load.client.answer('POST')).toBeUndefined();
    expect(await put.answer('PUT')).toBeUndefined();
  });

  it('does not wait longer than allowed for a client that takes nothing of its answer', async () => {
    const server = await startServerProcess({
      env: { HEADRACE_FRONT: front, HEADRACE_SHUTDOWN_TIMEOUT: '300ms' },
    });
    const client = new CheckedClient(server.url, new Ledger());
    await client.declare();
    await client.load(['big']);
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    socket.pause();
    socket.on('error', () => undefined);
    const body = JSON.stringify({ ids: new Array(10_000).fill('big') });
    const head = `POST /v1/views/checked/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`;
    for (let sent = 0; sent < 8; sent++)
      await new Promise<void>(resolve => void socket.write(head + body, () => resolve()));
    await fetch(`${server.url}/v1/views`);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    socket.destroy();
  });

  it('ends at once with a second signal', async () => {
    const server = await startServerProcess({
      env: { HEADRACE_FRONT: front, HEADRACE_SHUTDOWN_TIMEOUT: FOREVER },
    });
    await new CheckedClient(server.url, new Ledger()).declare();
    await beginLoad(server);
    await fetch(`${server.url}/v1/views`);
    server.signal('SIGINT');
    await draining(server);
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 1, signal: null });
  });

  it('takes the same signal twice at once for one', async () => {
    const server = await startServerProcess({
      env: { HEADRACE_FRONT: front, HEADRACE_SHUTDOWN_TIMEOUT: FOREVER },
    });
    await new CheckedClient(server.url, new Ledger()).declare();
    const held = await beginLoad(server);
    await fetch(`${server.url}/v1/views`);
    server.signal('SIGINT');
    server.signal('SIGINT');
    await draining(server);
    await held.finish();
    expect((await held.client.answer('POST'))?.status).toBe(200);
    expect(await server.exited).toEqual({ code: 0, signal: null });
  });

  it('under traffic loses nothing that it has acknowledged', async () => {
    console.log(`seed ${SEED}`);
    const random = new Seeded(SEED);
    const ledger = new Ledger();
    const dataDir = makeDataDir();
    const server = await startServerProcess({ dataDir, env: { HEADRACE_FRONT: front } });
    const client = new CheckedClient(server.url, ledger, [503]);
    await client.declare();
    const someId = () => `${random.pick(['doc', 'clock'])}-${random.below(500)}`;
    let asked = false;
    // Each goes on until the port is closed to it.
    const run = async (step: () => Promise<unknown>) => {
      let isOpen = true;
      while (isOpen) {
        isOpen = await step().then(
          () => true,
          () => false,
        );
        if (ledger.acknowledged > 2_000 && !asked) {
          asked = true;
          server.signal('SIGTERM');
        }
      }
    };
    await Promise.all([
      ...Array.from({ length: 6 }, () => run(() => client.put(someId()))),
      ...Array.from({ length: 2 }, () => run(() => client.load(Array.from({ length: 200 }, someId)))),
      ...Array.from({ length: 4 }, () => run(() => client.get(someId()))),
    ]);
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(client.faults).toEqual([]);

    const again = await startServerProcess({ dataDir });
    const reader = new CheckedClient(again.url, ledger);
    await reader.check(ledger.ids);
    expect(reader.faults).toEqual([]);
    expect(reader.reads).toBe(ledger.ids.length);
    await again.stop();
  });
});
