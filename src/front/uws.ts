/**
 * The front on uWebSockets.js. What is native and cannot be set from here:
 *
 * - Idle connections, stalled readers and silent uploads are closed after 10 seconds, whatever `idleTimeoutMs` says; a
 *   body that is read whole must also come with 16 KiB a second.
 * - What is left of a body that was answered early is read past for as long as it comes with 16 KiB a second.
 * - Requests that cannot be parsed get a short HTML answer (400, 431, and 505 for HTTP/1.0 and for targets that are
 *   not a path), and the connection is closed. More than 100 headers are 431 too.
 * - Pipelined requests are answered in order as long as each is answered at once; one that arrives behind a request
 *   that is not answered yet, or whose large answer the client has not taken yet, closes the connection. No client in
 *   use pipelines unless it is told to.
 * - `Expect: 100-continue` is met before the handler is called.
 */
import { createServer } from 'node:net';
import type { Front, FrontLimits, FrontOptions, Handler } from './front.js';
import { CONTENT_LENGTH, TRANSFER_ENCODING } from './header-names.js';
import { BAD_FRAMING, BAD_TARGET, HANDLER_FAILED, pathTooLong } from './problem-answer.js';
import type { UwsApp, UwsListenSocket, UwsModule, UwsRequest, UwsResponse } from './uws-api.js';
import { UwsExchange, type UwsFrontState } from './uws-exchange.js';

/** Bytes that are not UTF-8 would all be read as U+FFFD, so that different ids became one. */
const NOT_ASCII = /[^\0-\x7f]/;

/** @throws the system's error when the address cannot be listened on. */
export async function openUwsFront(uws: UwsModule, options: FrontOptions): Promise<Front> {
  const front = new UwsFront(uws, options);
  const { host, port } = options;
  // What an exclusive listener leaves of its connections when it ends, also by a crash, keeps its successor from the port
  // for a minute. So only a port that any will do for is taken so. Another is taken in the way that lets a second server
  // share it, and take half of the connections, when it is seen that there is none.
  const isAny = port === 0;
  const reason = isAny ? undefined : await listenProblem(host, port);
  const mode = isAny ? uws.LIBUS_LISTEN_EXCLUSIVE_PORT : SHARED;
  if (reason === undefined && front.listen(host, port, mode)) return front;
  await front.close();
  throw reason ?? (await listenProblem(host, port)) ?? new Error(`cannot listen on ${host}:${port}`);
}

class UwsFront implements Front, UwsFrontState {
  readonly kind = 'uws';
  readonly onError: (error: unknown) => void;
  readonly onProblem: FrontOptions['onProblem'] | undefined;
  readonly cacheStatus: boolean;
  pending = 0;
  draining = false;

  readonly #uws: UwsModule;
  readonly #app: UwsApp;
  readonly #limits: FrontLimits;
  readonly #handler: Handler;
  #listenSocket: UwsListenSocket | undefined;
  #port = 0;
  #connections = 0;
  #closed = false;
  /** Begins with every request that comes in; replaced when it was kept. */
  #exchange: UwsExchange;

  constructor(uws: UwsModule, options: FrontOptions) {
    this.#uws = uws;
    this.#limits = options.limits;
    this.#handler = options.handler;
    this.onError = options.onError;
    this.onProblem = options.onProblem;
    this.cacheStatus = options.cacheStatus === true;
    this.#exchange = new UwsExchange(this);
    this.#app = uws
      .App()
      .filter((res, change) => this.#count(res, change))
      // The method of most requests need not be asked for.
      .get('/*', (res, req) => this.#serve(res, req, 'GET'))
      .any('/*', (res, req) => this.#serve(res, req, req.getCaseSensitiveMethod()));
  }

  get port(): number {
    return this.#port;
  }

  listen(host: string, port: number, mode: number): boolean {
    this.#app.listen(host, port, mode, socket => {
      if (socket === false) return;
      this.#listenSocket = socket;
      this.#port = this.#uws.us_socket_local_port(socket);
    });
    return this.#listenSocket !== undefined;
  }

  stopAccepting(): void {
    this.draining = true;
    if (this.#listenSocket !== undefined) this.#uws.us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = undefined;
  }

  async close(): Promise<void> {
    this.stopAccepting();
    // Not from within a callback of a socket that is about to go.
    await new Promise(setImmediate);
    if (this.#closed) return;
    this.#closed = true;
    this.#app.close();
  }

  #count(res: UwsResponse, change: number): void {
    this.#connections += change;
    if (change > 0 && this.#connections > this.#limits.connectionsMax) res.close();
  }

  #serve(res: UwsResponse, req: UwsRequest, method: string): void {
    const exchange = this.#exchange;
    exchange.begin(res, req, method);
    try {
      const { pathBytesMax } = this.#limits;
      if (!isFramedPlainly(exchange.method, req)) exchange.refuse(BAD_FRAMING);
      else if (exchange.path.length + exchange.query.length > pathBytesMax) {
        exchange.fail(pathTooLong(pathBytesMax));
      } else if (!isAscii(exchange.path) || !isAscii(exchange.query)) exchange.fail(BAD_TARGET);
      else this.#handler(exchange);
    } catch (error) {
      this.onError(error);
      exchange.fail(HANDLER_FAILED);
    }
    if (!exchange.settle()) this.#exchange = new UwsExchange(this);
  }
}

/** Most queries are empty, and a call into the engine's regular expressions is not free. */
function isAscii(text: string): boolean {
  return text.length === 0 || !NOT_ASCII.test(text);
}

/**
 * Whether everyone who reads these bytes finds the same end of the body. uWebSockets.js refuses `content-length` beside
 * `transfer-encoding`, but takes the first of two lengths, and takes every transfer coding for `chunked`.
 */
function isFramedPlainly(method: string, req: UwsRequest): boolean {
  const bodyExpected = method !== 'GET' && method !== 'HEAD';
  if (
    !bodyExpected &&
    req.getHeader(CONTENT_LENGTH.bytes) === '' &&
    req.getHeader(TRANSFER_ENCODING.bytes) === ''
  ) {
    return true;
  }
  let framings = 0;
  let plain = true;
  req.forEach((name, value) => {
    if (name === 'content-length') {
      framings += 1;
      plain &&= value !== '';
    } else if (name === 'transfer-encoding') {
      framings += 1;
      plain &&= value.toLowerCase() === 'chunked';
    }
  });
  return plain && framings <= 1;
}

const SHARED = 0;

/** uWebSockets.js says only that it failed; the system says why. Nothing: it could be listened on. */
function listenProblem(host: string, port: number): Promise<Error | undefined> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port, exclusive: true }, () => {
      server.close(() => resolve(undefined));
    });
  });
}
