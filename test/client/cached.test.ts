/** `cached()` against a server that gives leases: one call of the function, whatever comes in between. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Cached, ClientError, connect, type HeadraceClient } from '../../src/client/index.js';
import { eventually } from '../support/redis-server.js';
import { LeaseServer, problem } from './lease-server.js';

/** A loaded machine is no slow server: nothing but what is tested ends by its time. */
const LONG_MS = 20_000;
const LONG = { timeoutMs: LONG_MS, waitMs: LONG_MS };

let server: LeaseServer;
let client: HeadraceClient;

beforeEach(async () => {
  server = await new LeaseServer().open();
  client = connect({ url: server.url, timeoutMs: LONG_MS });
});

afterEach(async () => {
  // First, as a client waits for what is under way.
  await server.close();
  await client.close();
});

/** Calls of the function, which answers when it is told to. */
class Source {
  calls = 0;
  /** Answers that are held back. */
  readonly held: (() => void)[] = [];
  isHeld = false;
  value = 'made';

  readonly call = async (id: string): Promise<string> => {
    this.calls++;
    const { value } = this;
    if (this.isHeld) await new Promise<void>(resolve => this.held.push(resolve));
    return `${value} ${id}`;
  };

  release(): void {
    this.isHeld = false;
    for (const resolve of this.held.splice(0)) resolve();
  }
}

function cachedOf(source: Source, of: HeadraceClient = client): Cached<[string], string> {
  return of.cached(source.call, {
    ...LONG,
    cache: 'results',
    key: id => id,
    ttl: '1m',
    staleWhileRevalidate: '1m',
  });
}

describe('a cached function', () => {
  it('is called once by 1,000 callers at once, and not by the next ones', async () => {
    const source = new Source();
    source.isHeld = true;
    const cached = cachedOf(source);
    const calls = Array.from({ length: 1_000 }, () => cached('a'));
    await eventually(() => source.held.length === 1, 'the function is called');
    source.release();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['made a']));
    await eventually(() => cached.figures.stored === 1, 'the value is stored');
    expect(await cached('a')).toBe('made a');
    expect(source.calls).toBe(1);
    expect(cached.figures).toMatchObject({ misses: 1, joined: 999, hits: 1, fallbacks: 0, failed: 0 });
    expect(server.count('PUT')).toBe(1);
  });

  it('is called once by several clients: the others wait for who has the lease', async () => {
    const source = new Source();
    source.isHeld = true;
    const clients = Array.from({ length: 10 }, () => connect({ url: server.url, timeoutMs: LONG_MS }));
    const calls = clients.map(other => cachedOf(source, other)('a'));
    await eventually(
      () => server.requests.filter(path => path.includes('?wait=')).length === 9,
      'all others wait',
    );
    source.release();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['made a']));
    expect(source.calls).toBe(1);
    await Promise.all(clients.map(other => other.close()));
  });

  it('is called by who has waited long enough, and nothing is stored without a lease', async () => {
    server.leases.set('a', 'of somebody who died');
    const source = new Source();
    const cached = client.cached(source.call, { ...LONG, cache: 'results', key: id => id, waitMs: 50 });
    expect(await cached('a')).toBe('made a');
    await client.close();
    expect(server.count('PUT')).toBe(0);
    expect(cached.figures).toMatchObject({ misses: 1, stored: 0 });
  });

  it('is not called by who does not want to wait but for its own call', async () => {
    server.leases.set('a', 'of another');
    const source = new Source();
    expect(
      await client.cached(source.call, { ...LONG, cache: 'results', key: id => id, waitMs: 0 })('a'),
    ).toBe('made a');
    expect(server.requests).toEqual(['GET /v1/caches/results/entries/a']);
  });

  it('gives its own result and stores nothing when the key was invalidated meanwhile', async () => {
    const source = new Source();
    source.isHeld = true;
    const cached = cachedOf(source);
    const call = cached('a');
    await eventually(() => source.held.length === 1, 'the function is called');
    server.invalidate();
    source.release();
    expect(await call).toBe('made a');
    await eventually(() => cached.figures.voided === 1, 'the put is refused');
    expect([server.entries.size, cached.figures.stored, cached.figures.failed]).toEqual([0, 0, 0]);
  });

  it('begins anew for whoever calls after this client has invalidated', async () => {
    const source = new Source();
    source.isHeld = true;
    const cached = cachedOf(source);
    const before = cached('a');
    await eventually(() => source.held.length === 1, 'the function is called');
    await client.cache('results').delete('a');
    source.value = 'new';
    source.isHeld = false;
    expect(await cached('a')).toBe('new a');
    source.release();
    expect(await before).toBe('made a');
    await eventually(() => server.entries.get('a')?.body.toString() === '"new a"', 'the new one is stored');
    await client.close();
    expect(server.entries.get('a')?.body.toString()).toBe('"new a"');
  });

  it('is not stored behind what this client removes, also by a server without leases', async () => {
    const late: (() => void)[] = [];
    server.fault = async request => {
      if (request.method === 'PUT') await new Promise<void>(resolve => late.push(resolve));
      return false;
    };
    const plain = client.cache('results');
    const put = plain.put('a', 'old');
    await eventually(() => late.length === 1, 'the put is under way');
    const removed = plain.delete('a');
    late[0]?.();
    await Promise.all([put, removed]);
    expect(server.requests).toEqual([
      'PUT /v1/caches/results/entries/a',
      'DELETE /v1/caches/results/entries/a',
    ]);
    expect(server.entries.size).toBe(0);
  });

  it('gives the stale value at once, and makes it anew once behind the callers', async () => {
    const source = new Source();
    const cached = cachedOf(source);
    await cached('a');
    await eventually(() => cached.figures.stored === 1, 'the value is stored');
    server.makeStale();
    source.value = 'new';
    source.isHeld = true;
    for (let call = 0; call < 5; call++) expect(await cached('a')).toBe('made a');
    await eventually(() => source.held.length === 1, 'the function is called');
    source.release();
    await eventually(() => cached.figures.stored === 2, 'the new value is stored');
    expect(await cached('a')).toBe('new a');
    expect(source.calls).toBe(2);
    expect(cached.figures).toMatchObject({ stale: 5, hits: 1 });
  });

  it('leaves a stale value to the one who has the lease', async () => {
    server.entries.set('a', { body: Buffer.from('"old"'), contentType: 'application/json', isStale: true });
    const source = new Source();
    const cached = cachedOf(source);
    // So it knows that there are leases.
    await cached('b');
    server.leases.set('a', 'of another');
    expect(await cached('a')).toBe('old');
    await client.close();
    expect(source.calls).toBe(1);
  });

  it('throws what the function throws, to all who wait, and asks again then', async () => {
    let calls = 0;
    const cached = client.cached(
      async () => {
        if (++calls === 1) throw new RangeError('the backend is full');
        return 'well';
      },
      { ...LONG, cache: 'results', key: () => 'a', waitMs: 0 },
    );
    const results = await Promise.allSettled([cached(), cached()]);
    for (const result of results)
      expect(result).toMatchObject({ reason: new RangeError('the backend is full') });
    expect([await cached(), calls]).toEqual(['well', 2]);
  });

  it('takes no entry of another type, or that it cannot read, for its own', async () => {
    const source = new Source();
    const cached = cachedOf(source);
    for (const [contentType, body] of [
      ['text/plain', '"a"'],
      ['application/json', '"half'],
    ] as const) {
      server.entries.set('a', { body: Buffer.from(body), contentType, isStale: false });
      expect(await cached('a')).toBe('made a');
      await eventually(
        () => server.entries.get('a')?.body.toString() === '"made a"',
        'the entry is replaced',
      );
    }
  });

  it('keeps nothing of a value that JSON has no text for', async () => {
    const cached = client.cached(() => undefined, { ...LONG, cache: 'results', key: () => 'a' });
    expect(await cached()).toBeUndefined();
    await client.close();
    expect(server.count('PUT')).toBe(0);
  });

  it('says with the entry how long it lasts, and its tags', async () => {
    let headers: Record<string, unknown> = {};
    server.fault = request => {
      if (request.method === 'PUT') headers = request.headers;
      return false;
    };
    const cached = client.cached(async (id: string) => ({ id, brand: 'ü,b' }), {
      ...{ ...LONG, cache: 'results', ttl: '2m', staleWhileRevalidate: '30s', staleIfError: '1h' },
      key: id => ({ query: id, tenant: 'acme' }),
      tags: ({ brand }, id) => [brand, `id:${id}`],
    });
    await cached('Ａ');
    await eventually(() => cached.figures.stored === 1, 'the value is stored');
    expect(headers).toMatchObject({
      'cache-control': 'max-age=120, stale-while-revalidate=30, stale-if-error=3600',
      'cache-tags': '%C3%BC%2Cb, id%3A%EF%BC%A1',
      'content-type': 'application/json',
    });
    expect([...server.entries.keys()]).toEqual([encodeURIComponent('t4:acme,q1:a,')]);
    const wrong = () => client.cached(async () => 1, { cache: 'results', key: () => 'a', ttl: '1500ms' });
    expect(wrong).toThrow(ClientError);
  });
});

describe('a cached function whose server fails', () => {
  const failures: readonly (readonly [string, LeaseServer['fault']])[] = [
    [
      'answers 503',
      (_, response) => {
        problem(response, 503, 'unavailable');
        return true;
      },
    ],
    [
      'closes the connection',
      (_, response) => {
        response.destroy();
        return true;
      },
    ],
    ['never answers', () => true],
    [
      'answers half a body',
      (_, response) => {
        response.writeHead(200, { 'content-length': '100', 'content-type': 'application/json' });
        response.write('"half');
        response.socket?.end();
        return true;
      },
    ],
    [
      'answers as something else does',
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end('"welcome to nginx"');
        return true;
      },
    ],
    [
      'speaks no HTTP',
      (_, response) => {
        response.socket?.end('garbage\r\n\r\n');
        return true;
      },
    ],
  ];

  it.each(failures)('and %s: the function answers, in a bounded time', async (_name, fault) => {
    server.fault = fault;
    const source = new Source();
    const failed: ClientError[] = [];
    const cached = client.cached(source.call, {
      ...{ cache: 'results', key: (id: string) => id, timeoutMs: 100, waitMs: 100 },
      onFailure: error => failed.push(error),
    });
    const began = performance.now();
    for (let call = 1; call <= 200; call++) expect(await cached('a')).toBe('made a');
    // Five wait for it, and then it is left alone for a second at a time: far from 200 times 100 ms.
    expect(performance.now() - began).toBeLessThan(10_000);
    expect([source.calls, cached.figures.fallbacks]).toEqual([200, 200]);
    expect(failed.length).toBeGreaterThanOrEqual(5);
    server.fault = undefined;
    await eventually(async () => {
      await cached('b');
      return cached.figures.stored > 0;
    }, 'the server is used again');
  });

  it('calls the function also when the key cannot be made, and when the client is closed', async () => {
    const source = new Source();
    const cached = client.cached(source.call, { cache: 'results', key: id => ({ query: id }) });
    expect((await cached('x'.repeat(5_000))).length).toBeGreaterThan(5_000);
    await client.close();
    expect(await cached('a')).toBe('made a');
    expect(source.calls).toBe(2);
  });

  it('is not slowed down by a put that hangs, and goes on with the value', async () => {
    server.fault = request => request.method === 'PUT';
    const source = new Source();
    const impatient = connect({ url: server.url, timeoutMs: 3_000 });
    const cached = cachedOf(source, impatient);
    expect(await cached('a')).toBe('made a');
    expect(await cached('a')).toBe('made a');
    expect([source.calls, cached.figures.failed]).toEqual([1, 0]);
    await eventually(() => cached.figures.failed === 1, 'the put is given up');
    await impatient.close();
  });
});
