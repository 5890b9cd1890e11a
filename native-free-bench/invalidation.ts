/**
 * How soon what is invalidated by a tag is gone, from the server that was asked and from another, and what that costs
 * those who read meanwhile: two servers on one Redis, `node dist/native-free-bench/invalidation.js [--entries 1000000]
 * [--tagged 10000] [--rounds 3] [--tiny]`.
 *
 * Entries of 64 bytes are put on both, each tag on so many of them. Then clients read hot entries from both at a steady
 * rate (an open loop, so that a stall counts for all who come during it): calm at first, then, a tag a round, from before
 * the invalidation until its entries are erased. Meanwhile each server is asked for tagged entries that it holds in
 * memory, one question after the other, until all of them are gone; the time is from the sending of the invalidation to
 * the end of that answer. What has no tag must still be there at the end.
 */
import { fileURLToPath } from 'node:url';
import { runCommand, say } from './command.js';
import { Random } from './data/random.js';
import { arrivals } from './load/arrivals.js';
import { Connections } from './load/connections.js';
import { type LoadRequest, realPace, runOpenLoop } from './load/open-loop.js';
import { Tally } from './load/tally.js';
import type { ChildServer } from './servers/child.js';
import { startHeadrace } from './servers/headrace.js';
import { findRedis } from './servers/redis.js';
import { removeDir, temporaryDir } from './servers/temporary-dir.js';
import { UserError } from './user-error.js';

export interface InvalidationOptions {
  readonly entries: number;
  /** Of them, for each round. */
  readonly tagged: number;
  readonly rounds: number;
  /** Reads a second, of both servers together. */
  readonly rate: number;
  readonly calmMs: number;
  readonly redisUrl: string;
}

export interface InvalidationFigures {
  /** By round: until gone from the server that was asked, and from the other. */
  readonly goneMs: readonly (readonly [number, number])[];
  /** By round: until its entries are erased. */
  readonly erasedMs: readonly number[];
  /** Of reads, in milliseconds. */
  readonly p95Calm: number;
  readonly p95During: number;
  readonly reads: number;
  readonly errors: number;
}

const CACHE = '/v1/caches/results';
const PAYLOAD = 'x'.repeat(64);
const HOT = 2_000;
const PROBES = 200;
const CONNECTIONS = 32;
const LOAD_CONNECTIONS = 64;
const TIMEOUT_MS = 10_000;
const GONE_MS_MAX = 10_000;
const ERASED_MS_MAX = 300_000;
const L1_BYTES = 512 * 2 ** 20;

/** @throws UserError when something is not as it must be. */
export async function measureInvalidation(options: InvalidationOptions): Promise<InvalidationFigures> {
  const dirs = [temporaryDir('invalidation'), temporaryDir('invalidation')];
  // What is put at first is put as fast as it goes.
  const env = {
    HEADRACE_REDIS_URL: options.redisUrl,
    HEADRACE_DEADLINE: '10s',
    HEADRACE_REDIS_TIMEOUT: '5s',
  };
  const servers = await Promise.all(dirs.map(dataDir => startHeadrace({ dataDir, l1Bytes: L1_BYTES, env })));
  const [one, two] = servers as [ChildServer, ChildServer];
  try {
    await fill([one, two], options);
    await hold([one, two], hotKeys(options));
    const calm = new Tally();
    await readSteadily([one, two], options, calm, untilMs(options.calmMs));
    const during = new Tally();
    const goneMs: (readonly [number, number])[] = [];
    const erasedMs: number[] = [];
    for (let round = 0; round < options.rounds; round++) {
      await hold([one, two], probes(options, round));
      let isOver = false;
      const reading = readSteadily([one, two], options, during, () => isOver);
      try {
        const beganMs = performance.now();
        goneMs.push(await invalidate([one, two], options, round));
        await erased([one, two]);
        erasedMs.push(performance.now() - beganMs);
      } finally {
        isOver = true;
        await reading;
      }
    }
    await mustBeThere([one, two], hotKeys(options));
    return {
      goneMs,
      erasedMs,
      p95Calm: p95(calm),
      p95During: p95(during),
      reads: calm.responses + during.responses,
      errors: calm.errors + during.errors,
    };
  } finally {
    await Promise.all(servers.map(server => server.stop()));
    for (const dir of dirs) removeDir(dir);
  }
}

/** The tag of an entry: its round, for so many of each as there are to be. */
function tagOf(n: number, { entries, tagged, rounds }: InvalidationOptions): number | undefined {
  const every = Math.max(rounds + 1, Math.floor(entries / tagged));
  const round = n % every;
  return round < rounds ? round : undefined;
}

function keysWith(options: InvalidationOptions, tag: number | undefined, count: number): string[] {
  const keys: string[] = [];
  for (let n = 0; n < options.entries && keys.length < count; n++)
    if (tagOf(n, options) === tag) keys.push(keyOf(n));
  return keys;
}

const hotKeys = (options: InvalidationOptions) => keysWith(options, undefined, HOT);
const probes = (options: InvalidationOptions, round: number) => keysWith(options, round, PROBES);

function keyOf(n: number): string {
  return `entry-${n}`;
}

/** Half of the entries through each server. */
async function fill(servers: readonly ChildServer[], options: InvalidationOptions): Promise<void> {
  const putOf = (n: number): LoadRequest => {
    const tag = tagOf(n, options);
    const tags = tag === undefined ? '' : `cache-tags: round-${tag}\r\n`;
    const head = `PUT ${CACHE}/entries/${keyOf(n)} HTTP/1.1\r\nhost: bench\r\ncache-control: max-age=86400\r\n`;
    const text = `${head}${tags}content-length: ${PAYLOAD.length}\r\n\r\n${PAYLOAD}`;
    return { bytes: Buffer.from(text), isRead: false };
  };
  let next = 0;
  const loads = servers.map(async server => {
    const transport = await Connections.open(server, LOAD_CONNECTIONS, TIMEOUT_MS);
    try {
      const worker = async () => {
        for (let n = next++; n < options.entries; n = next++) {
          const status = await sent(transport, putOf(n));
          if (status !== 204) throw new UserError(`an entry was answered with ${status}`);
          if ((n + 1) % 100_000 === 0) say(`${n + 1} entries`);
        }
      };
      await Promise.all(Array.from({ length: LOAD_CONNECTIONS }, worker));
    } finally {
      transport.close();
    }
  });
  await Promise.all(loads);
}

function sent(transport: Connections, request: LoadRequest): Promise<number | string> {
  return new Promise(resolve =>
    transport.send(request, answer => {
      // The connection is free again behind this turn.
      setImmediate(() => resolve(typeof answer === 'string' ? answer : answer.status));
    }),
  );
}

/** Has both servers hold the entries in memory. */
async function hold(servers: readonly ChildServer[], keys: readonly string[]): Promise<void> {
  for (const server of servers)
    await until(async () => {
      const answer = await batchGet(server, keys);
      return answer.isHit && answer.present === keys.length;
    }, 'the entries are held in memory');
}

async function mustBeThere(servers: readonly ChildServer[], keys: readonly string[]): Promise<void> {
  for (const server of servers) {
    const { present } = await batchGet(server, keys);
    if (present !== keys.length)
      throw new UserError(`${keys.length - present} entries without a tag are gone`);
  }
}

async function invalidate(
  [one, two]: readonly [ChildServer, ChildServer],
  options: InvalidationOptions,
  round: number,
): Promise<readonly [number, number]> {
  const keys = probes(options, round);
  const beganMs = performance.now();
  const asked = call(one, 'POST', `${CACHE}/invalidate`, { tags: [`round-${round}`] });
  const gone = async (server: ChildServer) => {
    await until(async () => (await batchGet(server, keys)).present === 0, 'the entries are gone');
    return performance.now() - beganMs;
  };
  const times = await Promise.all([gone(one), gone(two)]);
  const { status } = await asked;
  if (status !== 200) throw new UserError(`the invalidation was answered with ${status}`);
  return times;
}

async function erased(servers: readonly ChildServer[]): Promise<void> {
  for (const server of servers)
    await until(
      async () => {
        const { body } = await call(server, 'GET', CACHE);
        return (body as { figures: { invalidating: number } }).figures.invalidating === 0;
      },
      'the entries are erased',
      ERASED_MS_MAX,
      100,
    );
}

async function readSteadily(
  servers: readonly ChildServer[],
  options: InvalidationOptions,
  tally: Tally,
  isOver: () => boolean,
): Promise<void> {
  const keys = hotKeys(options);
  const random = new Random(1);
  const loads = servers.map(async server => {
    const transport = await Connections.open(server, CONNECTIONS, TIMEOUT_MS);
    await runOpenLoop({
      arrivals: whileNot(isOver, arrivals('poisson', options.rate / servers.length, ERASED_MS_MAX, random)),
      nextRequest: () => {
        const path = `${CACHE}/entries/${keys[random.below(keys.length)]}`;
        return { bytes: Buffer.from(`GET ${path} HTTP/1.1\r\nhost: bench\r\n\r\n`), isRead: true };
      },
      transport,
      pace: realPace,
      tally,
      waitingMax: 10_000,
      drainMs: TIMEOUT_MS,
    });
  });
  await Promise.all(loads);
}

function* whileNot(isOver: () => boolean, times: Iterable<number>): Generator<number> {
  for (const time of times) {
    if (isOver()) return;
    yield time;
  }
}

function untilMs(ms: number): () => boolean {
  const endMs = performance.now() + ms;
  return () => performance.now() >= endMs;
}

interface BatchAnswer {
  readonly present: number;
  /** All from memory. */
  readonly isHit: boolean;
}

const BATCH_KEYS = 1_000;

async function batchGet(server: ChildServer, keys: readonly string[]): Promise<BatchAnswer> {
  let present = 0;
  let isHit = true;
  for (let from = 0; from < keys.length; from += BATCH_KEYS) {
    const asked = { keys: keys.slice(from, from + BATCH_KEYS) };
    const { status, body, cacheStatus } = await call(server, 'POST', `${CACHE}/entries:batchGet`, asked);
    if (status !== 200) throw new UserError(`a batch was answered with ${status}`);
    isHit &&= cacheStatus.includes('; hit');
    for (const entry of (body as { entries: { status: string }[] }).entries)
      if (entry.status === 'PRESENT') present++;
  }
  return { present, isHit };
}

interface Json {
  readonly status: number;
  readonly body: unknown;
  readonly cacheStatus: string;
}

async function call(
  { host, port }: ChildServer,
  method: string,
  path: string,
  body?: unknown,
): Promise<Json> {
  const answer = await fetch(`http://${host}:${port}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const cacheStatus = answer.headers.get('cache-status') ?? '';
  return { status: answer.status, body: await answer.json(), cacheStatus };
}

async function until(
  isSo: () => Promise<boolean>,
  what: string,
  withinMs = GONE_MS_MAX,
  restMs = 0,
): Promise<void> {
  const giveUpMs = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > giveUpMs) throw new UserError(`it is not so within ${withinMs} ms that ${what}`);
    if (restMs > 0) await new Promise(resolve => setTimeout(resolve, restMs));
  }
}

function p95({ latencyUs }: Tally): number {
  return latencyUs.getValueAtPercentile(95) / 1_000;
}

async function main(): Promise<number> {
  const isTiny = process.argv.includes('--tiny');
  const redis = await findRedis();
  if (typeof redis === 'string') throw new UserError(redis);
  try {
    const options: InvalidationOptions = {
      entries: argument('--entries', isTiny ? 5_000 : 1_000_000),
      tagged: argument('--tagged', isTiny ? 500 : 10_000),
      rounds: argument('--rounds', isTiny ? 1 : 3),
      rate: argument('--rate', isTiny ? 500 : 2_000),
      calmMs: isTiny ? 500 : 10_000,
      redisUrl: redis.url,
    };
    say(`${options.entries} entries, ${options.tagged} with each tag, ${options.rate} reads a second`);
    const figures = await measureInvalidation(options);
    const ms = (value: number) => `${value.toFixed(1)} ms`;
    const lines = figures.goneMs.map(
      ([one, two], round) =>
        `gone from the server that was asked after ${ms(one)}, from the other after ${ms(two)}; erased after ${ms(figures.erasedMs[round] ?? 0)}`,
    );
    const ratio = figures.p95During / figures.p95Calm;
    lines.push(
      `P95 of ${figures.reads} reads: calm ${ms(figures.p95Calm)}, during ${ms(figures.p95During)}, ${ratio.toFixed(2)} times; ${figures.errors} errors`,
    );
    process.stdout.write(`${lines.join('\n')}\n`);
    return 0;
  } finally {
    await redis.stop();
  }
}

function argument(name: string, standard: number): number {
  const at = process.argv.indexOf(name);
  if (at < 0) return standard;
  const value = Number(process.argv[at + 1]);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UserError(`${name} is followed by a number from 1`);
  return value;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) runCommand(main);
