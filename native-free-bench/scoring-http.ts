/**
 * What a question for scores costs through HTTP, all candidates in shared memory, beside what it replaces:
 * `node dist/native-free-bench/scoring-http.js [--tiny | candidates…]`.
 *
 * In turn, over one connection, one question after the other: a lookup of the same ids with one float32 of each, the
 * scores of all of them by a query vector, and their vectors as float32s, which a client would score itself. Times are of
 * whole questions as a client in Node.js sees them; CPU is the server's.
 */
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { PACKINGS, type Packing } from '../src/caches/embeddings/packing.js';
import { runCommand, say } from './command.js';
import { Random } from './data/random.js';
import type { ChildServer } from './servers/child.js';
import { startHeadrace } from './servers/headrace.js';
import { removeDir, temporaryDir } from './servers/temporary-dir.js';
import { UserError } from './user-error.js';

const SIZES = process.argv.includes('--tiny')
  ? { candidates: [10, 100], dimensions: 32, rounds: 3, warmUp: 3 }
  : { candidates: given([10, 100, 1_000]), dimensions: 384, rounds: 500, warmUp: 200 };
const VIEW = 'beside';
const K = 10;
const SEED = 20_260_104;
const NDJSON = 'application/x-ndjson';

/** The numbers in the arguments, when there are any. */
function given(standard: readonly number[]): readonly number[] {
  const numbers = process.argv.slice(2).map(Number).filter(Number.isInteger);
  return numbers.length > 0 ? numbers : standard;
}

interface Question {
  readonly name: string;
  readonly path: string;
  readonly body: string;
  readonly accept: string;
}

class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #server: ChildServer;

  constructor(server: ChildServer) {
    this.#server = server;
  }

  /** @throws UserError when it is not answered with success. */
  ask(
    method: string,
    path: string,
    body: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<Buffer> {
    const { host, port } = this.#server;
    return new Promise((resolve, reject) => {
      const all = { ...headers, 'content-length': Buffer.byteLength(body) };
      const asked = request({ host, port, method, path, headers: all, agent: this.#agent }, answer => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const { statusCode = 0 } = answer;
          if (statusCode < 300) resolve(bytes);
          else reject(new UserError(`${path} was answered with ${statusCode}: ${bytes.subarray(0, 300)}`));
        });
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

const idOf = (n: number) => `doc-${n}`;

function vectorOf(random: Random): number[] {
  return Array.from({ length: SIZES.dimensions }, () => Math.fround(2 * random.next() - 1));
}

/** As many vectors in each cache as are ever asked for, and a record beside each. */
async function fill(client: Client, random: Random): Promise<void> {
  const ids = Array.from({ length: Math.max(...SIZES.candidates) }, (_, n) => idOf(n));
  await client.ask('PUT', `/v1/views/${VIEW}`, '{"entity":"doc","features":{"n":"float32"}}', {});
  const records = ids.map((id, n) => `${JSON.stringify({ id, features: { n } })}\n`).join('');
  await client.ask('POST', `/v1/views/${VIEW}/records`, records, { 'content-type': NDJSON });
  const lines = ids.map(key => `${JSON.stringify({ key, vector: vectorOf(random) })}\n`).join('');
  for (const packing of PACKINGS)
    await client.ask('POST', `/v1/caches/${packing}/entries`, lines, { 'content-type': NDJSON });
}

function questionsOf(packing: Packing, candidates: number, query: readonly number[]): Question[] {
  const ids = Array.from({ length: candidates }, (_, n) => idOf(n));
  const accept = 'application/json';
  return [
    { name: 'lookup', path: `/v1/views/${VIEW}/lookup`, body: JSON.stringify({ ids }), accept },
    {
      name: 'score',
      path: `/v1/embeddings/${packing}/score`,
      body: JSON.stringify({ query, candidates: ids, k: K }),
      accept,
    },
    {
      name: 'vectors',
      path: `/v1/caches/${packing}/entries:batchGet`,
      body: JSON.stringify({ keys: ids }),
      accept: 'application/octet-stream',
    },
  ];
}

interface Times {
  readonly ms: number[];
  cpuMicros: number;
  answerBytes: number;
}

/** By name of the question. */
async function measure(
  client: Client,
  server: ChildServer,
  questions: readonly Question[],
): Promise<Map<string, Times>> {
  const times = new Map(
    questions.map(({ name }) => [name, { ms: [], cpuMicros: 0, answerBytes: 0 } as Times]),
  );
  // CPU is counted in steps of the system's clock: many questions of a kind together.
  const together = Math.ceil(SIZES.rounds / 20);
  for (let round = -SIZES.warmUp; round < SIZES.rounds; round += together) {
    for (const { name, path, body, accept } of questions) {
      const ofName = times.get(name);
      const cpuBefore = server.cpuMicros() ?? 0;
      for (let n = 0; n < together; n++) {
        const began = performance.now();
        const { length } = await client.ask('POST', path, body, { accept });
        if (ofName === undefined || round < 0) continue;
        ofName.ms.push(performance.now() - began);
        ofName.answerBytes = length;
      }
      if (ofName !== undefined && round >= 0) ofName.cpuMicros += (server.cpuMicros() ?? 0) - cpuBefore;
    }
  }
  return times;
}

function report(packing: Packing, candidates: number, times: ReadonlyMap<string, Times>): string {
  const p50 = (name: string) => percentile(times.get(name)?.ms ?? [], 0.5);
  const lines = [...times].map(([name, { ms, cpuMicros, answerBytes }]) => {
    const figures = `p50 ${percentile(ms, 0.5).toFixed(3)} ms   p95 ${percentile(ms, 0.95).toFixed(3)} ms`;
    const cpu = `CPU ${(cpuMicros / 1000 / ms.length).toFixed(3)} ms   ${answerBytes} bytes`;
    const beyond = `${(p50(name) - p50('lookup')).toFixed(3)} ms beyond the lookup`;
    const title = `${packing} × ${candidates}, ${name}`.padEnd(26);
    return `${title}${figures}   ${cpu}   ${beyond}\n`;
  });
  return lines.join('');
}

function percentile(ms: readonly number[], part: number): number {
  const sorted = ms.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
}

async function main(): Promise<number> {
  const dataDir = temporaryDir('scoring');
  const configFile = join(dataDir, 'caches.json');
  const caches = Object.fromEntries(
    PACKINGS.map(storage => [storage, { embedding: { dimensions: SIZES.dimensions, storage } }]),
  );
  writeFileSync(configFile, JSON.stringify({ caches }));
  const server = await startHeadrace({ dataDir, env: { HEADRACE_CONFIG_FILE: configFile } });
  const client = new Client(server);
  const random = new Random(SEED, 'vectors');
  try {
    await fill(client, random);
    for (const candidates of SIZES.candidates) {
      for (const packing of PACKINGS) {
        say(`${packing}, ${candidates} candidates`);
        const times = await measure(client, server, questionsOf(packing, candidates, vectorOf(random)));
        process.stdout.write(report(packing, candidates, times));
      }
    }
    return 0;
  } finally {
    client.close();
    await server.stop();
    removeDir(dataDir);
  }
}

runCommand(main);
