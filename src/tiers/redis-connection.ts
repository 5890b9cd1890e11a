/**
 * The connection of one thread to Redis, in any of its three forms, with a limit to everything that could pile up.
 *
 *   calls        at most CALLS_MAX unanswered; beyond that, and with OFFLINE_CALLS_MAX while there is no connection, a
 *                call fails at once
 *   waiting      a call waits for a connection as long as for an answer, then fails, and nothing of it is sent later
 *   commands     fail after `commandTimeoutMs`; a server that says nothing for twice as long is left and connected to
 *                anew, so commands without an answer do not pile up behind one that hangs
 *   exchanges    some in a row without an answer, and the server is connected to anew
 *   reconnects   go on for ever, spread by chance, up to RECONNECT_MS_MAX apart
 *
 * A command is never sent twice by itself: it is not known whether the first was carried out, and a write repeated
 * would be told that its own version is held already. What to repeat is for the guard around the tier to say. (What a
 * cluster answers with MOVED or ASK it has not carried out: that is sent on.)
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { HeadraceError } from '../base/errors.js';
import { redisError, redisUnavailable } from './redis-error.js';
import { type Exchange, mastersOf, nameOf, RedisExchanges, type Send } from './redis-exchange.js';
import { guardStream } from './redis-stream-guard.js';
import type { RedisTarget } from './redis-url.js';

/** A lane makes a few calls at a time, each of many keys. So many come together only while the server hangs. */
const CALLS_MAX = 4096;
/** Enough for what arrives while a connection is made again on a healthy network; more only delays the breaker. */
const OFFLINE_CALLS_MAX = 64;
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 2_000;
/** A slot's move takes one redirection, a failover in the midst of it another. */
const REDIRECTIONS_MAX = 4;
const SLOTS_REFRESH_MS = 5_000;

export interface RedisConnectionOptions {
  readonly commandTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** As `CLIENT LIST` shows it. */
  readonly name?: string;
  /** Told of each failed attempt to connect and the like; the calls report their own errors. */
  readonly onError?: (error: Error) => void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

type ServerOptions = Omit<
  RedisOptions,
  'host' | 'port' | 'path' | 'sentinels' | 'retryStrategy' | 'readOnly'
>;

export class RedisConnection {
  readonly target: RedisTarget;
  readonly client: Redis | Cluster;
  readonly #options: RedisConnectionOptions;
  readonly #server: ServerOptions;
  readonly #exchanges: RedisExchanges;
  #waiters: Waiter[] = [];
  #calls = 0;

  /** Begins to connect. @throws HeadraceError `bad-request` when a file that the URL names cannot be read. */
  constructor(target: RedisTarget, options: RedisConnectionOptions) {
    this.target = target;
    this.#options = options;
    this.#server = serverOptions(target, options);
    this.client = target.mode === 'cluster' ? this.#openCluster() : this.#openServer();
    this.#exchanges = new RedisExchanges(this.client);
    if (this.client instanceof Cluster) this.client.on('+node', guardStream);
    else guardStream(this.client);
    this.client.on('error', error => this.report(error));
    this.client.on('ready', () => this.#release(waiter => waiter.resolve()));
    this.client.on('end', () => this.#release(waiter => waiter.reject(closed())));
  }

  get isReady(): boolean {
    return this.client.status === 'ready';
  }

  /** Resolves when there is a connection. @throws HeadraceError `unavailable` when there is none in time. */
  ready(): Promise<void> {
    return this.call(() => Promise.resolve());
  }

  /**
   * Makes a call when there is a connection, in the order of the calls.
   * @throws HeadraceError `unavailable`, also for whatever the call fails with.
   */
  async call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#calls >= CALLS_MAX) throw redisUnavailable(`${CALLS_MAX} calls wait for an answer`);
    this.#calls++;
    try {
      if (!this.isReady || this.#waiters.length > 0) await this.#connected();
      return await work();
    } catch (error) {
      throw redisError(error);
    } finally {
      this.#calls--;
    }
  }

  /** Sends what `work` sends at once, and resolves with its result (`redis-exchange.ts`); only within `call`. */
  exchange<T>(work: (send: Send) => Promise<T>): Promise<Exchange<T>> {
    return this.#exchanges.exchange(work);
  }

  /** An exchange of one command. */
  readonly send: Send = async command => (await this.exchange(send => send(command))).answer;

  /** The connections to the servers that take writes: one, or in a cluster one for each master in use. */
  masters(): Redis[] {
    return mastersOf(this.client);
  }

  /** The same, but for masters of a cluster that own no slots: those that slots are just moving to. */
  mastersWithSlots(): Redis[] {
    if (!(this.client instanceof Cluster)) return [this.client];
    const names = new Set(this.client.slots.map(([master]) => master));
    return this.masters().filter(node => names.has(nameOf(node)));
  }

  /** The masters to walk through; `check` throws when they are not the same any more, or reached anew. */
  scanned(): { readonly masters: readonly Redis[]; check(): void } {
    const masters = this.mastersWithSlots();
    const streams = masters.map(({ stream }) => stream);
    const check = () => {
      const now = this.mastersWithSlots();
      const isSame = masters.every((master, at) => {
        // In a cluster, one that was not needed before is connected to with the first command.
        streams[at] ??= master.stream;
        return now.includes(master) && master.stream === streams[at];
      });
      if (!isSame || now.length !== masters.length)
        throw redisUnavailable('its servers changed, or their connections, while all keys were gone through');
    };
    return { masters, check };
  }

  /** A further connection to a server, with the same user and limits, that is not made again when it is lost. */
  sibling(host: string, port: number): Redis {
    const { mode, nodes } = this.target;
    const { tls } = this.#server;
    // An address stands for the name that the one server was found by.
    const name = mode === 'standalone' ? nodes[0]?.host : host;
    const named = tls === undefined || !name || isIP(name) !== 0 ? tls : { servername: name, ...tls };
    const client = new Redis({
      ...this.#server,
      ...(named === undefined ? {} : { tls: named }),
      host,
      port,
      retryStrategy: null,
      lazyConnect: true,
      enableReadyCheck: false,
    });
    guardStream(client);
    return client;
  }

  /** Passes on what no call can report. */
  report(error: Error): void {
    this.#options.onError?.(error);
  }

  /** Closes at once; calls under way fail. */
  close(): void {
    this.client.disconnect();
  }

  #connected(): Promise<void> {
    if (this.client.status === 'end') throw closed();
    if (this.#waiters.length >= OFFLINE_CALLS_MAX) {
      throw redisUnavailable(`there is no connection, and ${OFFLINE_CALLS_MAX} calls wait for one already`);
    }
    return new Promise((resolve, reject) => {
      const { commandTimeoutMs } = this.#options;
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter(other => other !== waiter);
        reject(redisUnavailable(`there was no connection within ${commandTimeoutMs} ms`));
      }, commandTimeoutMs);
      const waiter = { resolve, reject, timer };
      this.#waiters.push(waiter);
    });
  }

  #release(settle: (waiter: Waiter) => void): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      clearTimeout(waiter.timer);
      settle(waiter);
    }
  }

  #openServer(): Redis {
    const { mode, nodes, masterName, database, tls, parameters } = this.target;
    const retry = { retryStrategy: reconnectMs, reconnectOnError: isReadOnly, enableOfflineQueue: false };
    const common = { ...this.#server, ...retry, db: database };
    if (mode === 'standalone') return new Redis({ ...common, ...nodes[0] });
    return new Redis({
      ...common,
      sentinels: nodes.map(({ host, port }) => ({ host, port })),
      name: masterName,
      sentinelRetryStrategy: reconnectMs,
      sentinelCommandTimeout: this.#options.commandTimeoutMs,
      // Leaves a master as soon as the Sentinels have another one, also when it still answers.
      failoverDetector: true,
      ...(parameters.sentinelUsername === '' ? {} : { sentinelUsername: parameters.sentinelUsername }),
      ...(parameters.sentinelPassword === '' ? {} : { sentinelPassword: parameters.sentinelPassword }),
      ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: this.#server.tls ?? {} } : {}),
    });
  }

  #openCluster(): Cluster {
    const cluster = new Cluster([...this.target.nodes], {
      redisOptions: this.#server,
      clusterRetryStrategy: reconnectMs,
      clusterNodeRetryStrategy: reconnectMs,
      maxRedirections: REDIRECTIONS_MAX,
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      slotsRefreshTimeout: this.#options.connectTimeoutMs,
      slotsRefreshInterval: SLOTS_REFRESH_MS,
      // A certificate is for a name, not for the address that it stands for.
      ...(this.target.tls ? { dnsLookup: (name, done) => done(null, name) } : {}),
    });
    cluster.on('node error', error => this.report(error));
    return cluster;
  }
}

function serverOptions(target: RedisTarget, options: RedisConnectionOptions): ServerOptions {
  const { username, password, tls, parameters } = target;
  const { ca, cert, key, servername } = parameters;
  const files = Object.entries({ ca, cert, key }).filter(([, path]) => path !== '');
  const secrets = Object.fromEntries(files.map(([name, path]) => [name, readPem(name, path)]));
  return {
    commandTimeout: options.commandTimeoutMs,
    connectTimeout: options.connectTimeoutMs,
    socketTimeout: 2 * options.commandTimeoutMs,
    autoResendUnfulfilledCommands: false,
    // With 0, what waits at a lost connection fails at once.
    maxRetriesPerRequest: 0,
    connectionName: options.name ?? 'headrace',
    disableClientInfo: true,
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(tls ? { tls: { ...secrets, ...(servername === '' ? {} : { servername }) } } : {}),
  };
}

function readPem(name: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new HeadraceError('bad-request', `the file of the parameter ${name} cannot be read: ${reason}`);
  }
}

/** Milliseconds to the next attempt: doubled each time, and between half and all of that. */
function reconnectMs(attempt: number): number {
  const most = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(attempt, 10));
  return most * (0.5 + Math.random() / 2);
}

/** A master that became a replica: connecting anew finds the new one. */
function isReadOnly(error: Error): boolean {
  return error.message.startsWith('READONLY');
}

function closed(): HeadraceError {
  return redisUnavailable('the connection is closed');
}
