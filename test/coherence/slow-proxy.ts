/**
 * A TCP proxy before Redis that makes each connection slow by an amount of its own, in both directions, so that what is
 * told on one overtakes what is answered on another; bytes of one connection stay in order. A connection can also go
 * dead without being closed.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Seeded } from '../base/seeded.js';
import { freePort } from '../support/redis-server.js';

interface Link {
  readonly client: Socket;
  readonly upstream: Socket;
  /** Each piece is late by up to this. */
  delayMsMax: number;
  isDead: boolean;
}

/** Most connections are quick, some slow enough to be overtaken. */
const DELAYS_MS = [0, 0, 2, 10, 40];

export class SlowProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #random: Seeded;

  private constructor(port: number, target: number, random: Seeded) {
    this.port = port;
    this.#random = random;
    this.#server = createServer(client => this.#link(client, connect(target, '127.0.0.1')));
  }

  static async start(target: number, random: Seeded): Promise<SlowProxy> {
    const proxy = new SlowProxy(await freePort(), target, random);
    proxy.#server.listen(proxy.port, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Other connections are slow from now on. */
  shuffle(): void {
    for (const link of this.#links) link.delayMsMax = this.#random.pick(DELAYS_MS);
  }

  /** All are as quick as can be. */
  calm(): void {
    for (const link of this.#links) link.delayMsMax = 0;
  }

  /** One connection goes dead: it stays open, and nothing comes through any more. */
  deaden(): void {
    const links = [...this.#links];
    if (links.length > 0) this.#random.pick(links).isDead = true;
  }

  close(): void {
    this.#server.close();
    for (const { client } of this.#links) client.destroy();
  }

  #link(client: Socket, upstream: Socket): void {
    const link: Link = { client, upstream, delayMsMax: this.#random.pick(DELAYS_MS), isDead: false };
    this.#links.add(link);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#pass(link, from, to);
      from.setNoDelay(true);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#links.delete(link);
        to.destroy();
      });
    }
  }

  #pass(link: Link, from: Socket, to: Socket): void {
    const pieces: Buffer[] = [];
    const deliver = () => {
      const piece = pieces.shift();
      if (piece !== undefined && !link.isDead && to.writable) to.write(piece);
    };
    from.on('data', data => {
      const isFirst = pieces.push(data) === 1;
      // Whichever timer fires, the piece that came first goes first.
      if (isFirst && link.delayMsMax === 0) deliver();
      else setTimeout(deliver, this.#random.below(link.delayMsMax + 1));
    });
  }
}
