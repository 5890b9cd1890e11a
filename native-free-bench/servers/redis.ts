/**
 * A Redis for what needs one: `HEADRACE_BENCH_REDIS_URL`, or a `redis-server` found on PATH and started on a
 * free loopback port, without persistence, in a directory of its own.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { removeDir, temporaryDir } from './temporary-dir.js';

export interface RedisForBench {
  readonly url: string;
  stop(): Promise<void>;
}

/** A Redis, or the reason why there is none. */
export async function findRedis(): Promise<RedisForBench | string> {
  const { HEADRACE_BENCH_REDIS_URL: url } = process.env;
  if (url !== undefined && url !== '') return { url, stop: () => Promise.resolve() };
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    return 'no redis-server on PATH and HEADRACE_BENCH_REDIS_URL is not set';
  }
  return startRedis();
}

async function startRedis(): Promise<RedisForBench | string> {
  const port = await freePort();
  const dir = temporaryDir('redis');
  const flags = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    dir,
  ];
  const child = spawn('redis-server', flags, { stdio: ['ignore', 'pipe', 'ignore'] });
  const onExit = () => child.kill('SIGKILL');
  process.on('exit', onExit);
  const exited = once(child, 'exit').finally(() => {
    process.off('exit', onExit);
    removeDir(dir);
  });
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise<boolean>(resolve => {
    lines.on('line', line => {
      if (/ready to accept connections/i.test(line)) resolve(true);
    });
    lines.on('close', () => resolve(false));
  });
  if (!(await ready)) return 'redis-server does not start';
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
  return address.port;
}
