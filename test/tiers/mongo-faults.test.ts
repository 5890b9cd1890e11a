/** A server that is killed, stopped or away: every call ends, in time and with an error that says so, and goes on after. */

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { MongoCatalog } from '../../src/tiers/mongo-catalog.js';
import type { MongoTuning } from '../../src/tiers/mongo-connection.js';
import { type OpenMongo, openTestMongo, recordWrite } from '../support/mongo-fixture.js';
import { FerretDbServer, noOwnServer } from '../support/mongo-server.js';

const LIMITS = { viewsMax: 100, builtInMax: 100 };

/** Short, so that the tests are. */
const TUNING: MongoTuning = {
  serverSelectionTimeoutMS: 300,
  connectTimeoutMS: 300,
  socketTimeoutMS: 300,
  waitQueueTimeoutMS: 200,
  heartbeatFrequencyMS: 500,
  maxPoolSize: 2,
};
/** All of the timeouts, twice for a retry, and room for a busy machine. */
const CALL_MS_MAX = 10_000;

const unavailable = {
  name: 'HeadraceError',
  code: 'unavailable',
  message: expect.stringMatching(/^MongoDB did not/),
};
const a = recordWrite('a', 1);

async function timed(call: Promise<unknown>): Promise<number> {
  const start = performance.now();
  await expect(call).rejects.toMatchObject(unavailable);
  return performance.now() - start;
}

describe.skipIf(noOwnServer !== undefined)('a MongoDB server', () => {
  let server: FerretDbServer;
  let opened: OpenMongo;

  beforeEach(async () => {
    server = await FerretDbServer.start();
    opened = await openTestMongo({ url: server.url(), tuning: TUNING });
    await opened.tier.putMany([a]);
  });

  afterEach(async () => {
    await opened.close();
    await server.close();
  });

  /** Calls until one is answered. */
  const answered = <T>(call: () => Promise<T>) => vi.waitFor(call, { timeout: 20_000, interval: 10 });
  const read = async () => (await opened.tier.getMany([a.key]))[0];

  it('that is killed refuses, and has after its restart all that it acknowledged', async () => {
    const acknowledged: string[] = [];
    const writing = (async () => {
      for (let n = 0; ; n++) {
        await opened.tier.putMany([recordWrite(`id ${n}`, n + 1)]);
        acknowledged.push(`id ${n}`);
        if (n === 20) void server.kill();
      }
    })();
    await expect(writing).rejects.toMatchObject(unavailable);
    expect(await timed(opened.tier.getMany([a.key]))).toBeLessThan(CALL_MS_MAX);
    await timed(opened.tier.deleteMany([a.key]));
    await timed(opened.tier.dropView(7));
    await timed(new MongoCatalog(opened.connection, LIMITS).views());
    await timed(opened.connection.kind().then(() => opened.tier.getMany([a.key])));
    await server.start();
    expect(await answered(read)).toEqual(Buffer.from(a.value));
    const values = await opened.tier.getMany(acknowledged.map(id => storageKey(7, id)));
    expect(values).toEqual(acknowledged.map((id, n) => Buffer.from(recordWrite(id, n + 1).value)));
    expect(await opened.tier.putMany([recordWrite('a', 2)])).toEqual([null]);
  });

  it('that is stopped keeps nobody longer than the timeouts, and answers when it goes on', async () => {
    server.stop();
    const calls = [
      ...Array.from({ length: 4 }, () => opened.tier.getMany([a.key])),
      opened.tier.putMany([recordWrite('a', 2)]),
      opened.tier.putMany([recordWrite('a', 3)]),
    ];
    const times = await Promise.all(calls.map(timed));
    expect(Math.max(...times)).toBeLessThan(CALL_MS_MAX);
    expect(opened.connection.figures().connectionsInUse).toBe(0);
    expect(opened.connection.figures().checkOutsFailed).toBeGreaterThan(0);
    server.resume();
    expect(await answered(read)).toBeDefined();
    // What was not acknowledged may have been applied: the larger version wins all the same.
    expect(await opened.tier.putMany([recordWrite('a', 4)])).toEqual([null]);
    expect(await opened.tier.putMany([recordWrite('a', 3)])).toEqual([4]);
  });

  it('that is not there is named in the error, without a password', async () => {
    await server.kill();
    const { tier, close } = await openTestMongo({
      url: `mongodb://user:hunter2@127.0.0.1:${server.port}/headrace?authMechanism=PLAIN`,
      tuning: TUNING,
    });
    const error = await tier.getMany([a.key]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/ECONNREFUSED 127\.0\.0\.1/),
    });
    expect(JSON.stringify(error) + String(error)).not.toContain('hunter2');
    await close();
  });

  it('that is away at first is used once it is there, indexes and all', async () => {
    await server.kill();
    const late = await openTestMongo({ url: server.url(), tuning: TUNING });
    await timed(late.tier.putMany([recordWrite('b', 1)]));
    await server.start();
    expect(await answered(() => late.tier.putMany([recordWrite('b', 1)]))).toEqual([null]);
    await late.close();
  });

  it('that is away is asked for changes of the catalog until it is back', async () => {
    const catalog = new MongoCatalog(opened.connection, LIMITS);
    await server.kill();
    const failed = await new Promise(resolve => {
      const stop = catalog.watch({
        intervalMs: 5,
        onChange: () => undefined,
        onError: error => {
          stop();
          resolve(error);
        },
      });
    });
    expect(failed).toMatchObject(unavailable);
  });
});

describe('something that is no MongoDB server', () => {
  let server: Server;
  const sockets = new Set<Socket>();
  let onConnection: (socket: Socket) => void;

  beforeEach(async () => {
    server = createServer(socket => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      onConnection(socket);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it.each<[string, (socket: Socket) => void]>([
    ['closes at once', socket => socket.destroy()],
    ['says nothing', () => undefined],
    ['speaks HTTP', socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['sends garbage', socket => socket.on('data', () => socket.write(Buffer.alloc(64, 0xa5)))],
    ['sends a length without end', socket => socket.write(Buffer.from([0xff, 0xff, 0xff, 0x7f, 1, 2, 3, 4]))],
  ])('and %s is an error in time', async (_, behave) => {
    onConnection = behave;
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const { tier, close } = await openTestMongo({ url: `mongodb://127.0.0.1:${port}`, tuning: TUNING });
    expect(await timed(tier.getMany([a.key]))).toBeLessThan(CALL_MS_MAX);
    expect(await timed(tier.putMany([a]))).toBeLessThan(CALL_MS_MAX);
    await close();
  });
});
