/** A TCP proxy before a server, for tests: passes on, holds, delays, cuts, half-closes or corrupts what it answers. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { Seeded } from '../base/seeded.js';
import { freePort } from './redis-server.js';

/** Longer than any timeout of a test that delays. */
const DELAY_MS = 700;

export type ProxyMode = 'pass' | 'hold' | 'delay' | 'cut' | 'half-close' | 'corrupt' | 'garbage';

export class RedisProxy {
  readonly port: number;
  mode: ProxyMode = 'pass';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #random: Seeded;

  private constructor(port: number, target: number, seed: number) {
    this.port = port;
    this.#random = new Seeded(seed);
    this.#server = createServer({ allowHalfOpen: true }, client => {
      const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.on('data', data => upstream.write(data));
      client.on('end', () => upstream.end());
      let delayed = Promise.resolve();
      let waiting = 0;
      upstream.on('data', data => {
        // What comes after something that is delayed stays behind it.
        if (this.mode !== 'delay' && waiting === 0) {
          this.#answer(client, data);
          return;
        }
        const until = after(this.mode === 'delay' ? DELAY_MS : 0);
        waiting++;
        delayed = delayed.then(async () => {
          await until;
          waiting--;
          client.write(data);
        });
      });
    });
  }

  static async start(target: number, seed: number): Promise<RedisProxy> {
    const proxy = new RedisProxy(await freePort(), target, seed);
    proxy.#server.listen(proxy.port, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #answer(client: Socket, data: Buffer): void {
    switch (this.mode) {
      case 'pass':
      case 'delay':
        client.write(data);
        break;
      case 'cut':
        client.write(data.subarray(0, this.#random.below(data.length)));
        client.destroy();
        break;
      case 'half-close':
        client.end(data.subarray(0, this.#random.below(data.length)));
        break;
      case 'corrupt': {
        const at = this.#random.below(data.length);
        data[at] = (data[at] ?? 0) ^ (1 << this.#random.below(8));
        client.write(data);
        break;
      }
      case 'garbage':
        client.write(data.map(() => this.#random.below(256)));
        break;
      case 'hold':
        break;
    }
  }
}
