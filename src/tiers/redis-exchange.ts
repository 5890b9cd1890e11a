/**
 * What goes to Redis in one turn of the event loop: one write a server, closed by one ECHO.
 *
 *   exchange 1   MGET a ──┐
 *   exchange 2   MGET b ──┼── held back until the turn ends ──► MGET a, MGET b, MGET c, ECHO 7
 *   exchange 3   MGET c ──┘
 *
 * Replies belong to commands by their order alone. Should bytes be changed on the way, the order can slip, and each
 * command from then on would get what was meant for another. So a command that is echoed stands behind all that is sent
 * to a server in a turn, and no exchange is over before it has come back. When its reply is not the one expected, all
 * that stood before it fails, and the connection is made anew. (What a cluster redirects is closed where it went first.)
 *
 * Measured, reads of one key, 16 at a time: 3.5 µs of CPU a call, against 12 µs with a write and an ECHO for each.
 */
import type { Duplex } from 'node:stream';
import { Cluster, Command, type Redis } from 'ioredis';
import { assert } from '../base/assert.js';
import { RAW_REPLY } from './redis-command.js';
import { redisUnavailable } from './redis-error.js';

/** Exchanges in a row without an answer, after which a connection is made anew. */
const UNANSWERED_MAX = 8;

/** Sends a command now. */
export type Send = (command: Command) => Promise<unknown>;

export interface Exchange<T> {
  readonly answer: T;
  /** The connections that the commands went out by. */
  readonly nodes: readonly Redis[];
}

/** What closes a turn at one server. Rejected when something else comes in its place. */
class Echo extends Command {
  readonly node: Redis;
  readonly #nonce: string;
  /** That wait for it. */
  exchanges = 1;

  constructor(node: Redis, nonce: string) {
    super('echo', [nonce], RAW_REPLY);
    this.node = node;
    this.#nonce = nonce;
  }

  /** Called for a command that was given up as well: it may be the first to get what is meant for another. */
  override transformReply(reply: Buffer | Buffer[]): Buffer {
    if (Buffer.isBuffer(reply) && reply.toString() === this.#nonce) return reply;
    this.node.disconnect(true);
    throw redisUnavailable('its replies are out of order: bytes were changed on the way');
  }
}

interface Turn {
  readonly streams: readonly Duplex[];
  readonly echoes: Echo[];
  /** By name; of a cluster only. */
  readonly masters: ReadonlyMap<string, Redis> | undefined;
}

export class RedisExchanges {
  readonly #client: Redis | Cluster;
  #turn: Turn | undefined;
  #echoes = 0;
  /** Exchanges in a row that a server has not answered. */
  readonly #unanswered = new WeakMap<Redis, number>();

  constructor(client: Redis | Cluster) {
    this.#client = client;
  }

  /** Sends what `work` sends at once, and resolves with its result; only while there is a connection. */
  async exchange<T>(work: (send: Send) => Promise<T>): Promise<Exchange<T>> {
    this.#turn ??= this.#begin();
    const turn = this.#turn;
    const nodes: Redis[] = [];
    const echoes: Promise<unknown>[] = [];
    const send = (command: Command): Promise<unknown> => {
      assert(turn === this.#turn, 'an exchange sends at once, or no ECHO is behind what it sends');
      const node = this.#masterOf(command, turn);
      if (node !== undefined && !nodes.includes(node)) {
        nodes.push(node);
        echoes.push(this.#echo(turn, node));
      }
      return this.#client.sendCommand(command) as Promise<unknown>;
    };
    const answer = await work(send);
    for (const echo of echoes) await echo;
    return { answer, nodes };
  }

  #begin(): Turn {
    const nodes = mastersOf(this.#client);
    const streams: Duplex[] = [];
    for (const { stream } of nodes) if (stream?.writable === true) streams.push(stream);
    for (const stream of streams) stream.cork();
    const isCluster = this.#client instanceof Cluster;
    const masters = isCluster ? new Map(nodes.map(node => [nameOf(node), node])) : undefined;
    const turn: Turn = { streams, echoes: [], masters };
    // Behind all promises that are settled by then: who was answered together asks again together.
    process.nextTick(() => this.#end(turn));
    return turn;
  }

  #end({ echoes, streams }: Turn): void {
    this.#turn = undefined;
    for (const echo of echoes) echo.node.sendCommand(echo);
    for (const stream of streams) stream.uncork();
  }

  /** The master that has the command's keys, as far as is known. */
  #masterOf(command: Command, { masters }: Turn): Redis | undefined {
    if (!(this.#client instanceof Cluster)) return this.#client;
    return masters?.get(this.#client.slots[command.getSlot()]?.[0] ?? '');
  }

  /** Resolves when what the turn sends to the server is known to be answered in order. */
  #echo({ echoes }: Turn, node: Redis): Promise<unknown> {
    for (const echo of echoes) {
      if (echo.node !== node) continue;
      echo.exchanges++;
      return echo.promise;
    }
    const echo = new Echo(node, String(++this.#echoes));
    echoes.push(echo);
    echo.promise.then(
      () => this.#unanswered.delete(node),
      () => this.#leaveIfStuck(echo),
    );
    return echo.promise;
  }

  /**
   * A length that was changed on the way makes the parser wait for bytes that no reply has, and take all that follow for
   * them: the server is heard, so no timeout of the socket ends that.
   */
  #leaveIfStuck({ node, exchanges }: Echo): void {
    const unanswered = (this.#unanswered.get(node) ?? 0) + exchanges;
    this.#unanswered.set(node, unanswered);
    if (unanswered < UNANSWERED_MAX || node.status !== 'ready') return;
    this.#unanswered.delete(node);
    node.disconnect(true);
  }
}

/** The connections to the servers that take writes: one, or in a cluster one for each master in use. */
export function mastersOf(client: Redis | Cluster): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

export function nameOf({ options }: Redis): string {
  return `${options.host}:${options.port}`;
}
