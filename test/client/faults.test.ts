/** The real server killed, restarted and stopped under load: what is cached goes on, from the function if need be. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ClientError, connect } from '../../src/client/index.js';
import { makeDataDir, type ServerProcess, startServerProcess } from '../server/server-process.js';
import { eventually, freePort } from '../support/redis-server.js';

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown) => void unhandled.push(reason);

beforeAll(() => void process.on('unhandledRejection', onUnhandled));
afterAll(() => {
  process.off('unhandledRejection', onUnhandled);
  expect(unhandled).toEqual([]);
});

/** Calls without a pause, sixteen at a time, until it is stopped. */
class Load {
  calls = 0;
  wrong: unknown[] = [];
  slowestMs = 0;
  readonly #call: (key: string) => Promise<string>;
  #isOver = false;
  readonly #running: Promise<void>[];

  constructor(call: (key: string) => Promise<string>) {
    this.#call = call;
    this.#running = Array.from({ length: 16 }, (_, n) => this.#run(n));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  async #run(n: number): Promise<void> {
    for (let round = n; !this.#isOver; round++) {
      const key = `k${round % 50}`;
      const began = performance.now();
      const value = await this.#call(key).catch((error: unknown) => error);
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
      this.calls++;
      if (value !== `of ${key}`) this.wrong.push(value);
      await new Promise(resolve => setImmediate(resolve));
    }
  }
}

async function restarted(server: ServerProcess): Promise<ServerProcess> {
  return startServerProcess({ dataDir: server.dataDir, env: { HEADRACE_PORT: String(server.port) } });
}

it('goes on from the function while the server is killed and restarted, and uses it again then', {
  timeout: 180_000,
}, async () => {
  const env = { HEADRACE_PORT: String(await freePort()) };
  let server = await startServerProcess({ dataDir: makeDataDir(), env });
  const client = connect({ url: server.url });
  let made = 0;
  const cached = client.cached(
    async (key: string) => {
      made++;
      return `of ${key}`;
    },
    { cache: 'results', key: key => key, ttl: '1m', timeoutMs: 500 },
  );
  const load = new Load(cached);
  for (let round = 0; round < 2; round++) {
    await eventually(() => cached.figures.hits > 100 * (round + 1), 'the server is used');
    const { fallbacks } = cached.figures;
    await server.kill();
    await eventually(() => cached.figures.fallbacks > fallbacks + 100, 'the function answers');
    server = await restarted(server);
    const { hits } = cached.figures;
    await eventually(() => cached.figures.hits > hits + 100, 'the server is used again');
  }
  await load.stop();
  expect(load.wrong).toEqual([]);
  expect(made).toBe(cached.figures.misses + cached.figures.fallbacks);
  await client.close();
});

it('is never slower than its timeout and the function, when the server is stopped', async () => {
  const server = await startServerProcess();
  const client = connect({ url: server.url, timeoutMs: 20_000 });
  const options = { cache: 'results', key: (key: string) => key, timeoutMs: 100, waitMs: 0 };
  const cached = client.cached(async (key: string) => `of ${key}`, options);
  const load = new Load(cached);
  await eventually(() => cached.figures.hits > 200, 'the server is used');
  server.signal('SIGSTOP');
  load.slowestMs = 0;
  const { fallbacks } = cached.figures;
  await eventually(() => cached.figures.fallbacks > fallbacks + 300, 'the function answers');
  // A loaded machine is slow to look at its timers; the client's own time is 20 s.
  expect(load.slowestMs).toBeLessThan(5_000);
  expect(load.slowestMs).toBeGreaterThan(90);
  server.signal('SIGCONT');
  const { hits } = cached.figures;
  await eventually(() => cached.figures.hits > hits + 100, 'the server is used again');
  await load.stop();
  expect(load.wrong).toEqual([]);
  await client.close();
});

it('tells a plain call what is wrong with the server', async () => {
  const server = await startServerProcess();
  const client = connect({ url: server.url, timeoutMs: 300, retriesMax: 1 });
  const docs = client.view('docs', { entity: 'doc', features: { a: 'float32' } });
  await docs.declare({ timeoutMs: 20_000 });
  server.signal('SIGSTOP');
  const codes = async (): Promise<string[]> => {
    const calls = [docs.get('a'), docs.put('a', {}), client.cache('results').get('a'), client.views()];
    const results = await Promise.allSettled(calls);
    return results.map(result => {
      if (result.status === 'fulfilled') return 'fulfilled';
      expect(result.reason).toBeInstanceOf(ClientError);
      return (result.reason as ClientError).code;
    });
  };
  expect(await codes()).toEqual(['timeout', 'timeout', 'timeout', 'timeout']);
  await server.kill();
  expect(await codes()).toEqual(['connection', 'connection', 'connection', 'connection']);
  const extract = client.features(ids => new Map(ids.map(id => [id, { a: 0.1 }])), { view: docs });
  expect(await extract(['x', 'y'])).toEqual([{ a: Math.fround(0.1) }, { a: Math.fround(0.1) }]);
  expect(extract.figures).toMatchObject({ failed: 1, extracted: 2, written: 0 });
  await client.close();
  expect(await codes()).toEqual(['closed', 'closed', 'closed', 'closed']);
});
