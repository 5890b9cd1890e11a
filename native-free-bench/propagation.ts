/**
 * How soon a write on one server is served by another: two servers on one Redis, `node dist/native-free-bench/propagation.js
 * [--tiny]`.
 *
 * A writer has the other server hold the record in memory, writes it on the first, and asks the other, one question after
 * the other, until it answers with what was written. The time is from the acknowledgement to the end of that answer, so it
 * includes the asking. Several writers do so at once; beside them clients look up 50 records at a time on both servers,
 * and write others.
 */
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { runCommand, say } from './command.js';
import type { ChildServer } from './servers/child.js';
import { startHeadrace } from './servers/headrace.js';
import { findRedis } from './servers/redis.js';
import { removeDir, temporaryDir } from './servers/temporary-dir.js';
import { UserError } from './user-error.js';

export interface PropagationOptions {
  /** Measured; a part of as many again come before, unmeasured. */
  readonly writes: number;
  readonly writers: number;
  /** Clients that load both servers meanwhile. */
  readonly others: number;
  readonly redisUrl: string;
}

const VIEW = 'propagation';
const VIEW_BODY = { entity: 'doc', ttl: '1h', features: { n: 'int64', values: 'float32[50]' } };
const KEYS_PER_WRITER = 64;
const OTHER_KEYS = 2_000;
const LOOKUP_IDS = 50;
/** Of what the other clients do. */
const WRITES_PERCENT = 10;
const WARM_UP_PART = 0.05;
/** What takes longer has not arrived. */
const ARRIVES_MS_MAX = 10_000;

interface Json {
  readonly status: number;
  readonly body: unknown;
}

/** A server's data port, over connections that are kept. */
class Client {
  readonly #server: ChildServer;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(server: ChildServer) {
    this.#server = server;
  }

  call(method: string, path: string, body?: unknown): Promise<Json> {
    return new Promise((resolve, reject) => {
      const { host, port } = this.#server;
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = text === undefined ? {} : { 'content-length': Buffer.byteLength(text) };
      const asked = request({ host, port, method, path, headers, agent: this.#agent }, answer => {
        let answered = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          answered += chunk;
        });
        answer.on('error', reject);
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: parsed(answered) }));
      });
      asked.on('error', reject);
      asked.end(text);
    });
  }

  /** @throws UserError when it is not acknowledged. */
  async put(key: string, n: number): Promise<void> {
    const features = { n, values: Array.from({ length: 50 }, (_, at) => n + at) };
    const { status } = await this.call('PUT', `/v1/views/${VIEW}/records/${key}`, { features });
    if (status !== 200) throw new UserError(`a write was answered with ${status}`);
  }

  /** The record's number; `undefined`: there is none. */
  async number(key: string): Promise<number | undefined> {
    const { status, body } = await this.call('GET', `/v1/views/${VIEW}/records/${key}?features=n`);
    return status === 200 ? (body as { features: { n: number } }).features.n : undefined;
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Milliseconds from the acknowledgement of each write to the answer that showed it. @throws UserError when one does not arrive. */
export async function measurePropagation(options: PropagationOptions): Promise<number[]> {
  const dirs = [temporaryDir('propagation'), temporaryDir('propagation')];
  const servers = await Promise.all(
    dirs.map(dataDir => startHeadrace({ dataDir, env: { HEADRACE_REDIS_URL: options.redisUrl } })),
  );
  const [one, two] = servers.map(server => new Client(server)) as [Client, Client];
  try {
    const { status } = await one.call('PUT', `/v1/views/${VIEW}`, VIEW_BODY);
    if (status !== 200 && status !== 201) throw new UserError(`the view was answered with ${status}`);
    await arrival(async () => (await two.call('GET', `/v1/views/${VIEW}`)).status === 200, 'the view');
    await writeAll(one, two, { ...options, writes: Math.ceil(options.writes * WARM_UP_PART) });
    return await writeAll(one, two, options);
  } finally {
    for (const client of [one, two]) client.close();
    await Promise.all(servers.map(server => server.stop()));
    for (const dir of dirs) removeDir(dir);
  }
}

async function writeAll(one: Client, two: Client, options: PropagationOptions): Promise<number[]> {
  const latenciesMs: number[] = [];
  let left = options.writes;
  let isOver = false;
  const writer = async (_: unknown, number: number) => {
    for (let round = 0; left-- > 0; round++) {
      const key = `w${number}-${round % KEYS_PER_WRITER}`;
      const n = ((await two.number(key)) ?? 0) + 1;
      await one.put(key, n);
      const acknowledgedMs = performance.now();
      await arrival(async () => (await two.number(key)) === n, `write ${n} of ${key}`);
      latenciesMs.push(performance.now() - acknowledgedMs);
    }
  };
  const other = async (_: unknown, number: number) => {
    for (let round = 0; !isOver; round++) {
      const client = (number + round) % 2 === 0 ? one : two;
      const first = (number * 977 + round * LOOKUP_IDS) % OTHER_KEYS;
      if (round % 100 < WRITES_PERCENT) await client.put(`o${first}`, round);
      else {
        const ids = Array.from({ length: LOOKUP_IDS }, (_, at) => `o${(first + at) % OTHER_KEYS}`);
        await client.call('POST', `/v1/views/${VIEW}/lookup`, { ids });
      }
    }
  };
  const others = Promise.all(Array.from({ length: options.others }, other));
  try {
    await Promise.all(Array.from({ length: options.writers }, writer));
  } finally {
    isOver = true;
    await others;
  }
  return latenciesMs;
}

async function arrival(isThere: () => Promise<boolean>, what: string): Promise<void> {
  const giveUpMs = performance.now() + ARRIVES_MS_MAX;
  while (!(await isThere())) {
    if (performance.now() > giveUpMs)
      throw new UserError(`${what} did not arrive within ${ARRIVES_MS_MAX} ms`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Of 100 parts of the values, so many are not above it. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0;
}

async function main(): Promise<number> {
  const isTiny = process.argv.includes('--tiny');
  const redis = await findRedis();
  if (typeof redis === 'string') throw new UserError(redis);
  try {
    const options = { writes: isTiny ? 200 : 10_000, writers: 8, others: 4, redisUrl: redis.url };
    say(`${options.writes} writes by ${options.writers} writers beside ${options.others} other clients`);
    const latenciesMs = await measurePropagation(options);
    const figures = [50, 95, 99, 99.9, 100].map(
      percent => `p${percent} ${percentile(latenciesMs, percent).toFixed(1)} ms`,
    );
    process.stdout.write(`propagation, ${latenciesMs.length} writes: ${figures.join(', ')}\n`);
    return 0;
  } finally {
    await redis.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) runCommand(main);
