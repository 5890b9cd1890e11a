/**
 * Plain keep-alive TCP connections, one request in flight on each: the open loop's transport. A connection that breaks
 * or whose answer is overdue is closed and opened again.
 */
import { connect, type Socket } from 'node:net';
import type { Answered, LoadRequest, Transport } from './open-loop.js';
import { type ResponseHead, ResponseParser } from './response-parser.js';
import type { Failure } from './tally.js';

const REOPEN_AFTER_MS = 100;
/** Fewer than a listener's queue takes: the others would wait for a second, until the system asks again. */
const OPENED_AT_ONCE = 256;

export interface Address {
  readonly host: string;
  readonly port: number;
}

export class Connections implements Transport {
  readonly #all: Connection[];
  readonly #free: Connection[] = [];
  readonly #timeoutMs: number;
  #closed = false;

  private constructor(address: Address, count: number, timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    const freed = (connection: Connection) => {
      if (!this.#closed) this.#free.push(connection);
    };
    this.#all = Array.from({ length: count }, () => new Connection(address, freed));
  }

  /** Resolves when every connection is open. @throws the system's error when one cannot be opened. */
  static async open(address: Address, count: number, timeoutMs: number): Promise<Connections> {
    const connections = new Connections(address, count, timeoutMs);
    const all = connections.#all;
    try {
      for (let from = 0; from < count; from += OPENED_AT_ONCE)
        await Promise.all(all.slice(from, from + OPENED_AT_ONCE).map(connection => connection.open()));
    } catch (error) {
      connections.close();
      throw error;
    }
    return connections;
  }

  get free(): number {
    return this.#free.length;
  }

  send(request: LoadRequest, answered: Answered): void {
    // In turn, so that none idles until the server closes it.
    const connection = this.#free.shift();
    if (connection === undefined) throw new Error('send without a free connection');
    connection.send(request, answered);
  }

  tend(): void {
    if (this.#closed) return;
    const nowMs = performance.now();
    for (const connection of this.#all) connection.tend(nowMs, this.#timeoutMs);
    // A free connection that the server has closed must not be handed out.
    for (let i = this.#free.length - 1; i >= 0; i--) {
      if (this.#free[i]?.isOpen === false) this.#free.splice(i, 1);
    }
  }

  close(): void {
    this.#closed = true;
    this.#free.length = 0;
    for (const connection of this.#all) connection.close('timeout');
  }
}

class Connection {
  readonly #address: Address;
  readonly #freed: (connection: Connection) => void;
  #socket: Socket | undefined;
  #answered: Answered | undefined;
  #sentAtMs = 0;
  #openedAtMs = 0;
  isOpen = false;

  constructor(address: Address, freed: (connection: Connection) => void) {
    this.#address = address;
    this.#freed = freed;
  }

  open(): Promise<void> {
    this.#openedAtMs = performance.now();
    return new Promise((resolve, reject) => {
      const socket = connect({ ...this.#address, noDelay: true });
      this.#socket = socket;
      const parser = new ResponseParser(head => this.#onResponse(head));
      socket.on('connect', () => {
        this.isOpen = true;
        this.#freed(this);
        resolve();
      });
      socket.on('data', chunk => {
        try {
          parser.push(chunk);
        } catch {
          this.close('broken');
        }
      });
      socket.on('error', reject);
      socket.on('close', () => {
        if (this.#socket === socket) this.close('broken');
      });
    });
  }

  send(request: LoadRequest, answered: Answered): void {
    this.#answered = answered;
    this.#sentAtMs = performance.now();
    // A socket that closed since the last `tend` reports through its close event.
    this.#socket?.write(request.bytes);
    if (!this.isOpen) setImmediate(() => this.close('broken'));
  }

  tend(nowMs: number, timeoutMs: number): void {
    if (this.#answered !== undefined && nowMs - this.#sentAtMs > timeoutMs) this.close('timeout');
    if (this.#socket === undefined && nowMs - this.#openedAtMs > REOPEN_AFTER_MS) {
      this.open().catch(() => this.close('broken'));
    }
  }

  close(failure: Failure): void {
    this.isOpen = false;
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#settle(failure);
  }

  #onResponse(head: ResponseHead): void {
    // A response that nobody asked for: the stream is out of step.
    if (this.#answered === undefined) this.close('broken');
    else if (head.closes) {
      this.isOpen = false;
      this.#socket?.destroy();
      this.#socket = undefined;
      this.#openedAtMs = 0;
      this.#settle(head);
    } else {
      const answered = this.#answered;
      this.#answered = undefined;
      this.#freed(this);
      answered(head);
    }
  }

  #settle(answer: ResponseHead | Failure): void {
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(answer);
  }
}
