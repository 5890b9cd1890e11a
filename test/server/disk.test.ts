/** What the server says and does when its directory, its ports or its disk are not as they should be. */
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { freePort } from '../support/redis-server.js';
import { CheckedClient } from './checked-client.js';
import { Ledger } from './ledger.js';
import { makeDataDir, type ServerOptions, ServerProcess, startServerProcess } from './server-process.js';
import { SmallDisk } from './small-disk.js';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const NOBODY = 65_534;

/** What a server that cannot start tells its user. */
async function refusal(options: ServerOptions): Promise<string> {
  const server = new ServerProcess(options);
  expect(await server.exited).toEqual({ code: 2, signal: null });
  expect(server.log).toEqual([]);
  expect(server.errorOutput).not.toMatch(/^\s+at /m);
  return server.errorOutput;
}

describe('data directory', () => {
  it('belongs to one server at a time, however the last one ended', async () => {
    const first = await startServerProcess();
    const { dataDir } = first;
    expect(await refusal({ dataDir })).toBe(
      `headrace: the data directory ${dataDir} is in use by another server\n`,
    );
    expect((await fetch(`${first.url}/v1/views`)).status).toBe(200);
    await first.kill();
    const second = await startServerProcess({ dataDir });
    expect(await refusal({ dataDir: join(dataDir, '.') })).toMatch(/in use by another server/);
    await second.stop();
    await (await startServerProcess({ dataDir })).stop();
  });

  it('is not a file, nor below one', async () => {
    const file = join(makeDataDir(), 'file');
    writeFileSync(file, '');
    expect(await refusal({ dataDir: file })).toBe(
      `headrace: the data directory ${file} is a file, not a directory\n`,
    );
    expect(await refusal({ dataDir: join(file, 'x') })).toMatch(/a part of its path is a file/);
  });

  it('can be written to', async context => {
    const directory = makeDataDir();
    chmodSync(directory, 0o555);
    const isRoot = process.getuid?.() === 0;
    const user = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
    const asUser = (...args: string[]) =>
      spawnSync(process.execPath, [CLI, ...args], { ...user, encoding: 'utf8', cwd: '/' });
    if (process.platform === 'win32' || asUser('--version').status !== 0)
      return context.skip('no user here can read the code and not write everywhere');
    const { status, stderr } = asUser('serve', '--data-dir', directory, '--port', '0', '--admin-port', '0');
    expect(stderr).toBe(
      `headrace: the data directory ${directory} cannot be made or written to: permission denied\n`,
    );
    expect(status).toBe(2);
  });

  it('holds a store that can be read', async () => {
    const dataDir = makeDataDir();
    writeFileSync(join(dataDir, 'headrace.mdb'), Buffer.alloc(100_000, 'not a store'));
    expect(await refusal({ dataDir })).toMatch(/headrace\.mdb is no LMDB file, or it is damaged\n$/);
  });
});

describe('fewer views than there are', () => {
  it('are refused, with how many it takes', async () => {
    const dataDir = makeDataDir();
    const server = await startServerProcess({ dataDir });
    for (const view of ['a', 'b', 'c']) {
      const body = '{"entity":"doc","features":{"n":"int64"}}';
      await fetch(`${server.url}/v1/views/${view}`, { method: 'PUT', body });
    }
    await server.stop();
    expect(await refusal({ dataDir, env: { HEADRACE_VIEWS_MAX: '2' } })).toBe(
      'headrace: HEADRACE_VIEWS_MAX is 2, the views that there are need 3\n',
    );
  });
});

describe('ports', () => {
  it('that are in use are named, and the data directory is free again', async () => {
    const server = await startServerProcess();
    const dataDir = makeDataDir();
    const inUse = (name: string, port: number) => refusal({ dataDir, env: { [name]: String(port) } });
    expect(await inUse('HEADRACE_PORT', server.port)).toBe(
      `headrace: the data port 127.0.0.1:${server.port} is in use; choose another with --port or HEADRACE_PORT\n`,
    );
    expect(await inUse('HEADRACE_ADMIN_PORT', server.adminPort)).toMatch(
      `the admin port 127.0.0.1:${server.adminPort} is in use; choose another with --admin-port`,
    );
    await startServerProcess({ dataDir });
    expect((await fetch(`${server.url}/v1/views`)).status).toBe(200);
  });

  it('are free at once for the successor of a server that has ended, and for nobody else then', async () => {
    const env = { HEADRACE_PORT: String(await freePort()) };
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGTERM'] as const) {
      const server = await startServerProcess({ env });
      // Its connection is kept, so that it is the server that ends it.
      expect((await fetch(`${server.url}/v1/views`)).status).toBe(200);
      await server.stop(signal);
    }
    await startServerProcess({ env });
    expect(await refusal({ dataDir: makeDataDir(), env })).toContain('is in use; choose another');
  });
});

describe('a full disk', () => {
  const MIB = 2 ** 20;
  const FREE_MIN_MIB = 16;

  it('refuses writes, serves reads, and takes writes again when there is room', async context => {
    const disk = await SmallDisk.open(96);
    if (typeof disk === 'string') return context.skip(disk);
    const options = {
      dataDir: disk.directory,
      wrapper: disk.wrapper,
      env: { HEADRACE_DISK_FREE_MIN: `${FREE_MIN_MIB}MiB`, HEADRACE_SHUTDOWN_TIMEOUT: '1s' },
    };
    const server = await startServerProcess(options);
    const ledger = new Ledger();
    const ids = Array.from({ length: 500 }, (_, at) => `doc-${at}`);
    const client = new CheckedClient(server.url, ledger, [507]);
    await client.declare();
    expect(await client.load(ids)).toBe(true);

    disk.fill((FREE_MIN_MIB / 2) * MIB);
    await untilRefused(() => client.put('doc-1'));
    expect(await client.load(ids)).toBe(false);
    const refused = await fetch(`${server.url}/v1/views/checked/records/doc-1`, {
      method: 'PUT',
      body: JSON.stringify({ features: { n: 1 } }),
    });
    expect(refused.status).toBe(507);
    expect(await refused.json()).toMatchObject({ type: 'urn:headrace:problem:disk-full' });
    await expectReadable(server, client, ids);

    const other = `${server.url}/v1/views/other`;
    const declareOther = () =>
      fetch(other, { method: 'PUT', body: '{"entity":"doc","features":{"a":"bool"}}' });
    // What is small may use the reserve.
    expect((await declareOther()).status).toBe(201);
    expect((await fetch(other, { method: 'DELETE' })).status).toBe(204);

    // Not a byte is left: all is refused, and nothing is left for LMDB to find out.
    disk.fill(0);
    expect(await client.put('doc-2')).toBe(false);
    expect((await declareOther()).status).toBe(507);
    expect((await fetch(`${server.url}/v1/views/checked`, { method: 'DELETE' })).status).toBe(507);
    await expectReadable(server, client, ids);

    disk.empty();
    await untilTaken(() => client.put('doc-1'));
    expect(await client.load(ids)).toBe(true);
    await client.check(ids);
    expect(client.faults).toEqual([]);
    expect((await declareOther()).status).toBe(201);
    expect(server.log.filter(({ kind }) => kind === 'down')).toEqual([]);

    // Also a start on a full disk serves reads.
    await server.kill();
    disk.fill(0);
    const again = await startServerProcess(options);
    const reader = new CheckedClient(again.url, ledger, [507]);
    expect(await reader.put('doc-3')).toBe(false);
    await expectReadable(again, reader, ids);
    expect(await again.stop()).toEqual({ code: 0, signal: null });
    disk.close();
  });

  /** All from memory where they are, and once more from the disk. */
  async function expectReadable(server: ServerProcess, client: CheckedClient, ids: readonly string[]) {
    await client.check(ids);
    const dropped = await fetch(`${server.url}/v1/views/checked/invalidate`, {
      method: 'POST',
      body: '{"all":true}',
    });
    expect(dropped.status).toBe(200);
    await client.check(ids);
    expect(client.faults).toEqual([]);
    expect(server.running).toBe(true);
  }

  /** The server asks the disk now and then, not before each write. */
  async function untilRefused(write: () => Promise<boolean>): Promise<void> {
    while (await write());
  }

  async function untilTaken(write: () => Promise<boolean>): Promise<void> {
    while (!(await write()));
  }
});
