/**
 * What compressed entries take and save through HTTP: `node dist/native-free-bench/compression-http.js [--tiny]`.
 *
 * One server on one Redis, two caches that differ in their threshold alone. Results of searches (`data/results.ts`) are put
 * into both, far more than L1 holds, then read in a random order, so that nearly each read goes to Redis; in turn, the
 * same keys of the one and of the other. CPU is the server's, per request; Redis says itself how much memory it uses.
 */
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { runCommand, say } from './command.js';
import { Random } from './data/random.js';
import { Results } from './data/results.js';
import type { ChildServer } from './servers/child.js';
import { startHeadrace } from './servers/headrace.js';
import { findRedis } from './servers/redis.js';
import { removeDir, temporaryDir } from './servers/temporary-dir.js';
import { UserError } from './user-error.js';

const SIZES = process.argv.includes('--tiny')
  ? { kibs: [4], bytes: 2 ** 20, l1Bytes: 2 ** 21, reads: 100, rounds: 2 }
  : { kibs: [4, 16, 64], bytes: 64 * 2 ** 20, l1Bytes: 16 * 2 ** 20, reads: 500, rounds: 15 };
const CACHES = { plain: '64MiB', compressed: '1KiB' } as const;
const SEED = 20_260_104;
const CONNECTIONS = 4;

type CacheName = keyof typeof CACHES;
const NAMES = Object.keys(CACHES) as CacheName[];

interface Answer {
  readonly bytes: number;
  readonly isHit: boolean;
}

class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  readonly #server: ChildServer;

  constructor(server: ChildServer) {
    this.#server = server;
  }

  /** @throws UserError when it is not answered with success. */
  ask(method: string, cache: CacheName, key: string, body?: Uint8Array): Promise<Answer> {
    const { host, port } = this.#server;
    const path = `/v1/caches/${cache}/entries/${key}`;
    const headers = { 'content-type': 'application/json', 'content-length': body?.length ?? 0 };
    return new Promise((resolve, reject) => {
      const asked = request({ host, port, method, path, headers, agent: this.#agent }, answer => {
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        answer.on('error', reject);
        answer.on('end', () => {
          const { statusCode = 0 } = answer;
          const isHit = String(answer.headers['cache-status']).includes('; hit;');
          if (statusCode < 300) resolve({ bytes, isHit });
          else reject(new UserError(`${method} ${path} was answered with ${statusCode}`));
        });
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }

  /** So many at a time as there are connections. */
  async each(keys: readonly string[], call: (key: string) => Promise<unknown>): Promise<void> {
    const left = keys.values();
    await Promise.all(
      Array.from({ length: CONNECTIONS }, async () => {
        for (const key of left) await call(key);
      }),
    );
  }

  close(): void {
    this.#agent.destroy();
  }
}

interface Figures {
  readonly ms: number[];
  readonly readCpu: number[];
  hits: number;
  putCpu: number;
  storedBytes: number;
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
}

/** By cache, for results of so many bytes. */
async function measure(
  server: ChildServer,
  redis: Redis,
  resultBytes: number,
): Promise<Map<CacheName, Figures>> {
  const random = new Random(SEED, String(resultBytes));
  const results = new Results(random);
  const client = new Client(server);
  const keys = Array.from({ length: Math.ceil(SIZES.bytes / resultBytes) }, (_, n) => `${resultBytes}:${n}`);
  const bodies = new Map(keys.map(key => [key, results.next(resultBytes)]));
  const figures = new Map<CacheName, Figures>();
  for (const name of NAMES) {
    const [memory, cpu] = [await usedMemory(redis), server.cpuMicros() ?? 0];
    await client.each(keys, key => client.ask('PUT', name, key, bodies.get(key)));
    const putCpu = ((server.cpuMicros() ?? 0) - cpu) / keys.length;
    const storedBytes = ((await usedMemory(redis)) - memory) / keys.length;
    figures.set(name, { ms: [], readCpu: [], hits: 0, putCpu, storedBytes });
  }
  for (let round = -1; round < SIZES.rounds; round++) {
    const asked = Array.from({ length: SIZES.reads }, () => keys[random.below(keys.length)] as string);
    for (const [name, found] of figures) {
      const before = server.cpuMicros() ?? 0;
      await client.each(asked, async key => {
        const began = performance.now();
        const { bytes, isHit } = await client.ask('GET', name, key);
        if (bytes !== bodies.get(key)?.length) throw new UserError(`${key} is not what was put`);
        if (round < 0) return;
        found.ms.push(performance.now() - began);
        if (isHit) found.hits++;
      });
      if (round >= 0) found.readCpu.push(((server.cpuMicros() ?? 0) - before) / asked.length);
    }
  }
  client.close();
  return figures;
}

function report(kib: number, figures: ReadonlyMap<CacheName, Figures>): void {
  for (const [name, { ms, readCpu, hits, putCpu, storedBytes }] of figures) {
    const [stored, hit] = [(storedBytes / 1024).toFixed(1), ((100 * hits) / ms.length).toFixed(0)];
    const times = `p50 ${median(ms).toFixed(3)} ms   CPU ${median(readCpu).toFixed(0)} µs`;
    process.stdout.write(
      `${kib} KiB, ${name.padEnd(10)} in Redis ${stored} KiB   put CPU ${putCpu.toFixed(0)} µs   read ${times}   ${hit} % from L1\n`,
    );
  }
}

runCommand(async () => {
  const found = await findRedis();
  if (typeof found === 'string') {
    say(`skipped: ${found}`);
    return 0;
  }
  const dataDir = temporaryDir('compression');
  const configFile = join(dataDir, 'headrace.json');
  const caches = Object.fromEntries(
    NAMES.map(name => [name, { compressAbove: CACHES[name], leaseTime: '0ms' }]),
  );
  writeFileSync(configFile, JSON.stringify({ caches }));
  // Of its own, also on a server that is given; what is left there expires by itself.
  const prefix = `bench-compression-${process.pid}:`;
  const env = {
    HEADRACE_REDIS_URL: `${found.url}?prefix=${prefix}`,
    HEADRACE_RECORD_STORE: 'redis',
    // A machine that is busy is no fault.
    HEADRACE_REDIS_TIMEOUT: '10s',
    HEADRACE_DEADLINE: '30s',
    HEADRACE_LOCAL_COPY_BYTES: '0',
    HEADRACE_CONFIG_FILE: configFile,
  };
  const server = await startHeadrace({ dataDir, l1Bytes: SIZES.l1Bytes, env });
  const redis = new Redis(found.url);
  try {
    for (const kib of SIZES.kibs) report(kib, await measure(server, redis, 1024 * kib));
  } finally {
    redis.disconnect();
    await server.stop();
    await found.stop();
    removeDir(dataDir);
  }
  return 0;
});
