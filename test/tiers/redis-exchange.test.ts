/** Calls of one turn of the event loop share a write and the ECHO behind it: none gets another's reply, none waits for ever. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { storageKey } from '../../src/base/keys.js';
import { rawCommand } from '../../src/tiers/redis-command.js';
import { describeWithRedis, eventually, freePort, RedisServer } from '../support/redis-server.js';
import { type OpenRedisTier, openRedisTier } from './redis-fixture.js';
import { write } from './tier-suite.js';

const QUICK = { commandTimeoutMs: 300, connectTimeoutMs: 300 };
const UNAVAILABLE = { name: 'HeadraceError', code: 'unavailable' };
const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

/** Before a server, with the say over each piece that it answers. */
class ReplyChanger {
  change: (reply: Buffer) => Buffer = reply => reply;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: number) {
    this.#server = createServer(client => {
      const upstream = connect(target, '127.0.0.1');
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          client.destroy();
          upstream.destroy();
        });
      }
      client.on('data', data => upstream.write(data));
      upstream.on('data', data => client.write(this.change(data)));
    });
  }

  static async start(target: number): Promise<{ changer: ReplyChanger; url: string }> {
    const changer = new ReplyChanger(target);
    const port = await freePort();
    changer.#server.listen(port, '127.0.0.1');
    await once(changer.#server, 'listening');
    return { changer, url: `redis://127.0.0.1:${port}` };
  }

  /** Changes the next piece, and no other. Resolves when that is done. */
  once(change: (reply: Buffer) => Buffer): Promise<void> {
    return new Promise(resolve => {
      this.change = reply => {
        this.change = other => other;
        resolve();
        return change(reply);
      };
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

describeWithRedis('exchanges of one turn', () => {
  let server: RedisServer;
  let changer: ReplyChanger;
  let mine: OpenRedisTier;

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  beforeEach(async () => {
    const { changer: opened, url } = await ReplyChanger.start(server.port);
    changer = opened;
    mine = await openRedisTier(url, {}, QUICK);
    await mine.tier.putMany(ids.map(id => write(id, 1)));
  });
  afterEach(async () => {
    await mine.close();
    changer.close();
  });
  afterAll(() => server?.close());

  const readEach = (asked = ids) => asked.map(id => mine.tier.getMany([storageKey(7, id)]));
  const expected = ids.map(id => [write(id, 1).value]);
  /** Too few for the connection to be given up for having answered none. */
  const few = ids.slice(0, 3);
  const connected = (): Redis => {
    const { client } = mine.connection;
    if (!(client instanceof Redis)) throw new Error('there is one server');
    return client;
  };
  const echoes = async () =>
    Number(/cmdstat_echo:calls=(\d+)/.exec(await server.admin.info('commandstats'))?.[1] ?? 0);
  const answersAgain = () =>
    eventually(async () => {
      expect(await Promise.all(readEach())).toEqual(expected);
      return true;
    }, 'each is given its own again');

  it('are closed by one ECHO, and those of the next by another', async () => {
    const before = await echoes();
    const puts = ids.map(id => mine.tier.putMany([write(id, 1)]));
    expect(await Promise.all(readEach())).toEqual(expected);
    expect(await Promise.all(puts)).toEqual(ids.map(() => [1]));
    expect(await echoes()).toBe(before + 1);
    const first = readEach();
    await nextTurn();
    const second = readEach();
    expect(await Promise.all([...first, ...second])).toEqual([...expected, ...expected]);
    expect(await echoes()).toBe(before + 3);
  });

  it.each<[string, (reply: Buffer) => Buffer]>([
    ['is lost', reply => reply.subarray(reply.indexOf('*1\r\n', 1))],
    ['comes twice', reply => Buffer.concat([reply.subarray(0, reply.indexOf('*1\r\n', 1)), reply])],
    [
      'takes the next into itself',
      reply => Buffer.from(reply.toString('latin1').replace('*1', '*2'), 'latin1'),
    ],
  ])('give nobody a reply when one of them %s, nor does the turn behind them', async (_, change) => {
    void changer.once(change);
    const { stream } = connected();
    const first = readEach(few);
    await nextTurn();
    const outcomes = await Promise.allSettled([...first, ...readEach(few)]);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
    expect(stream.writable).toBe(false);
    await answersAgain();
  });

  it('take no turn for the one before it', async () => {
    const isLost = changer.once(() => Buffer.alloc(0));
    const { stream } = connected();
    const first = readEach(few);
    await isLost;
    const outcomes = await Promise.allSettled([...first, ...readEach(few)]);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
    expect(stream.writable).toBe(false);
    await answersAgain();
  });

  it('do not wait for one that fails half-way', async () => {
    const { connection } = mine;
    const failure = new Error('half-way');
    const before = readEach();
    const half = connection.exchange(send => {
      send(rawCommand('get', ['headrace:7:a']));
      throw failure;
    });
    const behind = readEach();
    await expect(half).rejects.toBe(failure);
    expect(await Promise.all([...before, ...behind])).toEqual([...expected, ...expected]);
    await answersAgain();
  });

  it('send nothing later', async () => {
    const late = mine.connection.exchange(async send => {
      await nextTurn();
      return send(rawCommand('get', ['headrace:7:a']));
    });
    await expect(late).rejects.toThrow('an exchange sends at once');
  });

  it('all fail when the connection is lost before the turn has ended', async () => {
    const reads = readEach();
    mine.connection.client.disconnect(true);
    for (const outcome of await Promise.allSettled(reads))
      expect(outcome).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
    await answersAgain();
  });

  it('count each when a server is heard and answers nothing', async () => {
    const { stream } = connected();
    // All that follows passes for bytes of this one reply, so that no timeout of the socket ends it.
    void changer.once(reply => Buffer.concat([Buffer.from('$99999999\r\n'), reply]));
    for (const outcome of await Promise.allSettled(readEach()))
      expect(outcome).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
    // The timeout of the socket is later than this.
    await eventually(() => !stream.writable, 'the connection is left', 200);
    await answersAgain();
  });
});
